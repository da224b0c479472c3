"""Data for the models that are evaluated: split as in their training, and prepared for the input of each."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.core.labels import canonical
from fer.data import dataset
from fer.data.dataset import Dataset

logger = logging.getLogger(__name__)


def validation_split(
    metadata: Sequence[Mapping],
    fraction: float | None = None,
    seed: int | None = None,
    group: str | None = None,
    *,
    source: str | Path = "",
) -> dict:
    """How a validation split is taken from data that have none: as given, else as in the training of the models.

    Args:
        metadata: of each model.
        fraction, seed, group: chosen by hand; None takes those of the models.
        source: the data; a model's `group` counts only where it was trained on data of this name.

    Returns:
        The arguments `validation_fraction`, `seed` and `group` of `dataset.load`, where they are known.

    Raises:
        FerError: the models were validated on different splits.
    """
    known: dict[str, float | str] = {}
    named = {"validation_fraction": ("validation_fraction", fraction), "seed": ("split_seed", seed)}
    for name, (key, given) in (named | {"group": ("group", group)}).items():
        trained = [one for one in metadata if "split" in one]
        if name == "group":  # a pattern for the paths of other data would fit nothing
            trained = [one for one in trained if _is_of(one, source)]
        values = {one["split"].get(key) for one in trained} if given is None else {given}
        if len(values) > 1:
            shown = ", ".join(sorted(map(str, values)))
            raise FerError(f"the models differ in --{key.replace('_', '-')} ({shown}); choose one")
        if values and (value := values.pop()) is not None:
            known[name] = value
    return known


def load_for_models(
    specs: Sequence[InputSpec], source: str | Path, split: str, *, metadata: Sequence[Mapping] = (), **options
) -> dict[InputSpec, Dataset]:
    """Loads one split of a data set for every input that occurs.

    A model that was trained on data of this name is not scored on images of its training unless that was asked for; a
    warning says where its file does not tell.

    Args:
        specs: inputs of the models.
        source, options: as `dataset.load` takes them.
        split: one of the splits of the data, or "all".
        metadata: of each model.

    Raises:
        FerError: as `dataset.load`; resized for different inputs, the data are split differently; or the split is not
            that of a model's training.
    """
    if split in ("validation", "test"):
        _refuse_folds(metadata, source)
    data = {spec: dataset.load(source, spec, splits=split, **options)[split] for spec in dict.fromkeys(specs)}
    if len({part.names for part in data.values()}) > 1:
        raise FerError(
            "these models cannot be averaged or compared here: resized for their inputs, the data are split differently"
        )
    if split == "validation" and data[specs[0]].drawn:
        _check_drawn(metadata, source, options)
    return data


def _is_of(one: Mapping, source: str | Path) -> bool:
    """Whether a model was trained on data of this name."""
    return one.get("data") in (str(source), Path(source).name)


def _refuse_folds(metadata: Sequence[Mapping], source: str | Path) -> None:
    for one in metadata:
        if _is_of(one, source) and "fold" in one.get("split", {}):
            fold = one["split"]["fold"]
            raise FerError(f"{source}: the model of fold {fold} was trained on images of every split of these data")


def _check_drawn(metadata: Sequence[Mapping], source: str | Path, options: Mapping) -> None:
    """Whether a validation split drawn by chance is that of the training of each model."""
    for one in metadata:
        if "split" not in one:
            logger.warning("warning: a model does not say which images it was trained on; some may be among these")
            continue
        if not _is_of(one, source):
            continue
        trained, given = ({canonical(name) for name in known.get("drop_labels") or ()} for known in (one, options))
        if trained != given:
            shown = f"--drop-labels {','.join(sorted(trained))}" if trained else "no --drop-labels"
            raise FerError(f"{source}: the model was trained with {shown}: with others its validation split is another")
        for name, key in (("validation_fraction", "validation_fraction"), ("seed", "split_seed")):
            if name in options and options[name] != one["split"][key]:
                text = "warning: the model was trained with %s %s: with another, images of its training are scored"
                logger.warning(text, key, one["split"][key])
