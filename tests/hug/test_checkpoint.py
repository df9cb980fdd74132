"""Checkpoints come back as they were, and everything else is refused with a reason."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file

from clear_hug.training.checkpoint import (
    CheckpointError,
    check_compatible,
    load_checkpoint,
    load_weights,
    read_manifest,
    save_checkpoint,
)

MANIFEST = {"kind": "clear", "model": {}, "leads": ["I", "II"], "fs": 100.0, "beats": 30, "beat_samples": 150}
TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3, dtype=torch.int64)}


def test_round_trip(tmp_path):
    path = save_checkpoint(tmp_path / "deep" / "x.safetensors", TENSORS, MANIFEST)
    manifest, tensors = load_checkpoint(path, kind="clear")
    assert manifest == {**MANIFEST, "format_version": 1}
    assert all(torch.equal(tensors[name], t) and tensors[name].dtype == t.dtype for name, t in TENSORS.items())
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"], "a temporary file stayed behind"


def test_the_same_content_gives_the_same_bytes(tmp_path):
    one, two = (save_checkpoint(tmp_path / f"{n}.safetensors", TENSORS, MANIFEST) for n in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_tensors_that_share_memory_are_stored_apart(tmp_path):
    whole = torch.arange(4.0)
    path = save_checkpoint(tmp_path / "x.safetensors", {"whole": whole, "part": whole[:2]}, MANIFEST)
    assert torch.equal(load_checkpoint(path)[1]["part"], whole[:2])


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = save_checkpoint(tmp_path / "x.safetensors", TENSORS, MANIFEST)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"Out of range|not JSON compliant"):
        save_checkpoint(path, TENSORS, {**MANIFEST, "loss": float("nan")})
    assert path.read_bytes() == before


def test_pickles_are_refused_and_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exit, (1,))

    (tmp_path / "plain.safetensors").write_bytes(pickle.dumps(Trap()))
    torch.save({"a": torch.zeros(2)}, tmp_path / "zip.safetensors")
    for name in ("plain", "zip"):
        with pytest.raises(CheckpointError, match=r"pickle.*refused"):
            read_manifest(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 64])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_manifest(path)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    path = save_checkpoint(tmp_path / "x.safetensors", {"a": torch.zeros(1000)}, MANIFEST)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(path)


def test_foreign_safetensors_are_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="without a `clear_hug` manifest"):
        read_manifest(tmp_path / "x.safetensors")


@pytest.mark.parametrize("text", ["not json", "[1]"])
def test_a_damaged_manifest_is_refused(tmp_path, text):
    save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors", metadata={"clear_hug": text})
    with pytest.raises(CheckpointError, match="damaged"):
        read_manifest(tmp_path / "x.safetensors")


def test_missing_file_wrong_suffix_kind_and_version(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_manifest(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors"):
        save_checkpoint(tmp_path / "x.pt", TENSORS, MANIFEST)
    with pytest.raises(CheckpointError, match="lacks beats, beat_samples"):
        save_checkpoint(tmp_path / "x.safetensors", TENSORS, {k: v for k, v in MANIFEST.items() if "beat" not in k})
    path = save_checkpoint(tmp_path / "x.safetensors", TENSORS, MANIFEST)
    with pytest.raises(CheckpointError, match="`clear-hug probe` writes one"):
        load_checkpoint(path, kind="classifier")
    with pytest.raises(CheckpointError, match="format 99"):
        save_checkpoint(path, TENSORS, {**MANIFEST, "format_version": 99})


def test_every_difference_is_named_with_its_remedy():
    check_compatible(MANIFEST, {**MANIFEST, "fs": 100, "leads": ("I", "II")})
    other = {"leads": ["I", "V1"], "fs": 250, "beats": 15, "beat_samples": 96}
    with pytest.raises(CheckpointError) as caught:
        check_compatible(MANIFEST, other)
    text = str(caught.value)
    for words in ("leads: the checkpoint has I II, the data I V1", "100, the data 250", "--beats", "150, the data 96"):
        assert words in text


def test_weights_that_do_not_fit_are_named():
    layer = torch.nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match=r"missing: bias.*unexpected: gain.*shape: weight \(1, 1\) for \(3, 2\)"):
        load_weights(layer, {"weight": torch.zeros(1, 1), "gain": torch.zeros(1)}, "file")
