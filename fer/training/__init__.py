"""Training: recipes, batches, augmentation, `fit`, callbacks and the run folder."""

import os
import platform

# By default, TensorFlow uses oneDNN only on processors with AVX512_VNNI or newer instructions. On AVX2, it doubles the
# speed of training (docs/benchmarks.md) but slows single images down: predictions keep the default. TensorFlow reads
# the variable once, when it is first imported.
if platform.machine().lower() in ("x86_64", "amd64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
