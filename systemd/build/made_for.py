"""Writes `made-for.json`: the kind of machine that `make wheels` fills a folder for.

python -m systemd.build.made_for FOLDER     for a machine of this kind; the options name another kind
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from firmware_app.appliance.installation.kind import MADE_FOR, Platform


def vary(here: Platform, processor: str | None, python: str | None, system: str | None) -> Platform:
    """The kind that differs from *here* in what is given."""
    own_system, _, own_processor = here.system.rpartition(" ")
    return Platform(f"{system or own_system} {processor or own_processor}", system or here.name, python or here.python)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m systemd.build.made_for")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processor", help="as `uname -m` prints it")
    parser.add_argument("--python", help="as in 3.12")
    parser.add_argument("--system", help="as in “ubuntu 24.04”")
    options = parser.parse_args(arguments)
    kind = vary(Platform.detect(), options.processor, options.python, options.system)
    (options.folder / MADE_FOR).write_text(json.dumps(asdict(kind), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
