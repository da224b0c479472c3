"""Predictions of a model, or of an ensemble, for labelled images: what every other module here starts from."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import loading, unseen
from fer.data.dataset import Dataset
from fer.evaluation import comparison, metrics, selective
from fer.models.classifier import Classifier
from fer.models.ensemble import average


@dataclass(frozen=True, eq=False)  # eq=False: == on arrays has no single truth value
class Predictions:
    """Probabilities of a model, or of an ensemble, for labelled images. Built by `predict`.

    Attributes:
        name: of the model, or of all models of the ensemble.
        data: the images; their targets have the model's order of labels.
        probabilities: float32 (n, k).
    """

    name: str
    data: Dataset
    probabilities: np.ndarray

    @property
    def labels(self) -> tuple[str, ...]:
        """k names, in the order of the columns of `probabilities`."""
        return self.data.labels

    @property
    def y_true(self) -> np.ndarray:
        """int64 (n,), codes of the true labels."""
        return self.data.targets.argmax(axis=1)

    @property
    def y_pred(self) -> np.ndarray:
        """int64 (n,), codes of the predicted labels."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """float32 (n,), probability of the predicted label."""
        return self.probabilities.max(axis=1)

    def report(self, rows: np.ndarray | slice = slice(None)) -> metrics.Report:
        """The metrics of all images, or of some rows: indexes, bool (n), or a slice."""
        return metrics.compute_report(self.probabilities[rows], self.data.targets[rows], self.labels)

    def risk_coverage(self, rows: np.ndarray | slice = slice(None)) -> selective.RiskCoverage:
        """The error rate of the most confident images, or of some rows, for every number of them."""
        return selective.risk_coverage(self.confidence[rows], (self.y_pred == self.y_true)[rows])

    def compare(
        self, other: "Predictions", rows: np.ndarray | slice = slice(None), of: str = "images"
    ) -> comparison.Comparison:
        """Compares two models on the same images, or on some rows of them; their labels may differ.

        Args:
            other: predictions for the same images.
            rows: indexes, bool (n), or a slice.
            of: what these images are, in words.
        """
        labels = tuple(dict.fromkeys((*self.labels, *other.labels)))
        codes = np.array([labels.index(label) for label in other.labels])
        names = (self.name, other.name) if self.name != other.name else ("the first", "the second")
        predicted = self.y_pred[rows], codes[other.y_pred][rows]
        found = comparison.compare(self.y_true[rows], *predicted, len(labels), names)
        return dataclasses.replace(found, of=of)


def predict(
    classifiers: Sequence[Classifier], data: Mapping[InputSpec, Dataset], *, name: str = "model", tta: str = "none"
) -> Predictions:
    """Classifies labelled images with one classifier, or with several averaged.

    Args:
        classifiers: one or more with the same set of labels.
        data: for the input of each classifier the same images, prepared for it.
        name: of the model or ensemble.
        tta: see `Classifier.predict`.

    Raises:
        FerError: the classifiers differ in their labels, or do not know a label of the data.
    """
    first = classifiers[0]
    images = [data[classifier.spec].images for classifier in classifiers]
    aligned = data[first.spec].align(first.labels)
    return Predictions(name, aligned, average(list(classifiers), images, tta=tta))


def evaluate(
    model: Classifier | str | Path | Sequence[Classifier | str | Path],
    data: Dataset | Mapping[str, Dataset] | str | Path,
    *,
    split: str = "validation",
    tta: str = "none",
    **options,
) -> metrics.Report:
    """Scores a model, or the mean of several, on labelled images.

        report = fer.evaluate("models/fer2013.keras", "fer2013/")
        print(report.accuracy, report.per_class["fear"]["recall"])

    Args:
        model: a model file or a `Classifier`, or several of them, whose probabilities are averaged.
        data: a folder of class folders, a fer2013.csv, "demo", or whatever else `loading.load` takes; or a `Dataset`
            that is loaded already, as the model needs it, or several by the names of their splits.
        split: "train", "validation", "test" or "all"; without effect on a `Dataset`.
        tta: test-time augmentation: "none" (single crop), "flip" or "ten-crop".
        options: more arguments of `loading.load`, such as `votes`. `validation_fraction` and `seed` are by default
            those of the model's own training.

    Returns:
        The metrics; `print(report.summary())` shows them.

    Raises:
        FerError: a model or data that cannot be loaded, labels that do not match, models that were validated on
            different splits, or a split that holds images of a model's training.
        TypeError: options beside a `Dataset`, or an unknown one.
    """
    given = [model] if isinstance(model, Classifier | str | Path) else list(model)
    if not given:
        raise FerError("there is no model to evaluate")
    classifiers = [one if isinstance(one, Classifier) else Classifier.load(one) for one in given]
    specs = [classifier.spec for classifier in classifiers]
    if isinstance(data, Mapping):
        if split not in data:
            raise FerError(f"there is no {split} split among {', '.join(data)}")
        data = data[split]
    if isinstance(data, Dataset):
        if options:
            raise TypeError(f"without effect on a Dataset that is loaded already: {', '.join(options)}")
        return predict(classifiers, dict.fromkeys(specs, data), tta=tta).report()
    metadata = [classifier.metadata for classifier in classifiers]
    chosen = [options.pop(name, None) for name in ("validation_fraction", "seed", "group")]
    options |= unseen.validation_split(metadata, *chosen, source=data)
    loaded = loading.load_for_models(specs, data, split, metadata=metadata, **options)
    return predict(classifiers, loaded, tta=tta).report()
