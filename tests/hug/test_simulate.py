"""The simulator's contract: leads that agree, true R peaks, seeds, noise, and refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import sleepecg
from simulate_measure import COLUMN, clean

from clear_hug.leads import STANDARD_LEADS
from clear_hug.simulate import DISORDER_NAMES, DISORDERS, NoiseConfig, Physiology, simulate_ecg, simulate_physiology
from clear_hug.simulate.lead_field import lead_field, twelve_leads
from clear_hug.simulate.noise import ELECTRODES_TO_LEADS, electrode_noise
from clear_hug.simulate.parameters import Rhythm, Torso
from clear_hug.simulate.rhythm import rr_tachogram


def matched(truth: np.ndarray, found: np.ndarray, tolerance: float) -> int:
    """Beats found within the tolerance of a true one, each used once (beats lie further apart than the tolerance)."""
    return sum(bool((np.abs(found - beat) <= tolerance).any()) for beat in truth)


def test_result_has_the_promised_types() -> None:
    ecg = simulate_ecg(seed=1)
    assert ecg.signal.shape == (5000, 12)
    assert ecg.signal.dtype == np.float64
    assert ecg.r_index.dtype == np.int64
    assert ecg.premature.shape == ecg.r_index.shape
    assert ecg.leads == STANDARD_LEADS
    assert (ecg.fs, ecg.disorders) == (500, ("SR",))
    assert np.isfinite(ecg.signal).all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        ecg.fs = 100  # type: ignore[misc]


@pytest.mark.parametrize("code", DISORDERS)
def test_leads_obey_einthoven_and_goldberger_with_all_noise(code: str) -> None:
    loud = NoiseConfig(powerline_mv=0.1, emg_mv=0.1, baseline_mv=0.5, motion_mv=0.5, motion_per_minute=60)
    i, ii, iii, avr, avl, avf = simulate_ecg([code], seed=3, noise=loud).signal.T[:6]
    np.testing.assert_allclose(i + iii, ii, atol=1e-12)
    np.testing.assert_allclose(avr + avl + avf, 0, atol=1e-12)
    np.testing.assert_allclose(avf, (ii + iii) / 2, atol=1e-12)


def test_limb_leads_by_hand() -> None:
    eight = np.array([1.0, 3.0, 11, 12, 13, 14, 15, 16])
    np.testing.assert_array_equal(twelve_leads(eight), [1, 3, 2, -2, -0.5, 2.5, 11, 12, 13, 14, 15, 16])


def test_lead_field_is_inverted_by_the_published_inverse() -> None:
    # Edenbrandt & Pahlm 1988: X, Y, Z from V1…V6, I, II, the pseudo-inverse of Dower's matrix.
    published = np.array(
        [
            [-0.172, -0.074, 0.122, 0.231, 0.239, 0.194, 0.156, -0.010],
            [0.057, -0.019, -0.106, -0.022, 0.041, 0.048, -0.227, 0.887],
            [-0.229, -0.310, -0.246, -0.063, 0.055, 0.108, 0.022, 0.102],
        ]
    )
    ours = np.linalg.pinv(np.roll(lead_field(Torso()), -2, axis=0))
    np.testing.assert_allclose(ours, published, atol=0.002)


def test_a_voltage_common_to_all_electrodes_is_in_no_lead() -> None:
    np.testing.assert_allclose(ELECTRODES_TO_LEADS @ np.ones(9), 0, atol=1e-12)
    np.testing.assert_array_equal(ELECTRODES_TO_LEADS @ np.eye(9)[1], [1, 0, *[-1 / 3] * 6])


@pytest.mark.parametrize("rate", [45, 60, 90])
def test_qt_shortens_with_the_cube_root_of_the_cycle(rate: float) -> None:
    steady = Physiology(rhythm=Rhythm(heart_rate_bpm=rate, rr_variability=0.0))
    ecg = simulate_physiology(steady, seed=0, fs=1000, noise=None)
    beat = ecg.signal[ecg.r_index[1] : ecg.r_index[1] + 450, COLUMN["V5"]]
    t_end = 100 + beat[100:].argmax() + int((beat[100 + beat[100:].argmax() :] < 0.05 * beat[100:].max()).argmax())
    onset_to_r = 45
    assert t_end + onset_to_r == pytest.approx(1000 * steady.conduction.qt_interval_s * (60 / rate) ** (1 / 3), abs=12)


def test_qt_follows_the_interval_before_within_a_record() -> None:
    rhythm = Rhythm(mechanism="fibrillation", heart_rate_bpm=60.0, rr_variability=0.25, f_wave_mv=0.0)
    ecg = simulate_physiology(Physiology(rhythm=rhythm), seed=1, fs=1000, seconds=60.0, noise=None)
    lead, rr = ecg.signal[:, COLUMN["V5"]], np.diff(ecg.r_index)
    peaks = [100 + int(lead[r + 100 : r + 450].argmax()) for r in ecg.r_index[1:-1]]
    long_after = np.array(rr[1:] > 600)
    assert np.corrcoef(rr[:-1][long_after], np.array(peaks)[long_after])[0, 1] > 0.9


@pytest.mark.parametrize("rate", [20, 35, 60, 100, 150, 220, 300])
@pytest.mark.parametrize("rhythm", ["sinus rhythm", "AF"])
def test_heart_rate_is_kept_from_20_to_300(rate: float, rhythm: str) -> None:
    ecg = simulate_ecg([rhythm], seed=2, heart_rate=rate, seconds=120.0)
    rr = np.diff(ecg.r_index) / ecg.fs
    # Forty independent intervals leave the mean of a slow fibrillation uncertain.
    assert 60 / rr.mean() == pytest.approx(rate, rel=0.12 if rhythm == "AF" else 0.05)
    assert rr.min() > 0.4 * 60 / rate
    gap = 2 * 60 / rate
    assert ecg.r_index[0] / ecg.fs < gap
    assert 120 - ecg.r_index[-1] / ecg.fs < gap


def test_rate_names_the_sinus_rhythm() -> None:
    assert simulate_ecg(seed=0, heart_rate=59).disorders == ("SBRAD",)
    assert simulate_ecg(seed=0, heart_rate=60).disorders == ("SR",)
    assert simulate_ecg(seed=0, heart_rate=101).disorders == ("STACH",)
    assert simulate_ecg("LBBB", seed=0).disorders == ("SR", "LBBB")
    assert simulate_ecg(["AF", "PVC"], seed=0, heart_rate=150).disorders == ("AF", "PVC")


def test_asystole_is_flat() -> None:
    ecg = simulate_ecg(seed=0, heart_rate=0, noise=None)
    assert not ecg.signal.any()
    assert ecg.r_index.size == 0
    assert ecg.disorders == ()
    assert simulate_ecg(seed=0, heart_rate=0).signal.std() > 0


def test_rr_intervals_have_the_two_peaked_spectrum() -> None:
    rhythm = Rhythm(rr_variability=0.05, lf_hf_ratio=2.0, mayer_hz=0.1, respiration_hz=0.3)
    series = rr_tachogram(rhythm, 600.0, np.random.default_rng(0))
    assert series.mean() == pytest.approx(1)
    assert series.std() == pytest.approx(0.05)
    frequency = np.fft.rfftfreq(series.size, 0.25)
    power = np.abs(np.fft.rfft(series - 1)) ** 2
    low = power[(frequency > 0.05) & (frequency < 0.15)].sum()
    high = power[(frequency > 0.25) & (frequency < 0.35)].sum()
    assert low / high == pytest.approx(2.0, rel=0.05)
    assert low + high == pytest.approx(power.sum(), rel=0.01)


@pytest.mark.parametrize("code", DISORDERS)
def test_r_peaks_are_where_the_heart_vector_is_largest(code: str) -> None:
    ecg = clean(code, seed=8)
    magnitude = np.linalg.norm(ecg.signal[:, [COLUMN[lead] for lead in ("I", "aVF", "V2")]], axis=1)
    inner = [r for r in ecg.r_index if 120 < r < len(magnitude) - 120]
    assert len(inner) > 4
    nearest = [abs(int(magnitude[r - 100 : r + 100].argmax()) - 100) for r in inner]
    # Three leads are not quite orthogonal, so their largest sum may lie elsewhere in a broad QRS.
    assert np.median(nearest) <= (60 if code in {"LBBB", "RBBB", "AMI"} else 20)


def test_a_published_detector_finds_the_true_beats_of_sinus_rhythm() -> None:
    hits = truths = founds = 0
    for seed in range(40):
        ecg = simulate_ecg(seed=seed)
        found = sleepecg.detect_heartbeats(ecg.signal[:, COLUMN["II"]], ecg.fs)
        # A beat cut by the edge of the record is nobody's.
        inner = ecg.r_index[(ecg.r_index >= 100) & (ecg.r_index < 4900)]
        seen = found[(found >= 63) & (found < 4937)]
        truths += len(inner)
        hits += matched(inner, found, 0.075 * ecg.fs)
        founds += len(seen) - matched(seen, ecg.r_index, 0.075 * ecg.fs)
    f1 = 2 * hits / (2 * hits + (truths - hits) + founds)
    assert f1 >= 0.99, f"{f1=:.4f}: {hits} of {truths} true beats found, {founds} false ones"


def test_same_seed_same_record_and_other_seed_another() -> None:
    first, again = (simulate_ecg(["AF", "PVC"], seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.signal, again.signal)
    np.testing.assert_array_equal(first.r_index, again.r_index)
    assert first.parameters == again.parameters
    assert simulate_ecg(["AF", "PVC"], seed=6).parameters != first.parameters


@pytest.mark.parametrize("code", DISORDERS)
def test_sampling_rate_and_noise_leave_patient_and_beats_alone(code: str) -> None:
    fine, coarse = (simulate_ecg([code], seed=7, fs=fs, noise=None) for fs in (1000, 500))
    np.testing.assert_allclose(fine.signal[::2], coarse.signal, atol=1e-4)
    np.testing.assert_allclose(fine.r_index / 2, coarse.r_index, atol=1)
    noisy = simulate_ecg([code], seed=7)
    np.testing.assert_array_equal(noisy.r_index, coarse.r_index)
    assert noisy.parameters == coarse.parameters
    assert 0.003 < (noisy.signal - coarse.signal).std() < 0.5


@pytest.mark.parametrize(("fs", "seconds"), [(100, 10.0), (360, 7.3), (500, 60.0), (257, 1.0), (1000, 0.5)])
def test_any_rate_and_length(fs: int, seconds: float) -> None:
    ecg = simulate_ecg(seed=0, fs=fs, seconds=seconds)
    assert ecg.signal.shape == (round(fs * seconds), 12)
    assert ((ecg.r_index >= 0) & (ecg.r_index < len(ecg.signal))).all()
    assert (np.diff(ecg.r_index) > 0).all()


def test_every_patient_differs() -> None:
    rs = [np.abs(clean("SR", seed=seed).signal[:, COLUMN["V5"]]).max() for seed in range(30)]
    axes = [clean("SR", seed=seed).parameters.ventricles.qrs_axis_deg for seed in range(30)]
    assert np.std(rs) / np.mean(rs) > 0.1
    assert np.std(axes) > 8


@pytest.mark.parametrize("mains", [50.0, 60.0])
def test_each_kind_of_noise_is_where_it_belongs(mains: float) -> None:
    silent = dict.fromkeys(("powerline_mv", "emg_mv", "baseline_mv", "motion_mv"), 0.0)

    def spectrum(**amount: float) -> tuple[np.ndarray, np.ndarray]:
        config = NoiseConfig(**{**silent, "powerline_hz": mains, "motion_per_minute": 60.0, **amount})
        noise = electrode_noise(config, 0.25, 500, 30_000, np.random.default_rng(1))
        return np.fft.rfftfreq(30_000, 1 / 500), (np.abs(np.fft.rfft(noise, axis=0)) ** 2).sum(axis=1)

    def share(low: float, high: float, **amount: float) -> float:
        frequency, power = spectrum(**amount)
        return float(power[(frequency >= low) & (frequency <= high)].sum() / power.sum())

    assert share(mains - 0.1, mains + 0.1, powerline_mv=0.1) > 0.9
    assert share(10, 200, emg_mv=0.1) > 0.85
    assert share(0, 0.5, baseline_mv=0.1) > 0.98
    assert share(0.3, 12, motion_mv=0.1) > 0.95
    assert spectrum()[1].sum() == 0


def test_hum_beyond_the_sampling_rate_is_left_out() -> None:
    config = NoiseConfig(powerline_mv=1.0, powerline_hz=60.0, emg_mv=0, baseline_mv=0, motion_mv=0)
    assert not electrode_noise(config, 0.25, 100, 1000, np.random.default_rng(0)).any()


def test_names_and_codes_mean_the_same() -> None:
    for code, name in DISORDER_NAMES.items():
        by_code, by_name = (simulate_ecg([text], seed=1) for text in (code.lower(), name.upper()))
        np.testing.assert_array_equal(by_code.signal, by_name.signal)
        assert code in by_code.disorders


def test_given_physiology() -> None:
    still = Physiology(rhythm=Rhythm(heart_rate_bpm=75.0, rr_variability=0.0))
    ecg = simulate_physiology(still, seed=0, noise=None)
    np.testing.assert_array_equal(np.diff(ecg.r_index), 400)
    again = simulate_physiology(simulate_ecg(["IMI"], seed=4).parameters, seed=4)
    np.testing.assert_array_equal(again.signal, simulate_ecg(["IMI"], seed=4).signal)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"disorders": ["WPW"]}, "unknown disorder 'WPW'.*STACH"),
        ({"disorders": [3]}, "unknown disorder 3"),
        ({"disorders": ["AF", "SR"]}, "AF and SR exclude each other"),
        ({"disorders": ["LBBB", "RBBB"]}, "LBBB and RBBB exclude each other"),
        ({"disorders": ["1AVB", "AF"]}, "no PR interval"),
        ({"disorders": ["STACH"], "heart_rate": 70}, "STACH contradicts heart_rate=70"),
        ({"disorders": ["PVC"], "heart_rate": 0}, "PVC cannot show"),
        ({"disorders": ["PVC"], "seconds": 0.5}, "no place for a premature beat.*raise seconds"),
        ({"heart_rate": 19}, "from 20 to 300 bpm, got 19"),
        ({"heart_rate": 301}, "got 301"),
        ({"heart_rate": -5}, "got -5"),
        ({"heart_rate": float("nan")}, "got nan"),
        ({"fs": 0}, "at least 50 Hz.*got 0"),
        ({"fs": -500}, "got -500"),
        ({"seconds": -1.0}, "positive number, got -1.0"),
        ({"seconds": 0.0}, "got 0.0"),
        ({"seconds": float("inf")}, "got inf"),
        ({"seconds": 1e-4}, "no sample"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_bad_settings_are_refused_by_value(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate_ecg(**{"seed": 0, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"fs": 500.0}, {"fs": True}, {"seed": 1.5}, {"seed": None}])
def test_wrong_types_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="must be an integer"):
        simulate_ecg(**{"seed": 0, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings", [{"emg_mv": -0.1}, {"baseline_mv": float("nan")}, {"motion_mv": float("inf")}, {"powerline_hz": 0.0}]
)
def test_bad_noise_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"NoiseConfig.{next(iter(settings))}"):
        NoiseConfig(**settings)
