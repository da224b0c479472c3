"""`cross_validate`: k trainings, each scored on images of other persons, with mean and spread of the scores."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.core.errors import FerError
from fer.core.files import replacing
from fer.core.text import aligned
from fer.data.dataset import Dataset
from fer.data.places import IN_MEMORY
from fer.data.splitting import folds
from fer.evaluation import metrics
from fer.evaluation.metrics import Report
from fer.training import train
from fer.training.config import OF_DATA, TrainingConfig, check_effect, configure

logger = logging.getLogger(__name__)

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
TABLE = "folds.csv"  # in the run folder


@dataclass(frozen=True)
class CrossValidation:
    """Scores of a k-fold cross-validation. Built by `cross_validate`.

    Attributes:
        reports: of each fold, on its validation images.
        results: the training of each fold, with its model file and run folder.
        persons: True where persons were kept apart, False where only identical images were.
        chosen: True where each fold chose its epoch or its temperature on the images that score it.
    """

    reports: tuple[Report, ...]
    results: tuple[train.TrainingResult, ...]
    persons: bool
    chosen: bool

    def values(self, score: str = "accuracy") -> np.ndarray:
        """float64 (k,): a score of each fold, by its name in `Report`."""
        return np.array([getattr(report, score) for report in self.reports])

    def summary(self) -> str:
        """A row of scores for each fold, then their mean and standard deviation (k - 1 in the denominator)."""
        rows = [["fold", "training", "validation", *SCORES]]
        for number, (report, result) in enumerate(zip(self.reports, self.results, strict=True), 1):
            counts = (result.classifier.metadata["n_images"][split] for split in ("train", "validation"))
            scores = (f"{getattr(report, name):.4f}" for name in SCORES)
            rows.append([str(number), *(f"{count:,}" for count in counts), *scores])
        values = [self.values(name) for name in SCORES]
        rows.append(["mean", "", "", *(f"{value.mean():.4f}" for value in values)])
        rows.append(["standard deviation", "", "", *(f"{value.std(ddof=1):.4f}" for value in values)])
        kind = "persons kept apart" if self.persons else "identical images kept together"
        lines = [f"{len(self.reports)}-fold cross-validation, {kind}", aligned(rows)]
        if self.chosen:
            text = "Each fold chose its epoch or its temperature on the images that score it: slightly optimistic."
            lines.append(text)
        return "\n".join(lines)

    def write(self, path: str | Path) -> None:
        """Writes a CSV with a row for each fold: fold, images and scores."""
        rows = [
            {"fold": number, "images": report.n_images} | {name: getattr(report, name) for name in SCORES}
            for number, report in enumerate(self.reports, 1)
        ]
        with replacing(path) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)


def cross_validate(
    data: str | Path | Dataset = "demo",
    recipe: str | train.Recipe = "four-block",
    *,
    folds: int = 5,
    overwrite: bool = False,
    verbose: int = 0,
    **settings: Any,
) -> CrossValidation:
    """Trains and scores a model for each fold of all images.

        found = fer.cross_validate("ck+/", "four-block", folds=10)
        print(found.summary(), found.values("accuracy").mean())

    Args:
        data: what `fer.data.dataset.load` takes as its source, all splits together; or a loaded data set.
        recipe: a recipe or the name of one.
        folds: k; every image is validated once. Persons and identical images stay on one side.
        overwrite: replace the folds of an earlier run.
        verbose: as for `keras.Model.fit`.
        settings: as for `fer.train` but for `output`: the models go to run_dir/fold-1/model.keras and so on, the
            scores to run_dir/folds.csv.

    Raises:
        FerError: as `fer.train`; or fewer than k persons or images.
        TypeError: an unknown setting.
    """
    loaded = isinstance(data, Dataset)
    if late := [name for name in settings if name == "output" or (loaded and name in OF_DATA and name != "split_seed")]:
        raise FerError(f"without effect on a cross-validation of these data: {', '.join(late)}")
    config = configure(recipe, data=IN_MEMORY if loaded else str(data), **settings)
    check_effect(config, settings)
    train.check_models(config)
    images = data if isinstance(data, Dataset) else train.load_data(config, splits=("all",))["all"]
    return run(config, images, folds, overwrite=overwrite, verbose=verbose)


def run(config: TrainingConfig, data: Dataset, k: int, *, overwrite: bool = False, verbose: int = 0) -> CrossValidation:
    """Cross-validates on loaded data; see `cross_validate`.

    Args:
        config: of every fold; `output` is not used.
        data: all images.
        k, overwrite, verbose: see `cross_validate`.

    Raises:
        FerError: as `cross_validate`.
    """
    places = [Path(config.run_dir, f"fold-{number}") for number in range(1, k + 1)]
    configs = [dataclasses.replace(config, run_dir=str(place), output=str(place / "model.keras")) for place in places]
    for fold in configs:
        if not overwrite and (taken := fold.existing()):
            raise FerError(f"{taken} exists: overwrite it, or choose another run folder")
    results, reports = [], []
    for number, (fold, parts) in enumerate(zip(configs, folds(data, k, config.split_seed), strict=True), 1):
        pair = train.clean(dict(zip(("train", "validation"), parts, strict=True)), config.recipe)
        counts = " and ".join(f"{len(part):,} {split}" for split, part in pair.items())
        logger.info("fold %d of %d: %s images", number, k, counts)
        split = {"fold": f"{number} of {k}", "split_seed": config.split_seed}
        results.append(train.run(fold, pair, verbose=verbose, split=split))
        classifier, validation = results[-1].classifier, pair["validation"]
        probabilities = classifier.predict(validation.images)
        reports.append(metrics.compute_report(probabilities, validation.targets, classifier.labels))
    chosen = config.recipe.calibrate or config.recipe.keep_best != "last"
    found = CrossValidation(tuple(reports), tuple(results), persons=bool(data.groups), chosen=chosen)
    found.write(Path(config.run_dir, TABLE))
    return found
