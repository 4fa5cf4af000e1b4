"""The runtimes that are installed, by the entry points of the group ``lantern.runtimes``, and which work on this box.

A runtime is a module (`packs.runtimes.interface`), so any installed package can add one.  Where two packages name the
same runtime, Lantern's own module is used.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import cast

from firmware_app.core import runtimes
from firmware_app.core.errors import RuntimeUnavailable
from firmware_app.core.runtimes import DEFAULT as DEFAULT
from firmware_app.core.runtimes import GROUP as GROUP
from firmware_app.core.runtimes import list_runtimes as list_runtimes
from firmware_app.packs.runtimes.interface import Probe, Runtime


def get_runtime(key: str) -> Runtime:
    """The runtime module called ``key``; this does not import its library.  Raises `RuntimeUnavailable`."""
    return cast(Runtime, runtimes.import_runtime(key))


def runtime_suffixes(key: str) -> tuple[str, ...]:
    """The suffixes of the files that the runtime reads; none where it is not installed or cannot be imported."""
    try:
        return get_runtime(key).suffixes
    except RuntimeUnavailable:
        return ()


def installed_version(key: str) -> str | None:
    """The version of the runtime's library, or of the package that contains the runtime; ``None`` without either.

    An installed library may still fail to import, or crash: `probe()` in a child process tells.
    """
    point = list_runtimes().get(key)
    if point is None:
        return None
    try:
        libraries = getattr(get_runtime(key), "distributions", None)
    except RuntimeUnavailable:
        libraries = None
    if libraries is None:
        return point.dist.version if point.dist else None
    for distribution in libraries:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None


def probe_runtime(key: str) -> Probe:
    """Whether the runtime works on this box.  Imports its library, which takes seconds and memory that stays in use."""
    try:
        return get_runtime(key).probe()
    except RuntimeUnavailable as error:
        return Probe(False, None, error.detail)


def list_available_runtimes() -> tuple[str, ...]:
    """The runtimes that work on this box, the default first."""
    return tuple(key for key in list_runtimes() if probe_runtime(key).available)
