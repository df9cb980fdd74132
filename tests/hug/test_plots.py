"""Pictures are drawn to scale, show what they should, and touch no global state."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from clear_hug.ecg_paper import Bar, draw_ecg, layout
from clear_hug.leads import STANDARD_LEADS
from clear_hug.plots import auroc_bars, loss_curve, reconstruction, save_figure

FS = 100.0


def ecg(seconds=10.0, leads=12, fs=FS):
    t = np.arange(round(seconds * fs)) / fs
    beats = np.exp(-(((t % 0.8) - 0.4) ** 2) / 2e-4)
    return beats[:, None] * np.linspace(-1, 1.5, leads) + 3.0


def pixels(figure, tmp_path):
    with Image.open(save_figure(figure, tmp_path / "picture.png")) as image:
        return np.asarray(image.convert("RGB")).astype(int), image.size


def dark(image):
    return int((image.sum(axis=2) < 150).sum())


def test_twelve_leads_are_laid_out_as_usual():
    rows = layout(STANDARD_LEADS, 1000, FS)
    names = [[STANDARD_LEADS[lead] for lead, _, _ in row.pieces] for row in rows]
    assert names == [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"], ["II"]]
    assert [(a, b) for _, a, b in rows[0].pieces] == [(0, 250), (250, 500), (500, 750), (750, 1000)]
    assert rows[3].pieces[0][1:] == (0, 1000)
    assert rows[3].marks


def test_a_permutation_of_the_leads_draws_the_same():
    order = list(reversed(STANDARD_LEADS))
    names = [[order[lead] for lead, _, _ in row.pieces] for row in layout(order, 1000, FS)]
    assert names[0] == ["I", "aVR", "V1", "V4"]


def test_other_leads_get_a_row_each_and_long_records_are_cut():
    rows = layout(["II", "V5"], 6000, FS)
    assert [row.pieces for row in rows] == [((0, 0, 1000),), ((1, 0, 1000),)]


def test_the_paper_is_to_scale():
    """10 s are 250 mm, and 1 mV is 10 mm: the trace of lead II spans its voltage."""
    signal = ecg()
    figure = draw_ecg(signal, FS, STANDARD_LEADS)
    axes = figure.axes[0]
    width_mm = figure.get_size_inches()[0] * 25.4
    assert axes.get_xlim() == pytest.approx((0, width_mm))
    strip = max(axes.lines, key=lambda line: len(line.get_xdata()))
    x, y = strip.get_xdata(), strip.get_ydata()
    assert x[-1] - x[0] == pytest.approx(25 * 9.99)
    assert np.ptp(y) == pytest.approx(10 * np.ptp(signal[:, 1]))
    box = axes.get_position()
    assert box.height * figure.get_size_inches()[1] * 25.4 == pytest.approx(axes.get_ylim()[1])


def test_beats_are_marked_where_they_are():
    r_index = np.array([40, 120, 200, -1, 5000])
    axes = draw_ecg(ecg(), FS, STANDARD_LEADS, r_index).axes[0]
    marks = next(line for line in axes.lines if line.get_marker() == "v").get_xdata()
    strip = max(axes.lines, key=lambda line: len(line.get_xdata())).get_xdata()
    np.testing.assert_allclose(marks, strip[[40, 120, 200]])


def test_the_picture_is_drawn(tmp_path):
    image, size = pixels(
        draw_ecg(ecg(), FS, STANDARD_LEADS, [40], title="x", probabilities=[Bar("a", 0.3, True)]), tmp_path
    )
    assert size[0] > 1200
    assert dark(image) > 5000
    flat, _ = pixels(draw_ecg(np.zeros((1000, 12)), FS, STANDARD_LEADS), tmp_path)
    same_size = min(len(flat), len(image))
    assert (abs(flat[:same_size] - image[:same_size]).sum(axis=2) > 300).sum() > 1000, "the trace must be visible"


@pytest.mark.parametrize("seconds", [0.01, 3.0, 60.0])
def test_any_length(tmp_path, seconds):
    image, _ = pixels(draw_ecg(ecg(seconds), FS, STANDARD_LEADS, [0]), tmp_path)
    assert dark(image) > 500


def test_missing_samples_and_leads_leave_gaps(tmp_path):
    signal = ecg()
    signal[100:300, 1] = np.nan
    signal[:, 6] = np.nan
    image, _ = pixels(draw_ecg(signal, FS, STANDARD_LEADS), tmp_path)
    assert dark(image) > 3000


def test_a_signal_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"12 leads.*\(1000, 3\)"):
        draw_ecg(np.zeros((1000, 3)), FS, STANDARD_LEADS)


@pytest.mark.parametrize("validation", [[0.8, 0.5], []])
def test_loss_curve(tmp_path, validation):
    image, _ = pixels(loss_curve([0.9, 0.6], validation, title="a run"), tmp_path)
    assert dark(image) > 300


def test_reconstruction_and_bars(tmp_path):
    rng = np.random.default_rng(0)
    beats = rng.normal(size=(3, 5, 20))
    masked = rng.random((3, 5)) < 0.5
    image, _ = pixels(
        reconstruction(beats, beats, masked, np.ones((3, 5), bool), ["I", "II", "V1"], title="r"), tmp_path
    )
    assert dark(image) > 300
    rows = [("HUG, pre-trained", 0.9, 0.85, 0.95, "pre-trained"), ("linear, untrained", 0.4, 0.3, 0.5, "untrained")]
    figure = auroc_bars(rows, title="t", note="n")
    assert figure.axes[0].get_xlim()[0] < 0.3
    assert pixels(figure, tmp_path)[0].std() > 5


def test_a_failed_save_leaves_nothing(tmp_path):
    class Broken(Figure):
        def savefig(self, *args, **kwargs):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_figure(Broken(), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_pyplot_is_not_loaded():
    rows = [("linear", 0.4, 0.3, 0.5, "untrained")]
    code = (
        f"import sys; from clear_hug import plots; plots.auroc_bars({rows}, title='t', note='n'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "matplotlib.figure" in done.stdout.split()
    assert "matplotlib.pyplot" not in done.stdout.split()
