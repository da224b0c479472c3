"""Divides images into training and validation: stratified by label; identical images and subjects stay on one side."""

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fer.core.errors import FerError
from fer.data.dataset import Dataset
from fer.data.duplicates import connected, group_identical

FRACTION, SEED = 0.1, 42  # of the validation split, where the data have none
# How it is drawn, for model files. Rule 1 drew it from a keep list's images, and stray file names hid subjects. In
# rules 1 and 2, so did a stray image among numbered folders, and the subject with most images was always taken.
RULE = 3
FOLDS = 20  # parts of which the validation split takes some, where subjects are kept apart


def split_off(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Splits images in two, stratified by label; identical images, and those of one group, never on both sides.

    Returns:
        (the rest, about `fraction` of the images).

    Raises:
        FerError: a fraction outside 0..1, a label with fewer than two different images, fewer than two groups, or
            folders that may be subjects or not.
    """
    _check_subjects(dataset)
    if not 0 < fraction < 1:
        raise FerError(f"the validation fraction must lie between 0 and 1, not {fraction}")
    taken = _by_groups(dataset, fraction, seed) if dataset.groups else _by_images(dataset, fraction, seed)
    rest, part = (dataset.select(np.flatnonzero(side)) for side in (~taken, taken))
    return replace(rest, drawn=True), replace(part, drawn=True, skipped=())  # what was left out is counted once


def folds(dataset: Dataset, k: int, seed: int) -> Iterator[tuple[Dataset, Dataset]]:
    """The k pairs (training, validation) of a cross-validation; every image is validated once.

    Raises:
        FerError: fewer than k subjects, or different images; or folders that may be subjects or not.
    """
    _check_subjects(dataset)
    units = units_of(dataset)
    what, most = _most_folds(dataset, units)
    if not 2 <= k <= most:
        raise FerError(f"--folds {k}: from 2 to the number of {what}, {most}")
    for validation in _fold_rows(dataset, units, k, seed):
        rest = np.setdiff1d(np.arange(len(dataset)), validation)
        yield dataset.select(rest), replace(dataset.select(validation), skipped=())


def _check_subjects(dataset: Dataset) -> None:
    if dataset.question:
        raise FerError(f"{dataset.root}: to keep subjects apart, say who they are: {dataset.question}")


def units_of(dataset: Dataset) -> np.ndarray:
    """int64 (n): numbers of what stays together: identical images, and all images of a subject."""
    _, same = group_identical(dataset.images)
    if not dataset.groups:
        return same
    names, subject = np.unique(np.array(dataset.groups), return_inverse=True)
    known = np.array([name != "" for name in names])[subject]
    first = np.unique(subject, return_index=True)[1]
    first_same = np.unique(same, return_index=True)[1]
    n, rows = len(dataset), np.arange(len(dataset))
    i = np.r_[rows[known], rows]
    j = np.r_[first[subject[known]], first_same[same]]
    return np.unique(connected(i, j, n), return_inverse=True)[1]


def _by_images(dataset: Dataset, fraction: float, seed: int) -> np.ndarray:
    first, group = group_identical(dataset.images)
    codes = dataset.targets.argmax(axis=1)[first]
    present, counts = np.unique(codes, return_counts=True)
    if (counts < 2).any():
        label = dataset.labels[present[counts.argmin()]]
        raise FerError(f"{label!r} has a single distinct image: too few to split into training and validation")
    rng, chosen = np.random.default_rng(seed), list[int]()
    for code, count in zip(present, counts, strict=True):  # at least one image of every label on each side
        size = min(max(1, round(fraction * count)), count - 1)
        chosen.extend(rng.permutation(np.flatnonzero(codes == code))[:size])
    return np.isin(group, chosen)


def _by_groups(dataset: Dataset, fraction: float, seed: int) -> np.ndarray:
    units = units_of(dataset)
    n_units = int(units.max(initial=-1)) + 1
    if n_units < 2:
        raise FerError("all images show one subject or sequence: they cannot be kept apart; --group none splits them")
    k = min(_most_folds(dataset, units)[1], FOLDS)
    if k < 2:
        raise FerError("every label has a single image: too few to split into training and validation")
    wanted = min(max(1, round(fraction * k)), k - 1)
    size = fraction * len(dataset) / wanted  # the first fold holds the subject with most images, which may be too many
    parts = sorted(_fold_rows(dataset, units, k, seed), key=lambda rows: abs(len(rows) - size))
    taken = np.zeros(len(dataset), bool)
    taken[np.concatenate(parts[:wanted])] = True
    return taken


def _most_folds(dataset: Dataset, units: np.ndarray) -> tuple[str, int]:
    """What limits the number of parts, and that limit. The second one is scikit-learn's."""
    counts = {
        "subjects" if dataset.groups else "different images": int(units.max(initial=-1)) + 1,
        "images of the commonest label": int(np.bincount(dataset.targets.argmax(axis=1)).max(initial=0)),
    }
    return min(counts.items(), key=lambda item: item[1])


def _fold_rows(dataset: Dataset, units: np.ndarray, k: int, seed: int) -> Iterator[np.ndarray]:
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    codes = dataset.targets.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label with fewer images than folds is no mistake
        for _, rows in StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(codes, codes, units):
            yield rows
