"""What models say of labelled pictures, and what is made of their answers beyond the report."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer.cli import common
from fer.core import figures, files
from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import attributes, dataset, duplicates
from fer.data.dataset import Dataset
from fer.evaluation import comparison, groups, metrics, selective
from fer.evaluation.intervals import of_accuracy
from fer.models.classifier import Classifier
from fer.models.ensemble import average
from fer.models.model_file import read_info, update_metadata

SHEET = 64  # pictures on the contact sheet of mistakes


@dataclass(frozen=True, eq=False)  # eq=False: == on arrays has no single truth value
class Answers:
    """What a model, or several averaged, say of labelled pictures.

    Attributes:
        name: of the model, or of all.
        pictures: labels in the model's order.
        probabilities: float32 (n, k).
        metadata: file name and metadata of each model.
    """

    name: str
    pictures: Dataset
    probabilities: np.ndarray
    metadata: tuple[tuple[str, dict], ...] = ()

    @property
    def refit(self) -> list[str]:
        """Models that were trained on their validation pictures as well (`train.py --refit`)."""
        return [name for name, metadata in self.metadata if metadata.get("refit")]

    @property
    def true(self) -> np.ndarray:
        """int64 (n,), indexes of the true labels."""
        return self.pictures.targets.argmax(axis=1)

    @property
    def said(self) -> np.ndarray:
        """int64 (n,), indexes of the most probable labels."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """float32 (n,), probability of the label said."""
        return self.probabilities.max(axis=1)

    def risk_coverage(self) -> selective.RiskCoverage:
        return selective.risk_coverage(self.confidence, self.said == self.true)

    def report(self, rows: np.ndarray | slice = slice(None)) -> metrics.Report:
        """The scores of all pictures, or of some rows."""
        return metrics.report(self.probabilities[rows], self.pictures.targets[rows], self.pictures.labels)


def answers(args, teams: Sequence[Sequence[str]]) -> list[Answers]:
    """Loads the data that a script's arguments name and lets teams of models answer, each averaged within itself.

    Args:
        args: those of `cli.add_data_arguments`, `split` and `tta`.
        teams: paths of models; one team's share their labels.

    Raises:
        FerError: of the models and the data; or resized to what each model takes, the data split differently.
    """
    infos = {path: read_info(path) for team in teams for path in team}  # refuses bad files at once
    common.take_split(args, [info.metadata for info in infos.values()])
    specs = {path: info.spec for path, info in infos.items()}
    data = {spec: common.load_data(args, spec, (args.split,))[args.split] for spec in set(specs.values())}
    if len({part.names for part in data.values()}) > 1:
        raise FerError(
            "these models cannot be averaged or compared here: resized to what each takes, the data split differently"
        )
    with common.quiet():
        models = {path: Classifier.load(path) for path in infos}
    found = []
    for team in teams:
        pictures = data[specs[team[0]]].align(models[team[0]].labels)
        images = [data[specs[path]].images for path in team]
        probabilities = average([models[path] for path in team], images, tta=args.tta)
        metadata = tuple((Path(path).name, infos[path].metadata) for path in team)
        found.append(Answers(" + ".join(name for name, _ in metadata), pictures, probabilities, metadata))
    return found


def questions(args, found: Answers, others: Sequence[Answers]) -> dict:
    """Answers what the arguments of `cli.add_question_arguments` ask.

    Returns:
        A name in the report -> what has `summary()` and `to_dict()`; "risk_coverage" always.
    """
    given = {}
    if args.unique_against:
        given["unique"] = unique_against(args, found)
    if others:
        given["comparison"] = compare(found, *others)
    if args.group_by:
        group = attributes.read(args.group_by, found.pictures, dataset.locate(args.data), args.attributes)
        pictures = found.pictures
        given["groups"] = groups.by_group(group, found.probabilities, pictures.targets, pictures.labels, args.group_by)
    if found.refit and args.store_threshold is not None:
        raise FerError(f"{found.refit[0]} was trained on its validation pictures: they can say nothing of a threshold")
    given["risk_coverage"] = found.risk_coverage()
    if args.store_threshold is not None:
        given["threshold"] = store_threshold(args.model[0], given["risk_coverage"], args.store_threshold, args.data)
    return given


def compare(a: Answers, b: Answers) -> comparison.Comparison:
    """Two teams on the same pictures; they may know different labels."""
    labels = tuple(dict.fromkeys((*a.pictures.labels, *b.pictures.labels)))
    codes = np.array([labels.index(label) for label in b.pictures.labels])
    names = (a.name, b.name) if a.name != b.name else ("the first", "the second")
    return comparison.compare(a.true, a.said, codes[b.said], len(labels), names)


@dataclass(frozen=True)
class Unique:
    """Scores of the pictures without a twin in training, beside those with one. Built by `unique_against`.

    Attributes:
        training: where the training pictures are from, and how many there are.
        alone, seen: scores of the pictures without and with a pixel-identical twin among them; None of no picture.
        far, close: scores of those without and with an exact or near twin (`twins.NEAR`); None of no picture.
    """

    training: tuple[str, int]
    alone: metrics.Report | None
    seen: metrics.Report | None
    far: metrics.Report | None
    close: metrics.Report | None

    def summary(self) -> str:
        source, count = self.training
        lines = [f"against the {count:,} training pictures of {source}"]
        names = ("without a twin", "nor a near twin", "with a twin", "exact or near twin")
        for name, report in zip(names, (self.alone, self.far, self.seen, self.close), strict=True):
            if report is None:
                lines.append(f"{name:<20}no images")
                continue
            low, high = of_accuracy(report)
            scores = f"{report.accuracy:.2%}  (95% interval {low:.2%} to {high:.2%}, {report.images:,} images)"
            lines.append(f"{name:<20}{scores}, macro F1 {report.macro_f1:.3f}")
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """As plain Python values, ready for `json.dump`; a part without images is None."""
        source, count = self.training
        plain = {"against": source, "training_images": count, "near_threshold": duplicates.NEAR}
        plain |= {"twins": _images(self.seen), "exact_or_near_twins": _images(self.close)}
        parts = {"without_twin": self.alone, "with_twin": self.seen}
        parts |= {"without_near_twin": self.far, "with_near_twin": self.close}
        return plain | {name: report and _scores(report) for name, report in parts.items()}


def _images(report):
    return report.images if report else 0


def _scores(report):
    ends = list(of_accuracy(report))
    return {"images": report.images, "accuracy": report.accuracy, "accuracy_ci95": ends, "macro_f1": report.macro_f1}


def unique_against(args, found: Answers) -> Unique:
    """Scores the pictures that have no twin in training, exact or near.

    The training pictures are the train split of `args.unique_against`, all pictures where it is not divided. Where it
    is the evaluated data itself, undivided, they are what the validation split left.
    """
    source, size = args.unique_against, found.pictures.images.shape[1:]
    spec = InputSpec(size=size[0], channels=size[2])
    if dataset.locate(source) == dataset.locate(args.data):
        training = common.load_data(_as_trained(args, found), spec, ("train",))["train"]
    else:
        options = {"splits": ("train",), "validation_fraction": None, "progress": common.progress}
        training = dataset.load(source, spec, **options)["train"]
    parts = []
    for near in (False, True):
        twin = duplicates.twins_in(found.pictures.images, training.images, near=near)
        parts += [found.report(rows) if rows.any() else None for rows in (~twin, twin)]
    return Unique((Path(source).name, len(training)), *parts)


def _as_trained(args, found):
    """The arguments without a keep list or votes that a model does not say it was trained with: what they leave out of
    the score it may have seen."""
    lists, voted = ([metadata.get(name) for _, metadata in found.metadata] for name in ("keep_list", "votes"))
    known = args.keep_list and set(lists) == {Path(args.keep_list).name}
    fewer = all(mode in ("shares", "majority") for mode in voted)  # "mixed" leaves no picture out
    given = {"keep_list": args.keep_list if known else None, "votes": args.votes if fewer else None}
    return argparse.Namespace(**vars(args) | given)


def store_threshold(path: str, curve: selective.RiskCoverage, accuracy: float, data: str) -> selective.Threshold:
    """Chooses the confidence below which a model is uncertain, and writes it into the model's metadata.

    Args:
        path: the model file, rewritten whole or not at all.
        curve: of its answers for validation pictures.
        accuracy: that the other pictures must reach.
        data: where the pictures are from; its last part goes into the metadata.

    Raises:
        FerError: the accuracy cannot be reached, or the file cannot be written.
    """
    chosen = selective.threshold(curve, accuracy)
    how = {"data": Path(data).name, "images": chosen.images, "asked": accuracy, "accuracy": chosen.accuracy}
    metadata = {"uncertain_below": chosen.below, "uncertain_chosen_on": how | {"coverage": chosen.coverage}}
    update_metadata(path, metadata)
    return chosen


def write_mistakes(path: Path, found: Answers, title: str) -> None:
    """A row for every wrong answer, and beside the table a sheet with the most confident ones."""
    true, said, confidence = found.true, found.said, found.confidence
    wrong = np.flatnonzero(true != said)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    names = np.array(found.pictures.labels)
    table = pd.DataFrame({"name": np.array(found.pictures.names)[wrong], "true": names[true[wrong]]})
    table["predicted"], table["confidence"] = names[said[wrong]], confidence[wrong].round(4)
    with files.replacing(path) as temporary:
        table.to_csv(temporary, index=False, errors="backslashreplace")
    captions = [f"true {row.true}\nsaid {row.predicted} {row.confidence:.0%}" for row in table[:SHEET].itertuples()]
    first, sheet = found.pictures.images[wrong[:SHEET]], path.with_suffix(".png")
    figures.contact_sheet(first, captions, sheet, title=f"most confident mistakes: {title}")
