"""What a training says about the machine, and the arithmetic that it chooses."""

import subprocess

import keras
import pytest

from fer import FerError
from fer.models import device


@pytest.fixture
def machine(monkeypatch):
    """machine(card=..., gpu=..., flags=...): another machine than this one."""

    def pretend(card=None, gpu=False, flags="", capability=None):
        monkeypatch.setattr(device, "_ask_nvidia", {"name": card, "compute_cap": capability}.get)
        monkeypatch.setattr(device, "has_gpu", lambda: gpu)
        monkeypatch.setattr(device, "_cpu_info", lambda key: {"flags": flags, "model name": "Slow CPU"}[key])

    return pretend


@pytest.mark.parametrize(
    ("gpu", "flags", "capability", "expected"),
    [
        (False, "fpu sse avx2 avx512f", None, "float32"),
        (False, "", None, "float32"),
        (False, "avx512f avx512_bf16 fma", None, "mixed_bfloat16"),
        (False, "amx_bf16 amx_tile", "7.5", "mixed_bfloat16"),
        (False, "avx512_bf16x", None, "float32"),
        (True, "", None, "mixed_bfloat16"),  # a GPU that is not NVIDIA's
        (True, "", "8.6", "mixed_bfloat16"),
        (True, "", "12.0", "mixed_bfloat16"),
        (True, "avx512_bf16", "7.5", "float32"),  # a T4 only imitates it
        (True, "", "[N/A]", "mixed_bfloat16"),
    ],
)
def test_auto_takes_bfloat16_where_it_is_fast(machine, gpu, flags, capability, expected):
    machine(gpu=gpu, flags=flags, capability=capability)
    assert device.dtype_policy("auto") == expected


@pytest.mark.parametrize(
    ("asked", "expected"), [("float32", "float32"), ("bfloat16", "mixed_bfloat16"), ("float16", "mixed_float16")]
)
def test_what_is_asked_for_is_taken_anywhere(machine, asked, expected):
    machine(gpu=True)
    assert device.dtype_policy(asked) == expected
    keras.DTypePolicy(expected)


def test_another_precision_is_refused():
    with pytest.raises(FerError, match="precision must be auto, float32, bfloat16, float16, not 'int8'"):
        device.dtype_policy("int8")


def test_the_device_is_described_in_a_line(machine):
    backend = keras.backend.backend()
    machine()
    assert device.describe().startswith("CPU (Slow CPU, ")
    assert f", {backend} " in device.describe()
    machine(card="NVIDIA H200", gpu=True)
    assert device.describe().startswith("GPU (NVIDIA H200), ")
    assert device.describe().endswith(f", keras {keras.__version__}")
    assert "\n" not in device.describe()


def test_this_machine_can_be_described():
    assert device.describe()
    assert isinstance(device.has_gpu(), bool)


@pytest.mark.parametrize(("card", "gpu", "warned"), [(None, False, False), ("RTX", True, False), ("RTX", False, True)])
def test_a_card_that_lies_idle_is_warned_of(machine, card, gpu, warned):
    machine(card=card, gpu=gpu)
    warning = device.warning()
    assert bool(warning) == warned
    assert not warned or ("RTX" in warning and 'pip install "tensorflow[and-cuda]"' in warning)


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [(0, "NVIDIA H200\nNVIDIA H200\n", "NVIDIA H200"), (0, "\n", None), (9, "NVIDIA-SMI has failed", None)],
)
def test_the_first_card_is_named_and_a_broken_driver_is_none(monkeypatch, code, output, expected):
    monkeypatch.setattr(device.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(
        subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, code, output, "")
    )
    assert device.nvidia_card() == expected


def test_without_the_program_there_is_no_card(monkeypatch):
    monkeypatch.setattr(device.shutil, "which", lambda name: None)
    assert device.nvidia_card() is None
