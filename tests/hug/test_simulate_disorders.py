"""Every disorder shows what its diagnosis asks for, measured on clean signals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import find_peaks
from simulate_measure import COLUMN, FS, BeatView, beat_of, clean, without_repolarisation

from clear_hug.simulate import simulate_physiology
from clear_hug.simulate.fibrillation import fibrillatory_waves

SEEDS = range(10)


def beat(*codes: str, seed: int, heart_rate: float = 70.0) -> BeatView:
    return beat_of(clean(*codes, seed=seed, heart_rate=heart_rate))


def qrs_ms(*codes: str, seed: int) -> int:
    return beat_of(without_repolarisation(clean(*codes, seed=seed), seed)).qrs_ms


@pytest.mark.parametrize("seed", SEEDS)
def test_sinus_rhythm_is_normal(seed: int) -> None:
    view = beat("SR", seed=seed, heart_rate=60.0)
    pr = view.pr_ms()
    assert pr is not None
    assert 120 <= pr <= 200
    assert 70 <= qrs_ms("SR", seed=seed) <= 110
    assert view.qrs("V1").max() > 0.1  # r of the septum
    assert view.qrs("V6").min() < -0.03  # its mirror image, a small q
    assert -view.qrs("V1").min() + max(view.qrs("V5").max(), view.qrs("V6").max()) < 3.5
    assert all(abs(view.st(lead)) < 0.1 for lead in COLUMN)
    assert view.t("II") > 0.05
    assert view.t("V5") > 0.1
    assert view.level("aVR")[view.r] < 0
    p_wave = view.level("II")[view.onset - pr : view.onset - 20]
    assert 0.04 < p_wave.max() < 0.25


@pytest.mark.parametrize("seed", SEEDS)
def test_pr_and_qrs_follow_their_parameters(seed: int) -> None:
    for code in ("SR", "1AVB"):
        ecg = clean(code, seed=seed, heart_rate=60)
        pr = beat_of(ecg).pr_ms()
        assert pr == pytest.approx(1000 * ecg.parameters.conduction.pr_interval_s, abs=15)
        assert qrs_ms(code, seed=seed) == pytest.approx(1000 * ecg.parameters.conduction.qrs_duration_s, abs=8)


@pytest.mark.parametrize("seed", SEEDS)
def test_first_degree_av_block_has_a_long_pr(seed: int) -> None:
    pr = beat("1AVB", seed=seed, heart_rate=60.0).pr_ms()
    assert pr is not None
    assert pr > 200


@pytest.mark.parametrize("seed", SEEDS)
def test_atrial_fibrillation_has_no_p_and_no_rhythm(seed: int) -> None:
    ecg = clean("AF", seed=seed, seconds=60.0)
    rr = np.diff(ecg.r_index)
    assert rr.std() / rr.mean() > 0.12
    # Neighbouring intervals have nothing to do with each other, unlike the slow swing of a sinus rhythm.
    assert abs(np.corrcoef(rr[:-1], rr[1:])[0, 1]) < 0.4

    def mean_before_qrs(code: str) -> np.ndarray:
        record = clean(code, seed=seed, seconds=60.0, heart_rate=65)
        lead = record.signal[:, COLUMN["II"]]
        return np.mean([lead[r - 300 : r - 50] for r in record.r_index if r > 300], axis=0)

    assert np.ptp(mean_before_qrs("SR")[60:]) > 1.4 * np.ptp(mean_before_qrs("AF")[60:])

    still = replace(ecg.parameters, rhythm=replace(ecg.parameters.rhythm, f_wave_mv=0.0, heart_rate_bpm=60.0))
    quiet = simulate_physiology(still, seed=seed, fs=FS, noise=None, seconds=20.0)
    gaps = [
        quiet.signal[late - 250 : late - 70]
        for early, late in zip(quiet.r_index, quiet.r_index[1:], strict=False)
        if late - early > 900
    ]
    assert gaps
    assert max(np.abs(gap).max() for gap in gaps) < 0.01


@pytest.mark.parametrize("seed", SEEDS)
def test_fibrillatory_waves_beat_at_four_to_nine_hertz(seed: int) -> None:
    rhythm = clean("AF", seed=seed).parameters.rhythm
    waves = fibrillatory_waves(rhythm, np.arange(20 * FS) / FS, np.random.default_rng(seed))
    power = np.abs(np.fft.rfft(waves[2])) ** 2
    assert 4.0 <= np.fft.rfftfreq(20 * FS, 1 / FS)[power.argmax()] <= 9.0


@pytest.mark.parametrize("seed", SEEDS)
def test_left_bundle_branch_block(seed: int) -> None:
    assert qrs_ms("LBBB", seed=seed) > 120
    view = beat("LBBB", seed=seed)
    assert view.qrs("V1").min() < -0.6  # deep S or QS
    assert view.qrs("V1").max() < 0.3 * -view.qrs("V1").min()
    for lead in ("I", "V5", "V6"):
        shape = view.qrs(lead)
        assert shape[:60].min() > -0.03, f"a q wave in {lead}"
        assert (shape > 0.5 * shape.max()).sum() > 40, f"R in {lead} is not broad"
        assert view.st(lead) < 0.03
        assert view.t(lead) < 0
    assert view.st("V1") > 0
    assert view.t("V1") > 0.05
    notched = [len(find_peaks(view.qrs(lead), prominence=0.02)[0]) >= 2 for lead in ("I", "aVL", "V5", "V6")]
    assert sum(notched) >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_right_bundle_branch_block(seed: int) -> None:
    assert qrs_ms("RBBB", seed=seed) > 120
    view = beat("RBBB", seed=seed)
    first = view.qrs("V1")
    s_at = int(first.argmin())
    assert first[:s_at].max() > 0.05  # r
    assert first[s_at] < -0.1  # S
    assert first[s_at:].max() > max(0.25, first[:s_at].max())  # R', the taller one
    assert view.t("V1") < 0
    for lead in ("I", "V6"):
        wave = view.qrs(lead)
        assert wave.argmin() > wave.argmax()
        assert (wave[wave.argmax() :] < -0.05).sum() > 40, f"S in {lead} is not wide"


@pytest.mark.parametrize("seed", SEEDS)
def test_left_ventricular_hypertrophy(seed: int) -> None:
    view = beat("LVH", seed=seed)
    assert -view.qrs("V1").min() + max(view.qrs("V5").max(), view.qrs("V6").max()) > 3.5  # Sokolow & Lyon
    assert view.st("V5") < -0.03
    assert min(view.t("V5"), view.t("V6")) < -0.02
    assert qrs_ms("LVH", seed=seed) < 120


@pytest.mark.parametrize("seed", SEEDS)
def test_anterior_infarction(seed: int) -> None:
    view = beat("AMI", seed=seed)
    elevation = {lead: view.st(lead) for lead in COLUMN}
    assert min(elevation["V2"], elevation["V3"]) > 0.2
    assert min(elevation[lead] for lead in ("V1", "V2", "V3", "V4")) > 0.05
    assert max(elevation[lead] for lead in ("I", "aVL", "aVF", "III", "V6")) < 0.2
    for lead in ("V1", "V2", "V3"):
        start = view.qrs(lead)[:45]
        assert start.min() < -0.25, f"no Q wave in {lead}"
        assert start[: start.argmin()].max() < 0.03, f"an r wave is left before the Q in {lead}"


@pytest.mark.parametrize("seed", SEEDS)
def test_inferior_infarction(seed: int) -> None:
    view = beat("IMI", seed=seed)
    for lead in ("II", "III", "aVF"):
        assert view.st(lead) > 0.1
        wave = view.qrs(lead)
        assert wave[:40].min() < -0.1, f"no Q wave in {lead}"
        assert wave[: int(wave.argmin())].max(initial=0) < 0.08
    assert (view.qrs("III") < -0.05).sum() >= 30  # wide enough to be pathological
    assert view.st("aVL") < -0.05  # reciprocal
    assert max(abs(view.st(lead)) for lead in ("V5", "V6")) < 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_premature_ventricular_beats(seed: int) -> None:
    ecg = clean("PVC", seed=seed, heart_rate=70, seconds=20.0)
    assert ecg.premature.any()
    rr = np.diff(ecg.r_index)
    typical = 60 * FS / 70
    for k in np.flatnonzero(ecg.premature):
        if 0 < k < len(rr):
            assert rr[k - 1] < 0.8 * typical, "not premature"
            assert rr[k] > 1.15 * typical, "no pause"
            assert rr[k - 1] + rr[k] == pytest.approx(2 * typical, rel=0.16), "the pause does not compensate"
    assert not (ecg.premature[1:] & ecg.premature[:-1]).any()
    isolated = beat_of(without_repolarisation(ecg, seed))
    early = beat_of(without_repolarisation(ecg, seed), premature=True)
    assert isolated.qrs_ms < 115
    assert early.qrs_ms > 120
    view = replace(beat_of(ecg, premature=True), onset=early.onset, j_point=early.j_point)
    lead = max(COLUMN, key=lambda name: abs(view.qrs(name).sum()))
    assert np.sign(view.qrs(lead).sum()) == -np.sign(view.t(lead)), "T is not opposite to QRS"


@pytest.mark.parametrize("seed", SEEDS)
def test_tachycardia_and_bradycardia(seed: int) -> None:
    fast, slow = (60 * FS / np.diff(clean(code, seed=seed).r_index).mean() for code in ("STACH", "SBRAD"))
    assert fast > 100
    assert slow < 60


def test_disorders_combine() -> None:
    view = beat("RBBB", "AMI", "1AVB", seed=4, heart_rate=60.0)
    pr = view.pr_ms()
    assert pr is not None
    assert pr > 200
    assert qrs_ms("RBBB", "AMI", "1AVB", seed=4) > 120
    assert view.st("V2") > 0.15
    assert view.qrs("V1")[60:].max() > 0.25
