"""Labels units of work with the workers of a Ray cluster, or of a Ray that is started for the run."""

import io
import logging
import os
import re
import secrets
import socket
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from itertools import chain
from pathlib import Path
from typing import Any

import fer
from fer.core.errors import FerError, first_line
from fer.core.system import cores
from fer.distributed.inputs import Unit
from fer.distributed.labeller import Done, Labeller, Run

logger = logging.getLogger(__name__)

AUTO = "auto"
AHEAD = 2  # units that a worker holds: one in work, one waiting
RETRIES = 3  # of a unit whose workers die
STORE = 128 << 20  # bytes of the object store of a local Ray: only names and results pass through it
PATIENCE = 5.0  # seconds for a cluster's address to answer
POLL = 0.5  # seconds between two looks at `stopped`


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Connects to a cluster for the time of the block; a session that exists already is used and kept.

    Args:
        address: HOST:PORT of a cluster that this machine belongs to. "auto" takes the cluster that RAY_ADDRESS names
            or, without it, starts a Ray on this machine, which ends with the block.

    Raises:
        FerError: Ray is not installed, nothing answers at the address, or the cluster cannot be used.
    """
    address = check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send statistics of use to its makers
    if address == AUTO:
        # A token for this run alone: without one, Ray keeps a token in the user's home.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == AUTO:
        options |= {"num_cpus": cores(), "object_store_memory": STORE, "include_dashboard": False}
        # The workers are to load this very package, wherever the program that uses it lies.
        paths = [str(Path(fer.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, dict.fromkeys(paths)))
    try:
        ray.init("local" if address == AUTO else address, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        hint = "; if it asks for a token: RAY_AUTH_MODE=token (docs/scaling.md)" if address != AUTO else ""
        raise FerError(f"--ray {address}: Ray cannot use it: {first_line(error)}{hint}") from error
    try:
        with redirect_stdout(_Problems()):
            yield
    finally:
        ray.shutdown()


def check_address(address: str) -> str:
    """Refuses what `connect` cannot use, in a few seconds and without Ray's own pages of text.

    Returns:
        The address; that of RAY_ADDRESS in place of "auto".

    Raises:
        FerError: see `connect`.
    """
    try:
        import pyarrow  # noqa: F401
        import ray  # noqa: F401
    except ImportError as error:
        raise FerError(f'--ray needs Ray and pyarrow: pip install ".[ray]" ({error})') from error
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO
    if address == AUTO:
        return address
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        ways = f"{AUTO}, or HOST:PORT of a cluster that this machine belongs to"
        raise FerError(f"--ray {address}: expected {ways}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise FerError(f"--ray {address}: no cluster answers there ({error})") from error
    return address


def worker_count() -> int:
    """The workers that the cluster has room for: one for each GPU or, without GPUs, for each core."""
    import ray

    known = ray.cluster_resources()
    return max(1, int(known.get("GPU", 0) or known.get("CPU", 0)))


def label(
    units: Iterator[Unit], run: Run, workers: int, stopped: Callable[[], bool] = lambda: False
) -> Generator[Done, None, None]:
    """Labels units in any order. Needs a connection, see `connect`.

    A worker that dies, alone or with its machine, is replaced as soon as there is a free core. Its units are labelled
    again, and give the same parts.

    Args:
        units: taken only as fast as workers are free.
        run: what the workers are told.
        workers: number of processes; where the cluster has no room for all of them, the others wait.
        stopped: asked twice a second; True ends the generator.

    Yields:
        What became of each unit.

    Raises:
        FerError: a worker cannot go on, or workers died with the same unit time and again.
    """
    import ray

    if (first := next(units, None)) is None:
        return
    units, left = chain([first], units), True
    crew = _Crew(run, workers)
    try:
        while not stopped():
            while left and crew.free:
                if unit := crew.again.popleft() if crew.again else next(units, None):
                    crew.give(unit)
                else:
                    left = False
            if not (left or crew.again or crew.busy):
                return
            for reference in ray.wait(list(crew.calls), timeout=POLL)[0]:
                if done := crew.take(reference):
                    yield done
            left = left or bool(crew.again)
    finally:
        crew.dismiss()


def _needs(machines: Iterable[Mapping[str, float]]) -> dict[str, int]:
    """What a worker takes: a GPU with its share of the cores, or a core where no machine has a GPU.

    The cores of machines without a GPU do not count: a worker lies on one machine.
    """
    shares = [int(known.get("CPU", 0)) // int(known["GPU"]) for known in machines if known.get("GPU", 0) >= 1]
    return {"num_gpus": 1, "num_cpus": max(1, min(shares))} if shares else {"num_cpus": 1}


class _Crew:
    """The workers of a run, and what each of them does.

    Attributes:
        calls: reference -> the worker and its unit; None while the worker loads its model.
        free: workers, each as often as it can take a unit.
        again: units whose worker died.
    """

    def __init__(self, run: Run, workers: int):
        import ray

        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.kind, self.run = ray.remote(Labeller).options(**_needs(machines)), run
        self.calls: dict[Any, tuple[Any, Unit | None]] = {}
        self.free, self.again = deque[Any](), deque[Unit]()
        self.deaths = Counter[Unit | None]()
        for _ in range(workers):
            self._start()

    def _start(self) -> None:
        worker: Any = self.kind.remote(self.run)
        self.calls[worker.error.remote()] = worker, None

    @property
    def busy(self) -> bool:
        return any(unit for _, unit in self.calls.values())

    def give(self, unit: Unit) -> None:
        """Gives a unit to a free worker."""
        worker = self.free.popleft()
        self.calls[worker.label.remote(unit)] = worker, unit

    def take(self, reference: Any) -> Done | None:
        """What became of a unit that a worker has finished; None if the worker has only begun, or has died."""
        import ray

        if reference not in self.calls:  # of a worker that has died meanwhile
            return None
        worker, unit = self.calls[reference]
        try:
            result: Done | str = ray.get(reference)
        except ray.exceptions.RayTaskError:  # a bug of ours keeps its traceback
            raise
        except ray.exceptions.RayError as error:
            # The cause of a failed start is the last line of a page.
            lines = [line for line in str(error).splitlines() if line.strip()]
            self._replace(worker, lines[-1] if lines and unit is None else first_line(error))
            return None
        del self.calls[reference]
        if problem := result if isinstance(result, str) else result.error:
            raise FerError(problem)
        if unit is None:
            self.deaths[None] = 0  # counts failed starts in a row
        self.free.extend([worker] * (AHEAD if unit is None else 1))
        return None if isinstance(result, str) else result

    def _replace(self, dead: Any, why: str) -> None:
        import ray

        ray.kill(dead)
        lost = [reference for reference, (worker, _) in self.calls.items() if worker == dead]
        units = [self.calls.pop(reference)[1] for reference in lost]
        self.free = deque(worker for worker in self.free if worker != dead)
        self.again.extend(unit for unit in units if unit)
        in_work = units[0]  # calls are in order, and a worker does one after the other
        self.deaths[in_work] += 1
        if self.deaths[in_work] > RETRIES:
            if in_work is None:
                raise FerError(f"workers cannot start: {why}")
            raise FerError(
                f"workers died {RETRIES + 1} times with {in_work.names[0]} to {in_work.names[-1]} "
                f"(too little memory, or a file that ends a decoder: {why}); "
                "take fewer --workers or leave the file out, then --resume"
            )
        logger.warning("a worker died and is replaced")
        self._start()

    def dismiss(self) -> None:
        import ray

        for worker in {worker for worker, _ in self.calls.values()} | set(self.free):
            ray.kill(worker)


class _Problems(io.TextIOBase):
    """What Ray prints while it works, problems with workers only, as a line each of our own log, once."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def write(self, text: str) -> int:
        for line in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines():
            sentence = line.removeprefix("(raylet) ").partition(". ")[0].strip()
            if sentence and sentence not in self.said:
                self.said.add(sentence)
                logger.warning("Ray: %s", sentence)
        return len(text)
