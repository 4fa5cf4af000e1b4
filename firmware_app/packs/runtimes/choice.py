"""The runtimes that are installed, by the entry points of the group ``lantern.runtimes``, and which work on this box.

A runtime is a module (`packs.runtimes.interface`), so any installed package can add one.  Where two packages name the
same runtime, Lantern's own module is used.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import cast

from firmware_app.core.errors import RuntimeUnavailable
from firmware_app.core.settings import runtimes
from firmware_app.core.settings.runtimes import DEFAULT as DEFAULT
from firmware_app.core.settings.runtimes import GROUP as GROUP
from firmware_app.core.settings.runtimes import installed as installed
from firmware_app.packs.runtimes.interface import Probe, Runtime


def get(key: str) -> Runtime:
    """The runtime module called ``key``; this does not import its library.  Raises `RuntimeUnavailable`."""
    return cast(Runtime, runtimes.module(key))


def suffixes(key: str) -> tuple[str, ...]:
    """The suffixes of the files that the runtime reads; none where it is not installed or cannot be imported."""
    try:
        return get(key).suffixes
    except RuntimeUnavailable:
        return ()


def installed_version(key: str) -> str | None:
    """The version of the runtime's library, or of the package that contains the runtime; ``None`` without either.

    An installed library may still fail to import, or crash: `probe()` in a child process tells.
    """
    point = installed().get(key)
    if point is None:
        return None
    try:
        libraries = getattr(get(key), "distributions", None)
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


def probe(key: str) -> Probe:
    """Whether the runtime works on this box.  Imports its library, which takes seconds and memory that stays in use."""
    try:
        return get(key).probe()
    except RuntimeUnavailable as error:
        return Probe(False, None, error.detail)


def available() -> tuple[str, ...]:
    """The runtimes that work on this box, the default first."""
    return tuple(key for key in installed() if probe(key).available)
