"""The precision of a training: float32, or bfloat16, which is faster on processors with instructions for it.

bfloat16 means mixed precision: convolutions and activations are bfloat16; weights, optimizer, BatchNorm's statistics,
logits, loss and all-reduce are float32 (Micikevicius et al. 2018; Kalamkar et al. 2019). The exported model is float32.
"""

from importlib import metadata
from pathlib import Path

from distml.step import machine

FLOAT32, BFLOAT16 = "float32", "bfloat16"
# What the workers, or the pipeline on one machine, replace by one of the two.
AUTO = "auto"
GPU_DEVICES = ("nvidia[0-9]*", "dxg")


def of_this_machine(devices: Path = Path("/dev")) -> str:
    """Return the precision that `AUTO` stands for on this machine: the faster one.

    bfloat16 needs AVX512-BF16 or AMX; without them it is slower than float32. On a GPU training stays in float32.
    """
    return BFLOAT16 if has_instructions() and not uses_gpu(devices) else FLOAT32


def has_instructions() -> bool:
    """Return whether the processor multiplies bfloat16 numbers by instructions that TensorFlow's kernels use."""
    return not machine.processor_flags().isdisjoint({"avx512_bf16", "amx_bf16"})


def uses_gpu(devices: Path) -> bool:
    """Return whether TensorFlow would train on a GPU: there is one, and TensorFlow is not the build for CPUs."""
    try:
        metadata.version("tensorflow-cpu")
    except metadata.PackageNotFoundError:
        return any(any(devices.glob(pattern)) for pattern in GPU_DEVICES)
    return False
