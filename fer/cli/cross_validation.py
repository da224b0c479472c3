"""`train.py --folds k`: k trainings, each validated on images of other persons, and the mean of their scores."""

import dataclasses
from pathlib import Path

import numpy as np

from fer.cli import terminal
from fer.core.errors import FerError
from fer.core.text import aligned
from fer.data.splitting import folds
from fer.training.config import TrainingConfig

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")


def run(config: TrainingConfig, k: int, *, resume: bool = False) -> int:
    """Trains k models in run_dir/fold-1 ... and prints a row of scores for each, then mean and standard deviation.

    Raises:
        FerError: --resume, fewer than k persons, or what `fer.training.train.run` raises.
    """
    from fer.evaluation import metrics
    from fer.training import train

    if resume:
        raise FerError("--folds starts every fold anew: it does not go with --resume")
    data = train.load_data(config, splits=("all",), progress=terminal.progress)["all"]
    print(terminal.describe_data("all", data))
    rows = [["fold", "training", "validation", *SCORES]]
    scores = []
    for number, (training, validation) in enumerate(folds(data, k, config.split_seed), 1):
        place = Path(config.run_dir, f"fold-{number}")
        fold = dataclasses.replace(config, run_dir=str(place), output=str(place / "model.keras"))
        pair = train.clean({"train": training, "validation": validation}, config.recipe)
        print(f"fold {number} of {k}: {len(pair['train']):,} training images, {len(validation):,} validation images")
        result = train.run(fold, pair, verbose=terminal.verbosity())
        probabilities = result.classifier.predict(validation.images)
        report = metrics.compute_report(probabilities, validation.targets, result.classifier.labels)
        scores.append([getattr(report, name) for name in SCORES])
        counts = [f"{len(pair['train']):,}", f"{len(validation):,}"]
        rows.append([str(number), *counts, *(f"{score:.4f}" for score in scores[-1])])
    mean, deviation = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1)
    rows.append(["mean", "", "", *(f"{score:.4f}" for score in mean)])
    rows.append(["standard deviation", "", "", *(f"{score:.4f}" for score in deviation)])
    kind = "persons kept apart" if data.groups else "identical images kept together"
    print(f"\n{k}-fold cross-validation, {kind}\n{aligned(rows)}")
    return 0
