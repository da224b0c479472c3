"""The folder of one training run: configuration, log, curves and the checkpoint from which it resumes."""

import dataclasses
import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from fer.core.errors import FerError, first_line
from fer.core.files import check_writable, file_sha256, replacing
from fer.data.image_array import digests
from fer.models.classifier import Classifier
from fer.models.model_file import read_info
from fer.training import curves
from fer.training.config import TrainingConfig
from fer.training.distribute import Workers
from fer.training.recipe import Recipe

logger = logging.getLogger(__name__)

CHECKPOINT, LOG, CURVES, TENSORBOARD = "checkpoint.npz", "log.csv", "curves.png", "tensorboard"
ROUNDING = 0.01  # of a `signature`; another label for an image changes it by more, but for one image in 125
DRAW_EVERY = 10  # seconds between two drawings of the curves, of which one may outlast an epoch on a GPU


class BestModel(keras.callbacks.Callback):
    """Saves the network as a complete classifier whenever validation improves.

    Keras' ModelCheckpoint saves at the end of the epoch, when averaged weights have left the network, and saves the
    augmentation with it.
    """

    def __init__(
        self,
        network: keras.Model,
        float32_copy: keras.Model,
        labels,
        config: TrainingConfig,
        metadata: dict,
        workers: Workers,
    ):
        super().__init__()
        self.network, self.float32_copy, self.labels = network, float32_copy, labels
        self.config, self.metadata, self.workers = config, metadata, workers
        self.monitor = config.recipe.keep_best.removeprefix("val_")
        self.score = "accuracy" if self.monitor == "last" else self.monitor
        self.epoch: int | None = None
        self.value: float | None = None
        self.sha256: str | None = None  # of the model file, as it was saved
        self.current = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch

    # At the end of validation, not of the epoch: averaged weights are in the network only until then.
    def on_test_end(self, logs=None):
        value = float(logs[self.score])
        sign = -1 if self.monitor == "loss" else 1
        finite = all(np.isfinite(score) for score in logs.values())  # accuracy is finite even where all else is NaN
        if not finite:
            return
        if self.monitor != "last" and self.value is not None and sign * value <= sign * self.value:
            return
        self.epoch, self.value = self.current + 1, value
        self.float32_copy.set_weights(self.network.get_weights())
        scores = {f"val_{name}": float(score) for name, score in logs.items()}
        metadata = self.metadata | {"epoch": self.epoch, "validation_while_training": scores}
        if self.workers.is_first:
            Classifier(self.float32_copy, self.labels, self.config.recipe.spec, metadata).save(self.config.output)
            self.sha256 = file_sha256(self.config.output)


class RunFolder(keras.callbacks.Callback):
    """Writes log.csv and checkpoint.npz after every epoch, and curves.png every ten seconds at most. It must be the
    last of the callbacks.

    Keras' CSVLogger appends: after a kill between log and checkpoint, the resumed run would log that epoch twice.

    Attributes:
        history: one row per epoch: epoch, scores, learning rate and seconds.
        finished: True after the last epoch or an early stop.
    """

    STATE = ("best", "wait", "cooldown_counter", "stopped_epoch", "best_epoch")  # of Keras' own callbacks

    def __init__(
        self, config: TrainingConfig, dtype: str, callbacks, best: BestModel, data, teachers, workers: Workers, kept=()
    ):
        super().__init__()
        self.config, self.callbacks, self.best, self.workers = config, callbacks, best, workers
        self.kept: Sequence[keras.Variable] = kept  # beside those of model and optimizer
        self.folder = Path(config.run_dir)
        self.identity = {
            "recipe": dataclasses.asdict(config.recipe),
            "seed": config.seed,
            "dtype": dtype,
            "backend": keras.backend.backend(),
            "labels": list(best.labels),
            "images": fingerprint(*(digests(dataset.images) for dataset in data)),
            "targets": [signature(dataset.targets) for dataset in data],
            "teachers": fingerprint(*(array for known in teachers for array in known.model.get_weights()))
            if teachers
            else None,
        }
        self.dtype = dtype  # with those of earlier epochs, where a run went on in another
        self.history: list[dict] = []
        self.finished = False
        self.pending: list[dict] | None = None
        self.drawn = -math.inf  # when the curves were

    @property
    def path(self) -> Path:
        return self.folder / CHECKPOINT

    def restore(self, model: keras.Model) -> None:
        """Puts the checkpoint's weights, optimizer and scores back; the callbacks' when training begins.

        Args:
            model: compiled, its optimizer built.

        Raises:
            FerError: no checkpoint, a damaged one, or one of another recipe, seed, data set or teacher.
        """
        try:
            # numpy leaves a damaged file open that it has opened itself
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                state = json.loads(str(archive["state"]))
                arrays = {name: archive[name] for name in archive.files if name != "state"}
            differences = _differences(state["identity"], json.loads(json.dumps(self.identity)))
        except FileNotFoundError as error:
            text = "no checkpoint to resume from, as it ended within the first epoch; start again with --overwrite"
            raise FerError(f"{self.path}: {text}") from error
        except Exception as error:  # what a damaged zip can raise has no common class
            raise FerError(f"{self.path}: the checkpoint is damaged ({error}); start again with --overwrite") from error
        if differences:
            raise FerError(f"{self.path}: the checkpoint is of another training: {'; '.join(differences)}")
        variables = self._variables(model)
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        if {name: array.shape for name, array in arrays.items()} != shapes:
            raise FerError(f"{self.path}: the checkpoint is of another network; start again with --overwrite")
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self.history, self.finished, self.pending = state["history"], state["finished"], state["callbacks"]
        self._restore_dtype(state["identity"]["dtype"], state.get("dtype", state["identity"]["dtype"]))
        self._restore_best(state)
        self._diverged()

    def _restore_best(self, state: dict) -> None:
        """Takes the best epoch so far from the checkpoint, or from the model file where that is an epoch ahead."""
        self.best.epoch, self.best.value = state["best"]
        output = Path(self.config.output)
        if self.best.epoch is None:
            return
        if not output.exists():
            raise FerError(f"{output}: the best model so far is gone; start again with --overwrite")
        self.best.sha256 = state.get("model")
        # A finished model may have been calibrated since.
        if self.finished or self.best.sha256 in (None, now := file_sha256(output)):
            return
        found = read_info(output).metadata
        reached = found.get("epoch"), found.get("validation_while_training", {}).get(f"val_{self.best.score}")
        # It was saved, and the process killed before the checkpoint; or a threshold was fitted to it.
        own = reached[0] == len(self.history) + 1 or reached == (self.best.epoch, self.best.value)
        if not own or any(found.get(name) != self.best.metadata.get(name) for name in ("data", "seed")):
            raise FerError(f"{output}: is not the model of this run any more; put it back, or start with --overwrite")
        (self.best.epoch, self.best.value), self.best.sha256 = reached, now

    def _restore_dtype(self, last: str, earlier: str) -> None:
        """Notes that the run goes on in another precision, for the checkpoint and the model's metadata."""
        self.dtype = earlier
        if last != self.identity["dtype"]:
            self.dtype = f"{earlier} up to epoch {len(self.history)}, then {self.identity['dtype']}"
        self.best.metadata = self.best.metadata | {"dtype": self.dtype}

    def on_train_begin(self, logs=None):
        # Keras' callbacks forget everything in their own on_train_begin, which has run by now.
        for callback, state in zip(self.callbacks, self.pending or [], strict=False):
            for name, value in state.items():
                setattr(callback, name, value)

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1} | {name: float(value) for name, value in logs.items()}
        row.setdefault("learning_rate", float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))
        self.history.append(row | {"seconds": round(time.perf_counter() - self.started, 1)})
        if self._diverged():
            self.model.stop_training = True
        self.finished = self.model.stop_training or epoch + 1 == self.config.recipe.epochs
        if self.workers.is_first:
            self._write()

    def _diverged(self) -> bool:
        """Whether the last loss is not finite; a line says so where a model of an earlier epoch is kept."""
        diverged = bool(self.history) and not np.isfinite(self.history[-1]["loss"])
        if diverged and self.best.epoch is not None:
            text = "warning: the loss of epoch %d is not finite, so training ends there; lower --learning-rate"
            logger.warning(text, len(self.history))
        return diverged

    def _write(self):
        table = pd.DataFrame(self.history)
        try:
            with replacing(self.folder / LOG) as path:
                table.to_csv(path, index=False)
            if self.finished or time.monotonic() - self.drawn > DRAW_EVERY:
                title = Path(self.config.output).stem
                curves.learning_curves(table.to_dict("list"), self.folder / CURVES, title=title)
                self.drawn = time.monotonic()
        except FerError as error:  # on Windows a program that shows the file locks it; the next epoch writes it again
            logger.warning("%s", error)
        self._write_checkpoint()  # last: an epoch with a checkpoint has all the rest

    def _write_checkpoint(self):
        arrays = {name: variable.numpy() for name, variable in self._variables(self.model).items()}
        state = {
            "identity": self.identity,
            "dtype": self.dtype,
            "history": self.history,
            "finished": self.finished,
            "best": [self.best.epoch, self.best.value],
            "model": self.best.sha256,
            "callbacks": [
                {name: _plain(vars(callback)[name]) for name in self.STATE if name in vars(callback)}
                for callback in self.callbacks
            ],
        }
        with replacing(self.path) as path:
            np.savez(path, state=json.dumps(state), **arrays)

    def _variables(self, model: keras.Model) -> dict[str, keras.Variable]:
        """All that training changes, by its name in the checkpoint."""
        groups = {"weights": model.weights, "optimizer": model.optimizer.variables, "kept": self.kept}
        return {f"{group}_{i}": variable for group, variables in groups.items() for i, variable in enumerate(variables)}


def begin(config: TrainingConfig, workers: Workers, *, overwrite: bool = False) -> None:
    """Writes run.json and removes the other files of an earlier run, so that nobody resumes it as this one.

    Its model stays until a better one replaces it.

    Raises:
        FerError: the model or the run folder cannot be written; or, without `overwrite`, another training has begun in
            it since it was found empty.
    """
    if not workers.is_first:
        return
    check_writable(config.output)
    if not overwrite:
        try:
            config.path.parent.mkdir(parents=True, exist_ok=True)
            config.path.touch(exist_ok=False)
        except FileExistsError as error:
            raise FerError(f"{config.path}: another training has begun here meanwhile") from error
        except OSError as error:
            raise FerError(f"{config.path}: cannot be written ({first_line(error)})") from error
    config.write()
    try:
        if overwrite:
            shutil.rmtree(Path(config.run_dir, TENSORBOARD), ignore_errors=True)  # else the two would be drawn as one
        for name in (CHECKPOINT, LOG, CURVES):
            Path(config.run_dir, name).unlink(missing_ok=True)
    except OSError as error:
        raise FerError(f"{config.run_dir}: an earlier run cannot be replaced ({first_line(error)})") from error


def fingerprint(*arrays: np.ndarray) -> str:
    """A short hash of arrays: tells whether a checkpoint belongs to these images, or to these teachers."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def signature(targets: np.ndarray) -> list[float]:
    """A weighted sum of each column of targets, float32 (n, k): tells whether two are the same but for rounding.

    Votes are mixed into labels by a regression, whose last digits depend on the processor.
    """
    weights = np.random.default_rng(0).standard_normal(len(targets))
    return [float(value) for value in weights @ targets.astype(np.float64)]


def _plain(value):
    return value if value is None or isinstance(value, int) else float(value)


def _differences(old: dict, new: dict) -> list[str]:
    """The settings that differ; the recipe of an earlier version has its defaults and its present names.

    `vote_mode` was not always among them; a difference of it shows in the targets. `config.settle` decides whether
    a run may go on in another precision.
    """
    if "data" in old:
        return ["it is of an earlier version, which told its images in another way"]
    dtypes = {old["dtype"], new["dtype"]}
    same = ("recipe", "summary", "vote_mode", *(["dtype"] if dtypes <= {"float32", "mixed_bfloat16"} else []))
    recipes = [json.loads(json.dumps(dataclasses.asdict(Recipe.from_dict(known["recipe"])))) for known in (old, new)]
    flat = [known | recipe for known, recipe in zip((old, new), recipes, strict=True)]
    shapes = {np.shape(known["targets"]) for known in (old, new)}
    if len(shapes) == 1 and np.allclose(old["targets"], new["targets"], rtol=0, atol=ROUNDING):
        same = (*same, "targets")
    names = [name for name in {**flat[0], **flat[1]} if name not in same and flat[0].get(name) != flat[1].get(name)]
    data = "the images, the labels or the split differ"
    hashes = {"images": data, "targets": data, "teachers": "the teachers differ"}
    return [hashes.get(name) or f"{name} was {flat[0].get(name)}, now {flat[1].get(name)}" for name in names]
