# make demo   the main job on simulated records, or on PTB-XL with DATA=path/to/ptbxl
# make test   every check
# Both set up their own virtual environment first. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
READY := $(VENV)/.ready
BUILD_INPUTS := setup.py pyproject.toml constraints.txt MANIFEST.in \
	$(shell find csrc -type f \( -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \))
CXX_SOURCES := $(shell find csrc tests -type f \( -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \))

.PHONY: help demo test lint format pytest bench sanitize releases wheel clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo [DATA=path/to/ptbxl]   simulate (or read) ECGs, pre-train, probe, diagnose; report in demo/'
	@echo 'make test                        everything a change must pass: lint, then pytest'
	@echo 'make lint | format | pytest      parts of it; format rewrites Python and C++ in place'
	@echo 'make bench [ARGS="--quick"]      the attention against what else one could use'
	@echo 'make sanitize                    the C++ kernel, and the CUDA kernels on the host, under sanitizers'
	@echo 'make releases [RELEASES=3.9.0]   the Triton kernels with other releases of Triton (200 MB each)'
	@echo 'make wheel | clean               a wheel in dist/ | remove what was built (the environment stays)'
	@echo 'Settings: PYTHON=$(PYTHON) VENV=$(VENV) JOBS=$(JOBS)'

demo: $(READY)
	$(BIN)/clear-hug demo --out demo $(if $(DATA),--data $(DATA))

test: lint pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_SOURCES)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

# One thread per test process: the processes already fill the cores.
pytest: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -rs

bench: $(READY)
	$(BIN)/python benchmarks/attn_bench.py $(ARGS)

# The instrumented extensions go into a folder of their own, with the tests beside it, so that nothing else is imported.
SANITIZED := build/sanitize
sanitize: $(READY)
	rm -rf $(SANITIZED)
	CLEAR_KERNELS_NATIVE=1 CLEAR_KERNELS_CUDA=0 CLEAR_KERNELS_SANITIZE=1 \
		$(PIP) install -q --no-deps --target $(SANITIZED) .
	cp -r tests pyproject.toml $(SANITIZED)
	cd $(SANITIZED) && export OMP_NUM_THREADS=2 ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
		LD_PRELOAD="$$($(or $(CXX),g++) -print-file-name=libasan.so) $$($(or $(CXX),g++) -print-file-name=libubsan.so)" && \
		$(abspath $(BIN))/python -c 'import clear_hug._signal as s, clear_kernels._cpu as m; \
			assert "sanitize" in m.__file__ and "sanitize" in s.__file__, (m.__file__, s.__file__)' && \
		$(abspath $(BIN))/python -m pytest tests/hug/test_native.py tests/hug/test_wfdb_plain.py \
			tests/hug/test_fir.py -p no:cacheprovider && \
		$(abspath $(BIN))/python -m pytest tests/kernels -k "cpu and not compile" \
			--ignore-glob='*/test_cuda*' --ignore-glob='*/test_triton*' -p no:cacheprovider --durations=5
	CLEAR_KERNELS_SANITIZE=1 $(BIN)/python -m pytest tests/kernels/test_cuda_sanitized.py

# Each release lies in a folder of its own, before the environment, with a NumPy that the older interpreters can use.
RELEASES ?= 3.2.0 3.3.1 3.4.0 3.5.1 3.6.0 3.8.0 3.9.0
releases: $(READY)
	set -e; for release in $(RELEASES); do \
		folder=$(abspath build)/triton/$$release; rm -rf $$folder; \
		$(PIP) install -q --no-deps --target $$folder "triton==$$release" 'numpy<2.4'; \
		export PYTHONPATH=$$folder OMP_NUM_THREADS=1; \
		$(BIN)/python -c 'import numpy, triton; print("Triton", triton.__version__, "NumPy", numpy.__version__)'; \
		$(BIN)/python -m pytest -n $(JOBS) --dist load -p no:cacheprovider -rs -k 'interpreter or D64 or row or bound' \
			tests/kernels/test_triton_interpret.py tests/kernels/test_triton_aot.py; \
	done

wheel: $(READY)
	$(PIP) wheel --no-deps -w dist .

clean:
	rm -rf build dist *.egg-info clear_kernels/*.so clear_hug/*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find clear_kernels clear_hug tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo 'Python 3.10 or newer is needed; name one, for example: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo 'The environment could not be made (on Debian: apt install python3-venv).' >&2; exit 1; }
	$(PIP) install -q --upgrade 'pip>=23'
	@touch $@

$(READY): $(VENV)/.made $(BUILD_INPUTS)
	$(PIP) install --no-compile -c constraints.txt -e '.[test,lint,triton]'
	@touch $@
