"""How does distributed training scale? Images per second of the same global batch on one device and on several.

    python benchmarks/distributed.py
    python benchmarks/distributed.py --recipe vgg --devices 2 --json distributed.json

Needs JAX. On a processor each device is a process of one thread on a core of its own, joined by Gloo; where JAX finds
GPUs, the devices are the GPUs of one process. One and several devices run in turn; efficiency is the median over the
rounds of their ratio, divided by the number of devices. "reduced bytes" are those that all devices combine in a step,
read from the compiled step: a ring sends 2 (n - 1) / n times as many from each device (Patarasuk and Yuan 2009).
"""

import argparse
import dataclasses
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fer.cli import arguments
from fer.core import labels
from fer.data.dataset import Dataset
from fer.data.entry import Entry
from fer.training.recipes import RECIPES

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BYTES = {"f64": 8, "f32": 4, "bf16": 2, "f16": 2, "s64": 8, "u64": 8, "s32": 4, "u32": 4, "u8": 1, "s8": 1, "pred": 1}


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="four-block")
    parser.add_argument("--batch-size", type=int, help="global batch (that of the recipe)")
    parser.add_argument("--devices", type=int, default=2, help="compared with one (2)")
    parser.add_argument("--precision", default="float32", help="as for train.py (float32)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="of each measurement (5)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args)))
        return
    gpus = shutil.which("nvidia-smi") is not None
    with tempfile.TemporaryDirectory() as folder:
        rounds = [{n: run(n, gpus, folder) for n in (1, args.devices)} for _ in range(args.rounds)]
        reduced = reduced_bytes(Path(folder))
    rates = {n: [row[n]["images_per_second"] for row in rounds] for n in (1, args.devices)}
    ratio = float(np.median([row[args.devices]["images_per_second"] / row[1]["images_per_second"] for row in rounds]))
    figures = {
        "images_per_second_one": round(float(np.median(rates[1])), 1),
        "images_per_second_all": round(float(np.median(rates[args.devices])), 1),
        "efficiency": round(ratio / args.devices, 3),
        "reduced_bytes_per_step": reduced,
    }
    known = rounds[0][1]
    about = f"{known['device']}, recipe {args.recipe}, global batch {known['batch_size']}, {args.precision}"
    print(f"{about}: median of {args.rounds} rounds")
    for n, values in rates.items():
        name = f"{n} device{'s' if n > 1 else ''}"
        print(f"{name:24} {np.median(values):10,.1f} images/s   ({min(values):,.1f} to {max(values):,.1f})")
    print(f"efficiency               {figures['efficiency']:10.3f}")
    print(f"reduced bytes per step   {reduced:10,}")
    if args.json:
        Path(args.json).write_text(
            json.dumps(figures | {"about": about, "devices": args.devices, "rounds": rounds}, indent=1)
        )


def run(devices: int, gpus: bool, folder: str) -> dict:
    """Starts the workers of one measurement and returns what the first one measured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    processes = 1 if gpus else devices
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(devices)))
    if processes > 1:
        environment |= {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes)}
    workers = []
    for index in range(processes):
        own = {"KERAS_DISTRIBUTION_PROCESS_ID": str(index), "FER_BENCHMARK_PIN": "" if gpus else str(index)}
        if index == 0 and devices > 1:
            own["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_dump_to={folder} --xla_dump_hlo_as_text"
        command = [sys.executable, __file__, "--worker", *sys.argv[1:]]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        workers.append(subprocess.Popen(command, env=environment | own, **streams))
    outputs = [worker.communicate() for worker in workers]
    for worker, (_, errors) in zip(workers, outputs, strict=True):
        if worker.returncode:
            sys.exit(f"a worker failed:\n{errors[-3000:]}")
    return json.loads(outputs[0][0].splitlines()[-1])


def measure(args) -> dict:
    """Images per second of this process's training, in steady state."""
    if pin := os.environ["FER_BENCHMARK_PIN"]:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(pin) % len(cores)]})
    import keras

    from fer.models import device
    from fer.training import compile, distribute, fit
    from fer.training.augmentation import Augmentation
    from fer.training.batches import Batches

    recipe = dataclasses.replace(RECIPES[args.recipe], ema=0.0, progressive_sizes=())
    if args.batch_size:
        recipe = dataclasses.replace(recipe, batch_size=args.batch_size)
    rng = np.random.default_rng(0)
    n, k = args.steps * recipe.batch_size, len(labels.FER2013)
    images = rng.integers(0, 256, (n, recipe.size, recipe.size, recipe.channels), np.uint8)
    targets = np.eye(k, dtype=np.float32)[rng.integers(0, k, n)]
    dataset = Dataset(images, targets, labels.FER2013, tuple(Entry(str(i)) for i in range(n)))
    with distribute.scope(True) as workers:
        dtype = device.dtype_policy(args.precision)
        keras.utils.set_random_seed(0)
        batches = Batches(dataset, recipe, 0, workers)
        network = fit.build(recipe, labels.FER2013, dtype)
        model = keras.Sequential([keras.Input(images.shape[1:]), Augmentation.from_recipe(recipe, seed=0), network])
        optimizer = compile.optimizer(recipe, steps=10_000, dtype=dtype)
        model.compile(optimizer, compile.loss(recipe), jit_compile=True)
        for _ in range(2):  # compiles: JAX does so for fresh variables, and again for those of an earlier step
            model.fit(batches, shuffle=False, verbose=0)
        started = time.perf_counter()
        model.fit(batches, shuffle=False, verbose=0)
        rate = n / (time.perf_counter() - started)
    return {"images_per_second": rate, "device": device.describe(), "batch_size": recipe.batch_size}


def reduced_bytes(folder: Path) -> int:
    """Bytes of the collective operations of the training step: of the compiled module that has most of them."""
    return max((_collective_bytes(path.read_text()) for path in folder.glob("*after_optimizations.txt")), default=0)


def _collective_bytes(module: str) -> int:
    total = 0
    for line in module.splitlines():
        found = re.search(rf"= (.*?) ({'|'.join(COLLECTIVES)})(-start)?\(", line)
        if found:
            for kind, shape in re.findall(r"(\w+)\[([\d,]*)\]", found[1]):
                total += BYTES.get(kind, 0) * math.prod(int(side) for side in shape.split(",") if side)
    return total


if __name__ == "__main__":
    main()
