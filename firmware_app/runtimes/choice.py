"""Which runtimes there are, and which of them work on this box."""

from importlib import import_module
from typing import Final, cast

from firmware_app.errors import RuntimeUnavailable
from firmware_app.runtimes.interface import Probe, Runtime

KEYS: Final = ("onnxruntime", "openvino", "litert")
"""Every runtime we have a module for, the default first."""

DEFAULT: Final = KEYS[0]


def get(key: str) -> Runtime:
    """The runtime module called ``key``; its library is not imported yet.

    Raises :class:`~firmware_app.errors.RuntimeUnavailable` for a name that is none of :data:`KEYS`.
    """
    if key not in KEYS:
        raise RuntimeUnavailable(runtime=key, detail=f"the runtimes known here are {', '.join(KEYS)}")
    return cast(Runtime, import_module(f"firmware_app.runtimes.{key}"))


def probe_all() -> dict[str, Probe]:
    """What each runtime says of itself on this box. Imports every library: seconds, and memory that stays."""
    return {key: get(key).probe() for key in KEYS}


def available() -> tuple[str, ...]:
    """The runtimes that work on this box, the default first."""
    return tuple(key for key, found in probe_all().items() if found.available)
