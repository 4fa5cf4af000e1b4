"""The kind of this machine, and the kind that `make wheels` filled a folder for: the two must be the same.

    python3 -m firmware_app.appliance.installation.kind FOLDER     writes `made-for.json`, as `make wheels` calls it;
                                                         its options name another kind of machine than this one

Compiled wheels are of one Python and one processor, and Debian packages of one release.  `systemd/packages.sh`, which
runs where there is no Python yet, compares the line "system".
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

MADE_FOR: Final = "made-for.json"
_OS_RELEASE: Final = Path("etc/os-release")  # os-release(5)


@dataclass(frozen=True)
class MachineKind:
    """`system` is compared, `name` is what people call it."""

    system: str
    name: str
    python: str

    @classmethod
    def here(cls, root: Path = Path("/")) -> MachineKind:
        """Of the machine at *root*, with the Python and the processor that run this."""
        release: dict[str, str] = {}
        with suppress(OSError, ValueError):
            words = shlex.split((root / _OS_RELEASE).read_text("utf-8"), comments=True)
            release = dict(word.split("=", 1) for word in words)
        system = f"{release.get('ID', 'linux')} {release.get('VERSION_ID', '')} {platform.machine()}"
        return cls(system, release.get("PRETTY_NAME", system), f"{sys.version_info.major}.{sys.version_info.minor}")

    @classmethod
    def of(cls, folder: Path) -> MachineKind | None:
        """The kind that *folder* was filled for; None where no file says it."""
        try:
            made_for = json.loads((folder / MADE_FOR).read_text("utf-8"))
            return cls(str(made_for["system"]), str(made_for["name"]), str(made_for["python"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def of_another(self, processor: str | None, python: str | None, system: str | None) -> MachineKind:
        """The kind that differs from this one in what is given."""
        own_system, _, own_processor = self.system.rpartition(" ")
        return MachineKind(
            f"{system or own_system} {processor or own_processor}", system or self.name, python or self.python
        )

    def __str__(self) -> str:
        return f"{self.name}, {self.system.rpartition(' ')[2]}, Python {self.python}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python3 -m firmware_app.appliance.installation.kind")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processor", help="as `uname -m` prints it")
    parser.add_argument("--python", help="as in 3.12")
    parser.add_argument("--system", help="as in “ubuntu 24.04”")
    options = parser.parse_args()
    kind = MachineKind.here().of_another(options.processor, options.python, options.system)
    (options.folder / MADE_FOR).write_text(json.dumps(asdict(kind), indent=1) + "\n", "utf-8")
