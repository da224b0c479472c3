"""The device that Keras uses, and the dtype policy that suits it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras

from fer.core.errors import FerError

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}

# JAX depends on XLA. Under TensorFlow on a CPU, XLA trained the four-block network 6 times slower (36 against 215
# images/s), and TensorFlow has no XLA kernel for the affine transform of the augmentation.
JIT_COMPILE = keras.backend.backend() == "jax"


def has_gpu() -> bool:
    """True if the Keras backend in use sees a GPU."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available() or torch.backends.mps.is_available()
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # JAX has no GPU
        return False


def nvidia_card() -> str | None:
    """Name of the first NVIDIA card of this machine, usable by the backend or not; None without one."""
    return _ask_nvidia("name")


def _ask_nvidia(field: str) -> str | None:
    if not shutil.which("nvidia-smi"):
        return None
    query = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    result = subprocess.run(query, capture_output=True, text=True, check=False)
    return result.stdout.splitlines()[0].strip() if result.returncode == 0 and result.stdout.strip() else None


def describe() -> str:
    """The device and the versions in one line, such as "CPU, tensorflow 2.21.0, keras 3.15.1"."""
    backend = keras.backend.backend()
    device = f"GPU ({nvidia_card() or 'unnamed'})" if has_gpu() else f"CPU ({_cpu_name()})"
    return f"{device}, {backend} {sys.modules[backend].__version__}, keras {keras.__version__}"


def warning() -> str | None:
    """A warning if the machine has an NVIDIA card that the backend cannot use; else None."""
    card = nvidia_card()
    if not card or has_gpu():
        return None
    backend = keras.backend.backend()
    packages = {"tensorflow": '"tensorflow[and-cuda]"', "jax": '"jax[cuda12]"', "torch": "torch"}
    return (
        f"this machine has an NVIDIA card ({card}) that {backend} cannot use: training runs on the CPU. "
        f"On Linux and WSL2: pip install {packages[backend]} (see docs/install-gpu.md)"
    )


def dtype_policy(precision: str) -> str:
    """The Keras dtype policy for `--precision`.

    Args:
        precision: "float32", "bfloat16", "float16", or "auto": bfloat16 on a GPU or a CPU with bfloat16
            instructions, else float32.

    Raises:
        FerError: an unknown precision.
    """
    if precision == "auto":
        fast = _gpu_has_bfloat16() if has_gpu() else _cpu_has_bfloat16()
        precision = "bfloat16" if fast else "float32"
    if precision not in PRECISIONS:
        raise FerError(f"precision must be auto, {', '.join(PRECISIONS)}, not {precision!r}")
    return PRECISIONS[precision]


def _cpu_info(key: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _cpu_name() -> str:
    return f"{_cpu_info('model name') or 'unnamed'}, {os.cpu_count()} cores"


def _gpu_has_bfloat16() -> bool:
    """NVIDIA's cards have it from compute capability 8.0 (Ampere) on; of other cards it is assumed."""
    capability = re.match(r"(\d+)\.", _ask_nvidia("compute_cap") or "")
    return capability is None or int(capability[1]) >= 8


def _cpu_has_bfloat16() -> bool:
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_cpu_info("flags").split())
