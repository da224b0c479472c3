"""`train`: from a data set and a recipe to a model file. The command train.py calls its parts; see docs/training.md."""

import dataclasses
import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fer.core import files
from fer.core.errors import FerError
from fer.data import loading
from fer.data.dataset import Dataset
from fer.data.places import IN_MEMORY
from fer.data.splitting import FRACTION, SEED, split_off
from fer.data.unseen import check_unseen
from fer.models.bundled import find_model
from fer.models.classifier import Classifier
from fer.models.model_file import read_info, update_metadata
from fer.training.config import RECIPE_SETTINGS, TrainingConfig, check_loaded, configure, settle
from fer.training.recipe import Recipe
from fer.training.recipes import COUNTS_ON, RECIPES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        output: the model file.
        run_dir: the folder with log.csv, curves.png, run.json and the checkpoint.
        best_epoch: the epoch that became the model, counted from 1.
        history: one row per epoch: epoch, accuracy, loss, val_accuracy, val_loss, learning_rate, seconds.
    """

    output: Path
    run_dir: Path
    best_epoch: int
    history: list[dict]

    @cached_property
    def classifier(self) -> Classifier:
        """The best epoch, as the model file holds it."""
        return Classifier.load(self.output)

    @property
    def seconds(self) -> float:
        """How long the epochs took together."""
        return sum(row["seconds"] for row in self.history)


def train(
    data: str | Path | Dataset | dict[str, Dataset] | None = None,
    recipe: str | Recipe | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    distribute: bool = False,
    verbose: int = 0,
    **settings: Any,
) -> TrainingResult:
    """Trains a network and writes the epoch that validates best as a model file.

        result = train("fer2013/", "four-block", output="models/mine.keras", epochs=20)
        print(result.best_epoch, result.history[-1]["val_accuracy"])

    Args:
        data: what `fer.data.loading.load` takes as its source; by default "demo". Or data in memory, of the recipe's
            image size: {"train": ..., "validation": ...}, or a single data set, of which `validation_fraction` becomes
            the validation split.
        recipe: a recipe or the name of one; by default "four-block".
        resume: continue the run in `run_dir` (or of `output`) with the settings that it was started with; of these only
            `precision` may change, between "float32" and "bfloat16", and `data`, `votes`, `keep_list`, `labels_csv` and
            `teacher` may name a new place.
        overwrite: replace an earlier run or model in the same place.
        tensorboard: also write TensorBoard logs into the run folder.
        distribute: train on all devices, and on all processes that KERAS_DISTRIBUTION_... or Slurm name (JAX only).
        verbose: as for `keras.Model.fit`: 0 silent, 1 a progress bar, 2 a line per epoch.
        settings: any field of `TrainingConfig` (output, run_dir, seed, votes, init, teacher, ...) and of `Recipe`
            (epochs, learning_rate, flip, ...); they override the recipe.

    Returns:
        The model file, the run folder, the history, and the best epoch as a classifier.

    Raises:
        FerError: unusable data or settings, a place that is taken, nothing to resume, or no finite validation score.
        TypeError: an unknown setting.
    """
    if isinstance(data, Dataset):
        chosen = settings.pop("validation_fraction", FRACTION), settings.pop("split_seed", SEED)
        data = dict(zip(("train", "validation"), split_off(data, *chosen), strict=True))
    if not isinstance(data, str | Path | dict | None):
        raise FerError(f"data must be a path, a Dataset or a dict of two, not {type(data).__name__}")
    if isinstance(data, dict):
        _check_loaded(data, settings)
    settings |= {} if data is None else {"data": IN_MEMORY if isinstance(data, dict) else str(data)}
    settings |= {} if recipe is None else {"recipe": recipe}
    config = configure(**settings)
    given = {*settings} - ({"data"} if isinstance(data, dict) else set())
    if resume and isinstance(recipe, Recipe) and recipe != RECIPES.get(recipe.name):
        given |= set(RECIPE_SETTINGS)
    config = settle(config, given, resume=resume, overwrite=overwrite, loaded=isinstance(data, dict))
    check_models(config, resume=resume)
    datasets = clean(data, config.recipe) if isinstance(data, dict) else load_data(config)
    if distribute:
        from fer.training.distribute import initialize

        initialize()
    logger.info(summary(config))
    return run(
        config,
        datasets,
        resume=resume,
        overwrite=overwrite,
        tensorboard=tensorboard,
        distribute=distribute,
        verbose=verbose,
    )


def _check_loaded(data: dict, settings: dict) -> None:
    """Refuses settings that only the loading of data could heed."""
    missing = [split for split in ("train", "validation") if not isinstance(data.get(split), Dataset)]
    if missing:
        raise FerError(f"data sets in memory need the keys train and validation; missing: {', '.join(missing)}")
    check_loaded(settings)


def summary(config: TrainingConfig) -> str:
    """One line: network, recipe, images, device, versions and precision."""
    from fer.models import device

    recipe, dtype = config.recipe, device.dtype_policy(config.precision)
    images = f"{'grey' if recipe.channels == 1 else 'colour'} images of {recipe.size} x {recipe.size} pixels"
    return f"training {recipe.network} (recipe {recipe.name}) with {images} on {device.describe()}, {dtype}"


def check_models(config: TrainingConfig, *, resume: bool = False) -> None:
    """Opens the model files that the configuration names, so that a bad one shows before the data are loaded.

    Raises:
        FerError: a file that is no model, or an exported one.
    """
    for path in map(find_model, (*([config.init] if config.init and not resume else []), *config.teacher)):
        read_info(path)
        if path.suffix != ".keras":
            raise FerError(f"{path}: an exported model can be neither --init nor --teacher: give its .keras file")


def load_data(
    config: TrainingConfig, *, splits: tuple[str, ...] = ("train", "validation"), progress: Callable | None = None
) -> dict[str, Dataset]:
    """The training and validation split of a configuration, cleaned as its recipe says.

    Args:
        config: names the data.
        splits: those wanted; "all" is not cleaned.
        progress: see `fer.data.loading.load`.

    Raises:
        FerError: unusable data; see `fer.data.loading.load`.
    """
    recipe = config.recipe
    options: dict[str, Any] = {"progress": progress} if progress else {}
    data = loading.load(
        config.data,
        recipe.spec,
        splits=splits,
        votes=config.votes,
        vote_mode=recipe.vote_mode,
        vote_share=recipe.vote_share,
        keep_list=config.keep_list,
        labels=config.labels,
        drop_labels=config.drop_labels,
        labels_csv=config.labels_csv,
        format=config.format,
        group=config.group,
        cache=config.cache,
        validation_fraction=config.validation_fraction,
        seed=config.split_seed,
        **options,
    )
    return clean(data, recipe) if "train" in data else data


def clean(data: dict[str, Dataset], recipe: Recipe) -> dict[str, Dataset]:
    """The data, cleaned as the recipe says: `drop_blank`, `average_duplicates`, `unseen_validation`.

    Raises:
        FerError: every validation image has a duplicate in training.
    """
    train, validation = data["train"], data["validation"]
    if recipe.unseen_validation:
        validation = validation.without_duplicates_in(train)
        if not len(validation):
            raise FerError(
                "every validation image has a duplicate or near-duplicate in training; --no-unseen-validation uses them"
            )
    if recipe.drop_blank:
        train = train.without_blank()
    if recipe.average_duplicates:
        train = train.with_averaged_duplicates()
    return {"train": train, "validation": validation}


def run(
    config: TrainingConfig,
    data: dict[str, Dataset],
    *,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    distribute: bool = False,
    verbose: int = 0,
    split: dict | None = None,
) -> TrainingResult:
    """Trains on loaded data; see `train`.

    Args:
        config: as `configure` or `TrainingConfig.stored` gives it.
        data: {"train": ..., "validation": ...}, as `load_data` gives them.
        split: how they were divided, for the model file; by default as the configuration says.
        resume, overwrite, tensorboard, distribute, verbose: see `train`.

    Raises:
        FerError: a network that cannot be built or resumed, a place that cannot be written, no finite score, or
            another process of the training that ended.
    """
    import keras

    from fer.models import device
    from fer.training import fit
    from fer.training.distribute import scope

    if warning := device.warning():
        logger.warning("warning: %s", warning)
    dtype = device.dtype_policy(config.precision)
    # What "auto" came to: another machine resumes with the same arithmetic.
    config = dataclasses.replace(config, precision=dtype.removeprefix("mixed_"))
    metadata = config.metadata()
    if split is not None:
        metadata["split"] = split
    elif "split" in metadata:
        metadata["split"]["drawn"] = data["validation"].drawn
    metadata["n_images"] = {name: len(part) for name, part in data.items()}
    metadata |= {"device": device.describe(), "dtype": dtype}
    with (
        scope(distribute, config.run_dir) as workers,
        files.exclusive(config.run_dir) if workers.is_first else nullcontext(),
    ):
        keras.utils.set_random_seed(config.seed)  # all processes must give their variables the same initial values
        init = Classifier.load(config.init) if config.init and not resume else None
        teachers = [Classifier.load(path) for path in config.teacher]
        if not resume:
            if missing := config.lacks(COUNTS_ON.get(config.recipe.name, ())):
                flags = " and ".join(f"--{name}" for name in missing)
                logger.warning("warning: the recipe %s counts on %s: expect a weaker model", config.recipe.name, flags)
            known = [one.metadata for one in (init, *teachers) if one]
            options = {name: getattr(config, name) for name in ("validation_fraction", "group", "drop_labels")}
            options |= {"seed": config.split_seed, "strict": False}
            check_unseen(known, data["validation"], config.data, "validation", **options)
        if workers.is_first and resume:
            files.check_writable(config.output)
        folder = fit.fit(
            data["train"],
            data["validation"],
            config,
            init=init,
            teachers=teachers,
            metadata=metadata,
            resume=resume,
            overwrite=overwrite,
            tensorboard=tensorboard,
            workers=workers,
            verbose=verbose,
        )
    if folder.best.epoch is None:
        raise FerError("no epoch gave finite validation scores; lower --learning-rate")
    if workers.is_first:  # outside the scope, where every process would have to take part
        _complete(config, data["validation"], folder.history)
    workers.wait()  # the others load what the first has saved
    return TrainingResult(Path(config.output), Path(config.run_dir), folder.best.epoch, folder.history)


def _complete(config: TrainingConfig, validation: Dataset, history: list[dict]) -> None:
    """Adds to the model file what is known after the last epoch: the time, and if asked for the temperature."""
    from fer.training import calibration

    known = read_info(config.output).metadata  # all of it, where the run was finished before
    if config.recipe.calibrate and len(validation) < calibration.FEWEST:
        logger.warning("not calibrated: %d validation images are too few (%d)", len(validation), calibration.FEWEST)
    elif config.recipe.calibrate and "temperature" not in known:
        classifier = Classifier.load(config.output)
        calibration.calibrate(classifier, validation.images, validation.targets).save(config.output)
    if "training_seconds" not in known:
        update_metadata(config.output, {"training_seconds": round(sum(row["seconds"] for row in history), 1)})
