"""Lead tokens of a pre-trained encoder as features for any other tool, here scikit-learn.

    python examples/probe_features.py --store demo/beats --checkpoint demo/pretraining/clear.safetensors

Needs a store (`clear-hug prepare`) with labels and a checkpoint (`clear-hug pretrain`); `clear-hug demo` makes both.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clear_hug.data.store import BeatStore
from clear_hug.training.batches import TEST, TRAIN, split_rows
from clear_hug.training.checkpoint import check_compatible
from clear_hug.training.features import compute_features
from clear_hug.training.metrics import bootstrap_macro_auroc, scorable_classes
from clear_hug.training.probe_run import choose_task
from clear_hug.training.restore import load_encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--task")
    arguments = parser.parse_args()

    store = BeatStore.open(arguments.store)
    task = choose_task(store, arguments.task)
    encoder, manifest = load_encoder(arguments.checkpoint)
    check_compatible(manifest, store.manifest)

    features = compute_features(encoder, store).mean(axis=1)  # [R, E], mean over the leads
    labels, labelled = np.asarray(store.labels(task)), np.asarray(store.labelled(task))
    train, test = (rows[labelled[rows]] for rows in (split_rows(store, TRAIN), split_rows(store, TEST)))
    scores = np.zeros((len(test), labels.shape[1]))
    for c in np.flatnonzero(scorable_classes(labels[train])):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        scores[:, c] = model.fit(features[train], labels[train, c]).predict_proba(features[test])[:, 1]
    macro = bootstrap_macro_auroc(labels[test], scores)
    print(f"logistic regression on lead tokens, task {task!r}: test macro AUROC {macro} over {len(test)} records")


if __name__ == "__main__":
    main()
