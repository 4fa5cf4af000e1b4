"""The kind of this machine, and the kind that `make wheels` filled a folder for: the two must be the same.

Compiled wheels are of one Python and one processor, and Debian packages of one release.  `systemd/packages.sh`, which
runs where there is no Python yet, compares the line "system".
"""

from __future__ import annotations

import json
import platform
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MADE_FOR: Final = "made-for.json"
_OS_RELEASE: Final = Path("etc/os-release")  # os-release(5)


@dataclass(frozen=True)
class Platform:
    """`system` is compared, `name` is what people call it."""

    system: str
    name: str
    python: str

    @classmethod
    def detect(cls, root: Path = Path("/")) -> Platform:
        """Of the machine at *root*, with the Python and the processor that run this."""
        release: dict[str, str] = {}
        with suppress(OSError, ValueError):
            words = shlex.split((root / _OS_RELEASE).read_text("utf-8"), comments=True)
            release = dict(word.split("=", 1) for word in words)
        system = f"{release.get('ID', 'linux')} {release.get('VERSION_ID', '')} {platform.machine()}"
        return cls(system, release.get("PRETTY_NAME", system), f"{sys.version_info.major}.{sys.version_info.minor}")

    @classmethod
    def from_folder(cls, folder: Path) -> Platform | None:
        """The kind that *folder* was filled for; None where no file says it."""
        try:
            made_for = json.loads((folder / MADE_FOR).read_text("utf-8"))
            return cls(str(made_for["system"]), str(made_for["name"]), str(made_for["python"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        return f"{self.name}, {self.system.rpartition(' ')[2]}, Python {self.python}"
