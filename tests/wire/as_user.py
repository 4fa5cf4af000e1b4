"""Become another Unix user for good, then run: ``as_user.py UID GID,GID… (lantern|reader|code) ARGUMENT…``.

Everything is imported first: the interpreter may lie where only root can read it.
"""

from __future__ import annotations

import importlib
import os
import sys

from firmware_app.cli import command_line
from tests.wire import line_reader

_LATER = (
    "encodings.idna",
    "importlib.readers",
    "importlib.resources",
    "sqlite3",
    "firmware_app.appliance.supervisor",
    "firmware_app.appliance.processes.uplink",
)


def main(user: str, groups: str, what: str, *arguments: str) -> None:
    for name in _LATER:
        importlib.import_module(name)
    ids = [int(group) for group in groups.split(",")]
    os.setgroups(ids)
    os.setresgid(ids[0], ids[0], ids[0])
    os.setresuid(int(user), int(user), int(user))
    if what == "lantern":
        sys.exit(command_line.main(arguments))
    elif what == "reader":
        line_reader.main(*arguments)
    else:
        exec(arguments[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
