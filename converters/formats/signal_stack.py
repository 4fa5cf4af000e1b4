"""Keep the alternate signal stack of a thread through OpenVINO's quantization.

OpenVINO's CPU plugin gives the thread that loads it an alternate signal stack (openvino pull request 11894), and takes
it back when its core goes.  NNCF opens cores of its own.  Where two of them go in another order than they came, the
thread is left with a stack that is no longer there, and the next signal, a Ctrl-C or a timer, ends the process by
SIGSEGV.  Python's handlers do run on that stack (SA_ONSTACK).
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """``stack_t`` of sigaltstack(2)."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def preserve_signal_stack() -> Iterator[None]:
    """Leave the calling thread with the alternate signal stack that it had before; on Linux only."""
    if sys.platform != "linux":
        yield
        return
    system, before = ctypes.CDLL(None), _Stack()
    system.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        system.sigaltstack(ctypes.byref(before), None)
