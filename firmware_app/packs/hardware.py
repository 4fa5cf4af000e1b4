"""The machine that a pack is made for: processor architectures with their features, and runtimes."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints

from firmware_app.packs.runtimes import choice
from firmware_app.packs.tasks.part import Part, RuntimeName

Architecture = Literal["x86_64", "aarch64"]
Feature = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}$")]


class Hardware(Part):
    """What a pack wants; the default fits every machine.

    ``architectures``: those it is made for, each with the processor features that it needs there, in the words of
    ``/proc/cpuinfo`` (``{"x86_64": ["avx2"], "aarch64": ["asimddp"]}``); empty: any.  ``runtimes``: one of these must
    be installed; empty: any for which the pack has a file.
    """

    architectures: Mapping[Architecture, tuple[Feature, ...]] = {}
    runtimes: tuple[RuntimeName, ...] = ()

    def lacks(self) -> str:
        """What this machine lacks, in English for an engineer; empty where it lacks nothing."""
        here, known = platform.machine(), {str(name): wanted for name, wanted in self.architectures.items()}
        if known and here not in known:
            return f"it is for {' or '.join(sorted(known))}, and this is {here}"
        absent = sorted(set(known.get(here, ())) - features())
        if absent:
            return f"the processor lacks {', '.join(absent)}"
        if self.runtimes and not set(self.runtimes) & set(choice.installed()):
            return f"it needs {' or '.join(self.runtimes)}, which is not installed"
        return ""


@cache
def features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, as the kernel names it."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":")[2] for line in lines if line.split(":")[0].strip() in ("flags", "Features"))
    return frozenset(next(named, "").split())
