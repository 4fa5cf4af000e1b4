"""The version of this Lantern, with its commit as the local part of PEP 440: ``0.2.0+g97c220a1b``.

A wheel has it in its metadata (pyproject.toml asks `read_source_version` while it is built), so an installed box never
needs git.  A checkout asks git, once a process.  Without either it is the version alone.
"""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Final

from firmware_app import __version__

_TREE: Final = Path(__file__).parents[2]
_GIT: Final = ("git", "--no-optional-locks", "describe", "--always", "--exclude=*", "--abbrev=9", "--dirty=.dirty")


@functools.cache
def version() -> str:
    """At most 26 characters, as a presence message allows (`uplink.messages.summary.Presence`)."""
    from importlib import metadata  # imports the email package, so it is loaded only here

    for installed in metadata.distributions(name="lantern-box", path=[str(_TREE)]):
        return installed.version
    return read_source_version()


def read_source_version() -> str:
    """The version of the tree that this file lies in; ``.dirty`` where files differ from the commit."""
    if not (_TREE / ".git").exists():
        return __version__
    try:
        described = subprocess.run(_GIT, cwd=_TREE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):  # git is missing, or refuses a tree that another user owns
        return __version__
    return f"{__version__}+g{described.stdout.strip()}"
