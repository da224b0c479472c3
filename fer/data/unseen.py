"""What model files tell of their training data: how they were split, and whether the images at hand were among them."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fer.core.errors import FerError
from fer.core.labels import canonical
from fer.data import places
from fer.data.dataset import Dataset
from fer.data.splitting import RULE

logger = logging.getLogger(__name__)


def is_of(metadata: Mapping, source: str | Path) -> bool:
    """Whether a model was trained on data of this name: fer2013/, fer2013.csv and kaggle:OWNER/fer2013 have one."""
    if not (trained := metadata.get("data")):
        return False
    trained, name = (re.sub(r"/versions/\d+$", "", known) for known in (trained, places.name_of(source)))
    if places.is_address(trained) and places.is_address(name):  # "faces" of two owners
        return trained == name
    trained, name = (known.rpartition("/")[2] for known in (trained, name))
    return bool({name, Path(name).stem} & {trained, Path(trained).stem})


def optimism(metadata: Mapping, source: str | Path, split: str) -> str:
    """A sentence that says what a training chose by this split of these data; "" for nothing that its file tells of."""
    recipe = metadata.get("recipe", {})
    chosen, unseen = decided_by_validation(recipe), bool(recipe.get("unseen_validation"))
    threshold = metadata.get("uncertain_chosen_on", {})
    if threshold and is_of(threshold, source):
        chosen, unseen = [*chosen, "confidence threshold"], unseen and bool(threshold.get("unseen"))
    if split != "validation" or not is_of(metadata, source) or not chosen:
        return ""
    *most, last = [f"the {what}" for what in chosen]
    what, verb = (f"{', '.join(most)} and {last}", "were") if most else (last, "was")
    where = "the images of this split without a duplicate in training" if unseen else "this split"
    return f"{what.capitalize()} {verb} chosen on {where}, so the figures are slightly optimistic."


def decided_by_validation(recipe: Mapping) -> list[str]:
    """What validation images decide about in such a training: epoch, learning rate, temperature."""
    decided = {
        "epoch": recipe.get("keep_best") != "last" or recipe.get("patience"),
        "learning rate": recipe.get("schedule") == "plateau",
        "temperature": recipe.get("calibrate"),
    }
    return [what for what, by_validation in decided.items() if by_validation]


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
        The arguments `validation_fraction`, `seed` and `group` of `loading.load`, where they are known.

    Raises:
        FerError: the models were validated on different splits.
    """
    known: dict[str, float | str] = {}
    named = {"validation_fraction": ("validation_fraction", fraction), "seed": ("split_seed", seed)}
    for name, (key, given) in (named | {"group": ("group", group)}).items():
        trained = [one for one in metadata if "split" in one and "fold" not in one["split"]]
        own = [one for one in trained if is_of(one, source)]
        trained = own or trained  # how other data were divided counts only where nobody knows these
        if name == "group":  # a pattern for the paths of other data would fit nothing
            trained = [one for one in trained if one.get("data") == places.name_of(source)]
        values = {one["split"].get(key) for one in trained} if given is None else {given}
        if len(values) > 1:
            shown = ", ".join(sorted(map(str, values)))
            raise FerError(f"the models differ in --{key.replace('_', '-')} ({shown}); choose one")
        if values and (value := values.pop()) is not None:
            known[name] = value
    return known


def check_unseen(
    metadata: Sequence[Mapping], data: Dataset, source: str | Path, split: str, *, strict: bool = True, **options
) -> None:
    """Refuses, or warns of, scores on images that models were trained on.

    A split that the source has by itself is trusted, and so is one that was asked for as "train" or "all". One that was
    drawn by chance must be that of the training of each model.

    Args:
        metadata: of each model.
        data: the split.
        source, split, options: as they were given to `loading.load`.
        strict: False warns where True refuses.

    Raises:
        FerError: a model of a cross-validation of data of this name, or one that left out other labels.
    """
    try:
        _check_unseen(metadata, data, source, split, options)
    except FerError as error:
        if strict:
            raise
        logger.warning("warning: %s", error)


def _check_unseen(metadata: Sequence[Mapping], data: Dataset, source: str | Path, split: str, options: Mapping) -> None:
    for one in metadata if split in ("validation", "test") else ():
        known = one.get("split", {})
        if is_of(one, source) and "fold" in known:
            raise FerError(
                f"{source}: the model of fold {known['fold']} was trained on every split of data of this name"
            )
        unknown = not known or one.get("data") == places.IN_MEMORY
        if unknown and (data.drawn or "fold" in known or "imported" in one):
            logger.warning("warning: a model does not say which images it was trained on; some may be among these")
        elif data.drawn and is_of(one, source):
            _check_drawn(one, source, options)


def _check_drawn(metadata: Mapping, source: str | Path, options: Mapping) -> None:
    """Whether a split drawn by chance is that of a model's training."""
    trained, given = ({canonical(name) for name in one.get("drop_labels") or ()} for one in (metadata, options))
    if trained != given:
        shown = f"--drop-labels {','.join(sorted(trained))}" if trained else "no --drop-labels"
        raise FerError(f"{source}: the model was trained with {shown}: with others its validation split is another")
    split = metadata["split"]
    may = "images of its training may be among these"
    if split.get("rule") != RULE:
        logger.warning("warning: an earlier version may have split the data of a model otherwise: %s", may)
    elif not split.get("drawn"):
        logger.warning("warning: a model was trained on data with a validation split of their own: %s", may)
    for name, key in (("validation_fraction", "validation_fraction"), ("seed", "split_seed"), ("group", "group")):
        if name in options and options[name] != split.get(key):
            logger.warning(
                "warning: a model was trained with %s %s, these are split otherwise: %s", key, split.get(key), may
            )
