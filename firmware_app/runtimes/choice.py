"""The runtime modules by name, and which of them work on this box."""

from importlib import import_module
from typing import Final, cast

from firmware_app.errors import RuntimeUnavailable
from firmware_app.runtimes import register
from firmware_app.runtimes.interface import Probe, Runtime, one_line

KEYS: Final = tuple(register.OWN)
"""Our own runtimes, the default first."""

DEFAULT: Final = KEYS[0]


def get(key: str) -> Runtime:
    """The runtime module called ``key``; its library is not imported yet.

    Raises :class:`~firmware_app.errors.RuntimeUnavailable` for a name that no entry point has, or a module that
    cannot be imported.
    """
    known = register.modules()
    if key not in known:
        raise RuntimeUnavailable(runtime=key, detail=f"the runtimes known here are {', '.join(known)}")
    try:
        return cast(Runtime, import_module(known[key]))
    except (ImportError, OSError) as error:
        raise RuntimeUnavailable(runtime=key, detail=one_line(error)) from error


def probe(key: str) -> Probe:
    """What the runtime says of itself on this box.  Imports its library: seconds, and memory that stays."""
    try:
        return get(key).probe()
    except RuntimeUnavailable as error:
        return Probe(False, None, error.detail)


def probe_all() -> dict[str, Probe]:
    """What each runtime says of itself on this box."""
    return {key: probe(key) for key in register.modules()}


def available() -> tuple[str, ...]:
    """The runtimes that work on this box, the default first."""
    return tuple(key for key, found in probe_all().items() if found.available)
