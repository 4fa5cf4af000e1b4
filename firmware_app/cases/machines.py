"""The imaging machine that made a film: a digest that tells it from others, and a name for people.

It is recognised by manufacturer, model and station name (PS3.3 C.7.5.1).  The digest is made under a secret of the box:
whoever reads it in a log or at the hospital learns nothing of the machine.  A film that names none of the three counts
as made by one more machine, without a name.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from dataclasses import dataclass
from typing import Final

from firmware_app.core import clock
from firmware_app.core.records import Header

_DIGITS: Final = 20
_LONGEST: Final = 64  # characters of one value (PS3.5 6.2: LO)


@dataclass(frozen=True, slots=True)
class Machine:
    """One imaging machine; `name` is empty where its films do not say, and never belongs in a log."""

    digest: str
    name: str = ""


def of(header: Header | None, secret: bytes) -> Machine:
    """The machine that made the image; *secret* is the box's (`Clinical.subkey`)."""
    stated = (header.manufacturer, header.model_name, header.station_name) if header is not None else (None,) * 3
    words = [_one_line(word or "") for word in stated]
    told = "\0".join(word.casefold() for word in words)
    digest = hmac.new(secret, told.encode(), hashlib.sha256).hexdigest()[:_DIGITS]
    return Machine(f"m-{digest}", " · ".join(word for word in words if word))


def _one_line(text: str) -> str:
    """*text* without control and direction characters, which a header may hold."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:_LONGEST]


def remember(connection: sqlite3.Connection, machine: Machine) -> None:
    """Note *machine*, inside the caller's transaction."""
    connection.execute(
        "INSERT INTO machines (digest, name, at) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING",
        (machine.digest, machine.name, clock.text()),
    )


def name_of(connection: sqlite3.Connection, digest: str) -> str:
    """The name of the machine; empty where its films do not say, or where it is not known."""
    row = connection.execute("SELECT name FROM machines WHERE digest = ?", (digest,)).fetchone()
    return str(row[0]) if row else ""
