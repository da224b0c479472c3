"""`cross_validate`: k trainings, each scored on images of other subjects, with mean and spread of the scores."""

import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.core.errors import FerError
from fer.core.files import replacing, write_text
from fer.core.text import aligned
from fer.data.dataset import Dataset
from fer.data.places import IN_MEMORY
from fer.data.splitting import folds
from fer.data.unseen import decided_by_validation, is_of
from fer.evaluation import metrics
from fer.evaluation.metrics import Report
from fer.models.bundled import find_model
from fer.models.classifier import Classifier
from fer.models.model_file import read_info
from fer.training import train
from fer.training.config import TrainingConfig, check_effect, check_loaded, configure

logger = logging.getLogger(__name__)

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
TABLE, POOLED = "folds.csv", "pooled.json"  # in the run folder
WITHOUT_EFFECT = ("output", "validation_fraction", "unseen_validation")  # settings of a single training


@dataclass(frozen=True)
class CrossValidation:
    """Scores of a k-fold cross-validation. Built by `cross_validate`.

    Attributes:
        reports: of each fold, on its validation images.
        pooled: of all images, each predicted by the model that has not been trained on it.
        results: the training of each fold, with its model file and run folder.
        n_training: number of training images of each fold.
        subjects: True where subjects were kept apart, False where only identical images were.
        chosen: True where each fold chose its epoch, end, learning rate or temperature by the images that score it.
    """

    reports: tuple[Report, ...]
    pooled: Report
    results: tuple[train.TrainingResult, ...]
    n_training: tuple[int, ...]
    subjects: bool
    chosen: bool

    def values(self, score: str = "accuracy") -> np.ndarray:
        """float64 (k,): a score of each fold, by its name in `Report`."""
        return np.array([getattr(report, score) for report in self.reports])

    def table(self) -> pd.DataFrame:
        """A row for each fold: its number, its numbers of images, and `SCORES`."""
        counts = {"training": self.n_training, "validation": [report.n_images for report in self.reports]}
        return pd.DataFrame(
            {"fold": range(1, len(self.reports) + 1)} | counts | {name: self.values(name) for name in SCORES}
        )

    def summary(self) -> str:
        """The table, then mean and standard deviation (k - 1 in the denominator) of the scores."""
        table = self.table()
        rows = [[*table.columns]]
        for row in table.itertuples(index=False):
            number, *counts = row[:3]
            rows.append([str(number), *(f"{count:,}" for count in counts), *(f"{score:.4f}" for score in row[3:])])
        values = [self.values(name) for name in SCORES]
        rows.append(["mean", "", "", *(f"{value.mean():.4f}" for value in values)])
        rows.append(["standard deviation", "", "", *(f"{value.std(ddof=1):.4f}" for value in values)])
        kind = "subjects kept apart" if self.subjects else "identical images kept together"
        lines = [f"{len(self.reports)}-fold cross-validation, {kind}", aligned(rows)]
        if self.chosen:
            lines.append("Each fold chose its epoch, end, rate or temperature by the images that score it: optimistic.")
            lines.append("Without that: --keep-best last --patience 0 --schedule cosine --no-calibrate")
        return "\n".join(lines)


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
        data: what `fer.data.loading.load` takes as its source, all splits together; or a loaded data set.
        recipe: a recipe or the name of one.
        folds: k; every image is validated once. Subjects and identical images stay on one side.
        overwrite: replace the folds of an earlier run.
        verbose: as for `keras.Model.fit`.
        settings: as for `fer.train` but for `output` and `validation_fraction`: the models go to
            run_dir/fold-1/model.keras and so on, the scores to run_dir/folds.csv and run_dir/pooled.json.

    Returns:
        The scores of each fold, and of all folds together.

    Raises:
        FerError: as `fer.train`; or fewer than k subjects or images.
        TypeError: an unknown setting.
    """
    if without := [name for name in WITHOUT_EFFECT if name in settings]:
        raise FerError(f"without effect on a cross-validation: {', '.join(without)}")
    loaded = isinstance(data, Dataset)
    if loaded:
        check_loaded(settings.keys() - {"split_seed"})  # which divides them into folds
    config = configure(recipe, data=IN_MEMORY if loaded else str(data), **settings)
    check_effect(config, settings)
    check(config, folds, overwrite=overwrite)
    images = data if isinstance(data, Dataset) else train.load_data(config, splits=("all",))["all"]
    return run(config, images, folds, verbose=verbose)


def check(config: TrainingConfig, k: int, *, overwrite: bool = False) -> None:
    """Refuses a cross-validation before its data are loaded.

    Raises:
        FerError: a fold would replace an earlier one unasked, or stand beside those of another division; a model to
            start from or to distil is none, or has seen the images of the folds; or votes change what the folds score.
    """
    if config.has_votes and config.recipe.vote_mode == "mixed":
        text = "folds take no labels mixed with votes: every image is scored, and votes change its label"
        raise FerError(f"{text}; vote_mode 'majority' or 'shares' scores the votes")
    train.check_models(config)
    for path in filter(None, (config.init, *config.teacher)):
        if config.data != IN_MEMORY and is_of(read_info(find_model(path)).metadata, config.data):
            text = "was trained on data of this name, and may have seen the images that the folds score"
            raise FerError(f"{path} {text}; if these are others, rename their folder")
    for place in Path(config.run_dir).glob("fold-*"):
        digits = place.name.removeprefix("fold-")
        if digits.isdigit() and int(digits) > k:
            raise FerError(f"{place} is of a cross-validation with more folds: remove it, or choose another run folder")
    for number in range(1, k + 1):
        if not overwrite and (taken := _of_fold(config, number).existing()):
            raise FerError(f"{taken} exists: overwrite it, or choose another run folder")


def run(config: TrainingConfig, data: Dataset, k: int, *, verbose: int = 0) -> CrossValidation:
    """Cross-validates on loaded data; see `cross_validate`.

    Args:
        config: of every fold; `output` is not used.
        data: all images.
        k, verbose: see `cross_validate`.

    Raises:
        FerError: as `cross_validate`, but files of earlier folds are replaced.
    """
    recipe, found = dataclasses.replace(config.recipe, unseen_validation=False), None  # every image is scored
    config = dataclasses.replace(config, recipe=recipe)
    chosen = bool(decided_by_validation(dataclasses.asdict(recipe)))
    reports: list[Report] = []
    results: list[train.TrainingResult] = []
    n_training: list[int] = []
    predicted: list[tuple[np.ndarray, np.ndarray]] = []
    for number, parts in enumerate(folds(data, k, config.split_seed), 1):
        pair = train.clean(dict(zip(("train", "validation"), parts, strict=True)), recipe)
        n_training.append(len(pair["train"]))
        logger.info("fold %d of %d: %s training images", number, k, f"{n_training[-1]:,}")
        split = {"fold": f"{number} of {k}", "split_seed": config.split_seed}
        results.append(train.run(_of_fold(config, number), pair, overwrite=True, verbose=verbose, split=split))
        classifier = Classifier.load(results[-1].output)  # not that of the result, which would keep k networks
        predicted.append((classifier.predict(pair["validation"].images), pair["validation"].targets))
        reports.append(metrics.compute_report(*predicted[-1], classifier.labels))
        probabilities, targets = (np.concatenate(parts) for parts in zip(*predicted, strict=True))
        pooled = metrics.compute_report(probabilities, targets, classifier.labels)
        numbers = tuple(reports), pooled, tuple(results), tuple(n_training)
        found = CrossValidation(*numbers, subjects=bool(data.groups), chosen=chosen)
        with replacing(Path(config.run_dir, TABLE)) as path:  # after each fold: what was reached survives an end
            found.table().to_csv(path, index=False)
        write_text(Path(config.run_dir, POOLED), json.dumps(pooled.to_dict(), indent=1))
    assert found is not None  # `folds` gives two or more
    return found


def _of_fold(config: TrainingConfig, number: int) -> TrainingConfig:
    place = Path(config.run_dir, f"fold-{number}")
    return dataclasses.replace(config, run_dir=str(place), output=str(place / "model.keras"))
