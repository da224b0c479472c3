"""Data-parallel training on several devices and processes: `keras.distribution` on the JAX backend.

Each process takes its part of every global batch; JAX compiles the step of one device for all of them. So losses, batch
norm, augmentation, mixup and dropout are those of the global batch, as on one device.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from fer.core.errors import FerError, first_line

# Keras' own variables; under Slurm, JAX finds the processes by itself.
ADDRESSES, COUNT, INDEX = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
HEARTBEAT_TIMEOUT = 20  # seconds until a silent process counts as dead; JAX's own 100 would keep the others waiting
# How JAX reports that a collective operation lost a peer: through Gloo (CPU), NCCL (GPU) or its own service.
LOST_PEER = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "coordination service")


@dataclass(frozen=True)
class Workers:
    """The processes of a training, and the devices of all of them together.

    Attributes:
        processes: how many processes there are.
        index: which of them this one is; process 0 writes all files.
        devices: devices of all processes together.
        distributed: whether `keras.distribution` is in use; with a single device, too, if it was asked for.
    """

    processes: int = 1
    index: int = 0
    devices: int = 1
    distributed: bool = False

    @property
    def is_first(self) -> bool:
        """True for the process that prints and writes."""
        return self.index == 0

    def wait(self) -> None:
        """Returns once all processes have come here."""
        if self.processes > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("fer")

    def part(self, batch_size: int) -> slice:
        """This process's rows of a global batch.

        Raises:
            FerError: the devices cannot share it evenly.
        """
        if batch_size % self.devices:
            raise FerError(f"a batch of {batch_size} images cannot be shared evenly by {self.devices} devices")
        rows = batch_size // self.processes
        return slice(self.index * rows, (self.index + 1) * rows)


def initialize() -> Workers:
    """Joins the processes of the training, where there are several; call it before the first computation.

    The variables KERAS_DISTRIBUTION_JOB_ADDRESSES, _NUM_PROCESSES and _PROCESS_ID name them, or Slurm does. Without
    either there is one process with all local devices.

    Raises:
        FerError: another backend than JAX, or a process that cannot be reached.
    """
    if keras.backend.backend() != "jax":
        raise FerError(
            f"--distribute needs the JAX backend, not {keras.backend.backend()}: pip install jax, and KERAS_BACKEND=jax"
        )
    import jax

    given: dict[str, Any] = {"coordinator_address": os.environ.get(ADDRESSES, "").split(",")[0] or None}
    given |= {"num_processes": _number(COUNT), "process_id": _number(INDEX)}
    slurm = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ
    if not jax.distributed.is_initialized() and (slurm or given["num_processes"] not in (None, 1)):
        try:
            # keras.distribution.initialize makes the same call, with JAX's own heartbeat.
            jax.distributed.initialize(**given, heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT)
        except (RuntimeError, ValueError) as error:
            raise FerError(f"the processes of the training cannot be joined: {error}") from error
    return Workers(jax.process_count(), jax.process_index(), jax.device_count(), distributed=True)


def _number(name: str) -> int | None:
    text = os.environ.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise FerError(f"{name} must be a number, not {text!r}")
    return int(text)


@contextmanager
def scope(distribute: bool, run_dir: str = "") -> Iterator[Workers]:
    """Distributes what Keras builds and trains inside; without `distribute` nothing changes.

    Args:
        distribute: all devices of all processes, or one device as usual.
        run_dir: named in the error.

    Raises:
        FerError: see `initialize`; or another process ended while this one waited for it.
    """
    if not distribute:
        yield Workers()
        return
    workers = initialize()
    remedy = f"start all processes again with --resume --run-dir {run_dir}"
    with _last_words(workers, remedy), keras.distribution.DataParallel(auto_shard_dataset=False).scope():
        try:
            yield workers
        except Exception as error:
            if workers.processes == 1 or not any(words in str(error) for words in LOST_PEER):
                raise
            reason = first_line(error)
            message = f"process {workers.index} lost another process of the training ({reason}); {remedy}"
            raise FerError(message) from error


@contextmanager
def _last_words(workers: Workers, remedy: str) -> Iterator[None]:
    """Lets a shell say why the training ended if this process dies inside: JAX aborts all when one is lost."""
    if workers.processes == 1:
        yield
        return
    words = f"error: process {workers.index} of the training was killed, or JAX ended it after another died; {remedy}"
    # The shell reads a line at the normal end, and the end of the pipe after a death of any kind.
    shell = subprocess.Popen(["sh", "-c", 'read -r line || echo "$0" >&2', words], stdin=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        shell.communicate("done\n")
