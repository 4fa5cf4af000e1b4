"""The imaging devices of the clinic: those that made images, and those that a technician entered for a connection test.

A device is recognised in an image by manufacturer, model and station name (PS3.3 C.7.5.1).  It gets a digest that tells
it from others, and a name for people.  The digest is made under a secret of the box: in a log or at the hospital it
reveals nothing of the device.  Images that name none of the three count as made by one more device, without a name.

A technician enters a device by AE title, host and port.  A person asks for the connection test, and the gateway sends
the C-ECHO, because the page's own process may open no connection.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import sqlite3
from dataclasses import asdict, astuple, dataclass
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.errors import (
    MACHINE_HOST_UNUSABLE,
    MACHINE_PORT_UNUSABLE,
    MACHINE_TITLE_UNUSABLE,
    MACHINES_TOO_MANY,
    DeviceUnknown,
)
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import Header, Reason
from firmware_app.core.rows import StoredReason, StoredTime, dump_reason, insert, parse_row

_DIGITS: Final = 20
_LONGEST: Final = 64  # characters of one value (PS3.5 6.2: LO)


@dataclass(frozen=True, slots=True)
class ImagingDevice:
    """One imaging machine; `name` is empty where its films do not say, and never belongs in a log."""

    digest: str
    name: str = ""


def identify_device(header: Header | None, secret: bytes) -> ImagingDevice:
    """The machine that made the image; *secret* is the box's (`Clinical.subkey`)."""
    stated = (header.manufacturer, header.model_name, header.station_name) if header is not None else (None,) * 3
    words = [_clean_line(word or "") for word in stated]
    told = "\0".join(word.casefold() for word in words)
    digest = hmac.new(secret, told.encode(), hashlib.sha256).hexdigest()[:_DIGITS]
    return ImagingDevice(f"m-{digest}", " · ".join(word for word in words if word))


def _clean_line(text: str) -> str:
    """*text* without control and direction characters, which a header may hold."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:_LONGEST]


def record_device(connection: sqlite3.Connection, machine: ImagingDevice) -> None:
    """Note *machine*, inside the caller's transaction."""
    row = {"digest": machine.digest, "name": machine.name, "at": clock.stamp_text()}
    insert(connection, "machines", "INSERT OR IGNORE", **row)


def find_device_name(connection: sqlite3.Connection, digest: str) -> str:
    """The name of the machine; empty where its films do not say, or where it is not known."""
    row = connection.execute("SELECT name FROM machines WHERE digest = ?", (digest,)).fetchone()
    return str(row[0]) if row else ""


MODALITY_ADDED: Final = "modality.added"
MODALITY_REMOVED: Final = "modality.removed"
MODALITY_TESTED: Final = "modality.tested"
MOST_MODALITIES: Final = 32
_TITLE: Final = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?", re.ASCII)  # PS3.5 AE: no backslash
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModalityAddress:
    """Where a machine answers: its AE title, host and port.  Raises a `DeviceError` for what cannot be one."""

    title: str
    host: str
    port: int

    def __post_init__(self) -> None:
        if not _TITLE.fullmatch(self.title):
            raise MACHINE_TITLE_UNUSABLE()
        if not _is_host(self.host):
            raise MACHINE_HOST_UNUSABLE()
        if not 0 < self.port < 65536:
            raise MACHINE_PORT_UNUSABLE()


@dataclass(frozen=True, slots=True)
class Modality:
    """One machine, since when a test is to be done (None: none is), and what came of the last one, if there was one."""

    sequence: int
    place: ModalityAddress
    asked_at: StoredTime | None
    reached: bool
    reason: StoredReason | None
    tested_at: StoredTime | None


class Modalities:
    """The machines of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, place: ModalityAddress, actor: str) -> int:
        """Keep a machine and have the line to it tested; its number.  One that is there is only tested again."""
        with self._database.transaction() as connection:
            if connection.execute("SELECT COUNT(*) FROM modalities").fetchone()[0] >= MOST_MODALITIES:
                raise MACHINES_TOO_MANY(most=MOST_MODALITIES)
            if insert(connection, "modalities", "INSERT OR IGNORE", **asdict(place)).rowcount:
                audit.append(connection, actor, MODALITY_ADDED, "", {"machine": place.title})
            number = int(
                connection.execute(
                    "SELECT sequence FROM modalities WHERE title = ? AND host = ? AND port = ?", astuple(place)
                ).fetchone()[0]
            )
            _request_test(connection, number, actor)
        return number

    def request_test(self, number: int, actor: str) -> None:
        """Have the line tested again; raises `DeviceUnknown`."""
        with self._database.transaction() as connection:
            _request_test(connection, number, actor)

    def remove(self, number: int, actor: str) -> None:
        """Forget a machine; raises `DeviceUnknown`."""
        with self._database.transaction() as connection:
            row = connection.execute("DELETE FROM modalities WHERE sequence = ? RETURNING title", (number,)).fetchone()
            if row is None:
                raise DeviceUnknown
            audit.append(connection, actor, MODALITY_REMOVED, "", {"machine": row[0]})

    def all(self) -> list[Modality]:
        """Every machine, in the order in which they were entered."""
        return [
            _parse_modality(row) for row in self._database.connection.execute("SELECT * FROM modalities ORDER BY 1")
        ]

    def list_requested(self) -> list[Modality]:
        """Those whose line is still to be tested."""
        rows = self._database.connection.execute("SELECT * FROM modalities WHERE asked = 1 ORDER BY sequence")
        return [_parse_modality(row) for row in rows]

    def record_test(self, number: int, reason: Reason, *, reached: bool) -> None:
        """The test is over; of a machine that was removed meanwhile nothing is kept."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE modalities SET asked = 0, reached = ?, reason = ?, tested_at = ? WHERE sequence = ?",
                (reached, dump_reason(reason), clock.stamp_text("seconds"), number),
            )


def _request_test(connection: sqlite3.Connection, number: int, actor: str) -> None:
    row = connection.execute(
        "UPDATE modalities SET asked = 1, asked_at = ? WHERE sequence = ? RETURNING title",
        (clock.stamp_text("seconds"), number),
    ).fetchone()
    if row is None:
        raise DeviceUnknown
    audit.append(connection, actor, MODALITY_TESTED, "", {"machine": row[0]})


def _parse_modality(row: sqlite3.Row) -> Modality:
    address = ModalityAddress(row["title"], row["host"], row["port"])
    return parse_row(Modality, row, place=address, asked_at=row["asked_at"] if row["asked"] else None)


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.split(".")
        return 0 < len(text) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
    return True
