"""How an audit grows with the data: seconds and memory for 48 x 48 images, and near-duplicates missed.

    python benchmarks/audit.py
    python benchmarks/audit.py --counts 30000,100000 --json audit.json

The images are random clouds whose principal axes fall off as those of FER2013 do (the first 2, 12 and 32 hold 28, 65
and 77 % of the variance; there 29, 64 and 81 %). A tenth of them are near-duplicates (darker, noisy), a twentieth exact
duplicates. "found" counts all pairs of near-duplicates. "missed" counts those of a thousand images that a comparison
with all others finds and the audit does not. Every count runs in a process of its own, which has its own peak memory.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fer.cli import arguments
from fer.data import audit, duplicates
from fer.data.dataset import Dataset
from fer.data.entry import Entry

WAVES = 16  # in each direction
CHECKED = 1000  # images compared with all others, one by one
LABELS = ("angry", "happy")


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--counts", default="30000,100000", metavar="N,N", help="images (30000,100000)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # a single count, in this process
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}; near from r = {duplicates.NEAR}")
    heads = ("images", "seconds", "CPU s", "us each", "peak MB", "pixels MB", "planted", "found", "missed")
    print("".join(f"{head:>10}" for head in heads))
    rows = []
    for count in map(int, args.counts.split(",")):
        command = [sys.executable, __file__, "--one", str(count)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        row = rows[-1]
        times = f"{row['seconds']:10.1f}{row['cpu_seconds']:10.1f}{1e6 * row['cpu_seconds'] / count:10.0f}"
        memory = f"{row['peak_mb']:10,.0f}{row['pixels_mb']:10,.0f}"
        found = f"{row['planted']:10,}{row['near_pairs']:10,}{row['missed']:10,}"
        print(f"{count:10,}{times}{memory}{found}", flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps({"rows": rows}, indent=1))


def measure(count):
    """One audit: its time, its memory, and the near-duplicates that it missed."""
    images, planted = make(count)
    codes = np.arange(count) % 2
    entries = tuple(Entry(row=row) for row in range(count))
    data = Dataset(images, np.eye(2, dtype=np.float32)[codes], LABELS, entries)
    half = count * 9 // 10
    parts = {"train": data.select(np.arange(half)), "validation": data.select(np.arange(half, count))}
    del data
    started, cpu = time.perf_counter(), time.process_time()
    found = audit.audit(parts)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    scale = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, kilobytes here
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    figures = {"images": count, "seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak / 1e6}
    figures |= {"pixels_mb": images.nbytes / 1e6, "planted": planted, "near_pairs": len(found.pairs[0])}
    return figures | {"groups": len(found.near_groups), "missed": missed(found, images)}


def make(count):
    """uint8 (count, 48, 48, 1), and how many near-duplicates were planted."""
    rng = np.random.default_rng(0)
    frequency = np.maximum(1, np.hypot(*np.meshgrid(np.arange(WAVES), np.arange(WAVES))))
    common = 0.35 * rng.normal(size=(WAVES, WAVES)) / frequency
    images = np.empty((count, 48, 48, 1), np.uint8)
    for image in images:
        waves = np.zeros((48, 48), np.float32)
        waves[:WAVES, :WAVES] = common + rng.normal(size=(WAVES, WAVES)) / frequency
        waves[0, 0] = 0
        cloud = cv2.idct(waves)
        image[:, :, 0] = np.clip(128 + 45 * cloud / cloud.std(), 0, 255)
    order = rng.permutation(count)
    near, exact, sources = order[: count // 10], order[count // 10 : count // 10 + count // 20], order[-count // 4 :]
    images[exact] = images[sources[: len(exact)]]
    for row, source in zip(near, sources[-len(near) :], strict=True):
        noisy = images[source] * 0.8 + 10 + rng.normal(0, 4, (48, 48, 1))
        images[row] = np.clip(noisy, 0, 255)
    return images, len(near)


def missed(found, images):
    """Near-duplicates of some images that all comparisons find and the audit did not put into one group."""
    vectors, usable = duplicates.signatures(images)
    count = 0
    for row in np.random.default_rng(1).choice(len(images), min(CHECKED, len(images)), replace=False):
        others = np.flatnonzero((vectors @ vectors[row] >= found.threshold + 1e-5) & usable)
        count += int((found.near[others] != found.near[row]).sum()) if usable[row] else 0
    return count


if __name__ == "__main__":
    main()
