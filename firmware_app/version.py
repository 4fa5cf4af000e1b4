"""Which Lantern this is: its version, with the commit it was made from as PEP 440's local part: ``0.2.0+g97c220a1b``.

A wheel has it in its metadata (pyproject.toml asks `of_the_source` while it is built), so an installed box never needs
git.  A checkout asks git, once a process.  Without either it is the version alone.
"""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Final

from firmware_app import __version__

_TREE: Final = Path(__file__).parents[1]
_GIT: Final = ("git", "--no-optional-locks", "describe", "--always", "--exclude=*", "--abbrev=9", "--dirty=.dirty")


@functools.cache
def version() -> str:
    """At most 26 characters: the form that a box's presence carries (`uplink.summary.Presence`)."""
    from importlib import metadata  # with the email package; only whoever is asked for the version needs it

    for installed in metadata.distributions(name="lantern-box", path=[str(_TREE)]):
        return installed.version
    return of_the_source()


def of_the_source() -> str:
    """The version of the tree that this file lies in; ``.dirty`` where files differ from the commit."""
    if not (_TREE / ".git").exists():
        return __version__
    try:
        told = subprocess.run(_GIT, cwd=_TREE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):  # no git here, or a tree of somebody else
        return __version__
    return f"{__version__}+g{told.stdout.strip()}"
