"""Data for the models that are evaluated: split as in their training, and prepared for the input of each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import dataset, places
from fer.data.dataset import Dataset
from fer.data.unseen import check_unseen


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
        trained = [one for one in metadata if "split" in one and "fold" not in one["split"]]
        if name == "group":  # a pattern for the paths of other data would fit nothing
            trained = [one for one in trained if one.get("data") == places.name_of(source)]
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

    Args:
        specs: inputs of the models.
        source, options: as `dataset.load` takes them.
        split: one of the splits of the data, or "all".
        metadata: of each model, for `check_unseen`.

    Raises:
        FerError: as `dataset.load` or `check_unseen`; or resized for different inputs, the data are split differently.
    """
    data = {spec: dataset.load(source, spec, splits=split, **options)[split] for spec in dict.fromkeys(specs)}
    if len({part.names for part in data.values()}) > 1:
        raise FerError(
            "these models cannot be averaged or compared here: resized for their inputs, the data are split differently"
        )
    check_unseen(metadata, data[specs[0]], source, split, **options)
    return data
