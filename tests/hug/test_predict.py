"""A prediction is what the classifier says about the record as prepared for training, and refusals say why."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from clear_hug.data.formats import SignalFacts
from clear_hug.data.record import Record, RecordError
from clear_hug.data.wfdb_reader import read_wfdb
from clear_hug.leads import STANDARD_LEADS
from clear_hug.predict import (
    PredictionError,
    draw_prediction,
    heart_rate,
    predict_file,
    predict_record,
    preparation_settings,
)
from clear_hug.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from clear_hug.training.probe_run import CLASSIFIER, PREDICTIONS, read_predictions
from clear_hug.training.restore import load_classifier


@pytest.fixture(scope="module")
def checkpoint(micro_demo):
    return micro_demo.out / "probe-hug-pre-trained-100" / CLASSIFIER


@pytest.fixture(scope="module")
def classifier(checkpoint):
    return load_classifier(checkpoint)


def record_of(micro_demo, row):
    return read_wfdb(micro_demo.out / "records" / micro_demo.store.sources[row])


def test_prediction_agrees_with_the_probe_on_every_test_record(micro_demo, classifier):
    """From the file through another path (no store, no cached features) to the same probabilities."""
    names, _, expected = read_predictions(micro_demo.out / "probe-hug-pre-trained-100" / PREDICTIONS)
    for name, row in zip(names, expected, strict=True):
        found = predict_record(record_of(micro_demo, micro_demo.store.names.index(name)), *classifier)
        got = [found.probabilities[c] for c in classifier[0].classes]
        np.testing.assert_allclose(got, row, atol=1e-5)


def test_what_a_prediction_holds(micro_demo, checkpoint):
    row = micro_demo.shown_row()
    found = predict_file(micro_demo.out / "records" / micro_demo.store.sources[row], checkpoint)
    assert found.simulated
    assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)
    assert found.class_names["LBBB"] == "left bundle branch block (LBBB)"
    assert found.present == [n for n, p in found.probabilities.items() if p >= found.thresholds[n]]
    assert found.leads == STANDARD_LEADS
    assert found.signal.shape == (1250, 12)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert "not a medical device" in data["disclaimer"]


def test_order_of_leads_and_rate_do_not_matter(micro_demo, classifier):
    record = record_of(micro_demo, 0)
    turned = replace(record, signal=record.signal[:, ::-1], leads=record.leads[::-1])
    first, second = (predict_record(r, *classifier).probabilities for r in (record, turned))
    assert first == pytest.approx(second, abs=1e-6)
    faster = replace(record, signal=np.repeat(record.signal, 4, axis=0), fs=record.fs * 4)
    assert predict_record(faster, *classifier).beats_found == predict_record(record, *classifier).beats_found


def test_beats_beyond_the_slots_are_shown_as_unread(micro_demo, classifier):
    record = record_of(micro_demo, 0)
    long = replace(record, signal=np.tile(record.signal, (4, 1)))
    found = predict_record(long, *classifier)
    assert found.beats_read == 14 < found.beats_found == len(found.r_index)
    assert any("first 14 kept" in note for note in found.notes)
    figure = draw_prediction(found)
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "v"]
    assert len(marks) == 2
    assert "first 10 s drawn" in figure.texts[1].get_text()


def test_a_missing_lead_is_noted(micro_demo, classifier):
    record = record_of(micro_demo, 0)
    without = replace(record, signal=record.signal[:, :-1], leads=record.leads[:-1])
    found = predict_record(without, *classifier)
    assert any("V6 missing" in note for note in found.notes)
    assert np.isnan(found.signal[:, -1]).all()


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        (np.zeros((1000, 12)), "no beats|no usable lead"),
        (np.full((1000, 12), np.nan), "no usable lead"),
        (np.random.default_rng(0).normal(size=(20, 12)), "too short"),
    ],
)
def test_records_without_beats_are_refused(classifier, signal, words):
    record = Record(signal, 100.0, STANDARD_LEADS, "bad")
    with pytest.raises(PredictionError, match=f"record bad cannot be diagnosed: .*({words})"):
        predict_record(record, *classifier)


def test_unreadable_records_are_refused(tmp_path, checkpoint):
    with pytest.raises(RecordError, match="nothing"):
        predict_file(tmp_path / "nothing", checkpoint)


def test_a_recording_in_another_format(micro_demo, checkpoint, tmp_path):
    record = record_of(micro_demo, 0)
    np.savez(tmp_path / "r.npz", signal=record.signal, fs=record.fs, leads=np.array(record.leads), units="mV")
    np.save(tmp_path / "bare.npy", record.signal * 1000)
    expected = predict_file(micro_demo.out / "records" / micro_demo.store.sources[0], checkpoint)
    facts = SignalFacts(fs=record.fs, leads=record.leads, units="uV")
    for found in (predict_file(tmp_path / "r.npz", checkpoint), predict_file(tmp_path / "bare.npy", checkpoint, facts)):
        assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
        assert found.record in ("r", "bare")


def test_a_pretraining_checkpoint_is_no_classifier(micro_demo):
    with pytest.raises(CheckpointError, match="`clear-hug probe` writes one"):
        predict_file("anything", micro_demo.out / "pretraining" / "clear.safetensors")


def test_contradicting_or_unknown_preparation_is_refused(checkpoint, tmp_path):
    manifest, tensors = load_checkpoint(checkpoint)
    preparation = manifest["preparation"]
    for change, words in (
        ({"beats": 15}, "beats: the checkpoint has 14, the data 15"),
        ({"detector": "another 9"}, "beat detector 'another 9'"),
        ({"tokenizer": "unheard of"}, "does not say how to prepare"),
    ):
        path = save_checkpoint(
            tmp_path / "x.safetensors", tensors, {**manifest, "preparation": {**preparation, **change}}
        )
        with pytest.raises(CheckpointError, match=words):
            preparation_settings(load_checkpoint(path)[0])
    with pytest.raises(CheckpointError, match="does not say how to prepare"):
        preparation_settings({**manifest, "preparation": {}})


def test_heart_rate():
    assert heart_rate(np.array([100, 200, 300]), 100.0) == pytest.approx(60)
    assert heart_rate(np.array([5]), 100.0) is None


def test_real_records(shared_dir, classifier):
    """Any 12-lead record can be read by a classifier trained elsewhere; what it says is another matter."""
    for path in sorted((shared_dir / "data" / "ptbxl" / "records100").rglob("*.hea"))[:3]:
        found = predict_record(read_wfdb(path), *classifier)
        assert not found.simulated
        assert found.heart_rate is not None
        assert 30 < found.heart_rate < 200
