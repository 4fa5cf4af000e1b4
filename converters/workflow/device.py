"""Where networks learn, as ``--device`` and ``--workers`` say: on a GPU or the processor, with data workers or without.

Films are changed, and model files made and judged, on the processor; a fit moves its batches to the device and brings
the network back.  Never run on a GPU: we had none.
"""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

import torch

from converters.failures import DeviceAbsent

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""glibc's ``malloc.h``."""
USUAL = {M_MMAP_MAX: 65536, M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 64 << 20}
"""What glibc comes to by itself in a process with large arrays."""


@dataclass(frozen=True, slots=True)
class TrainingDevice:
    """``workers``: how many processes change the films; 0: the one that learns."""

    device: torch.device
    workers: int = 0

    def __str__(self) -> str:
        threads = f"{torch.get_num_threads()} threads"
        where = threads if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        return f"networks learn on {self.device.type} ({where}), data workers: {self.workers}"


_MACHINE: ContextVar[TrainingDevice] = ContextVar("machine")


@contextmanager
def use_device(choice: str, workers: int = 0) -> Iterator[TrainingDevice]:
    """Learn on ``cuda``, on ``cpu`` or, ``auto``, on a GPU when PyTorch finds one, until the block ends.

    Raises :class:`~converters.failures.DeviceAbsent`.
    """
    token = _MACHINE.set(TrainingDevice(_find(choice), workers))
    try:
        yield _MACHINE.get()
    finally:
        _MACHINE.reset(token)


def current_device() -> TrainingDevice:
    """The device that :func:`use_device` has set; outside of it ``auto`` without workers."""
    return _MACHINE.get(None) or TrainingDevice(_find("auto"))


def device() -> torch.device:
    """The device on which networks train."""
    return current_device().device


def in_sixteen_bits() -> AbstractContextManager[None]:
    """bfloat16 where it is safe, on a device that computes in it: a processor that only imitates it is far slower."""
    computes = device().type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device().type, torch.bfloat16, enabled=computes)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Let malloc keep what a training step frees: asking the kernel for it in every step takes a sixth of the time.

    Afterwards everything is given back.  Arrays of many sizes, as in quantization, would make the heap grow for ever.
    """
    _malloc({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1})
    try:
        yield
    finally:
        _malloc(USUAL)


def _malloc(options: Mapping[int, int]) -> None:
    with suppress(OSError, AttributeError):  # another C library
        glibc = ctypes.CDLL("libc.so.6")
        for option, value in options.items():
            glibc.mallopt(option, value)
        glibc.malloc_trim(0)


def _find(choice: str) -> torch.device:
    there = torch.cuda.is_available()
    if choice == "cuda" and not there:
        raise DeviceAbsent(choice, torch.__version__)
    return torch.device("cuda" if there and choice != "cpu" else "cpu")
