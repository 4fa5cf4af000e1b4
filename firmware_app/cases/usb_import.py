"""The import from a USB stick: which cases it left incomplete, why files were refused, and how far it is.

A case is marked as incomplete from the first image of an import on (its association has the source `SOURCE`), not at
the time of a failure, because a failure may leave no time for it.  The mark is removed when the importer reports that
it has seen the whole stick: every image of the import was seen again, and nothing on the stick was unreadable or
refused.

Refused files are explained by a sentence for each reason, with the number of files and what to do.

The progress is one small file in ``run/``, written by the importer and read by the viewer.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Final

from firmware_app.cases.errors import (
    CASE_INCOMPLETE,
    CASE_LISTED_MORE,
    FILE_EMPTY,
    FILE_GARBLED,
    FILE_OF_ZEROS,
    NOT_A_REGULAR_FILE,
    PACKED_ARCHIVE,
    PHONE_PICTURE,
    FileUnreadable,
    HeaderConflict,
    InstanceConflict,
)
from firmware_app.core.database import Database
from firmware_app.core.language import N_, translate
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir, write_atomically
from firmware_app.dicom.errors import (
    END_NOT_MARKED,
    IDENTITY_MALFORMED,
    IDENTITY_MISSING,
    IDENTITY_TOO_LONG,
    NOT_AN_IMAGE,
    TRANSFER_SYNTAX_REFUSED,
    Malformed,
    NestedTooDeep,
    ObjectTooLarge,
    PixelLengthMismatch,
    Truncated,
)

SOURCE: Final = "usb"

INCOMPLETE: Final = (
    "(EXISTS (SELECT 1 FROM instances im JOIN associations am ON am.id = im.association"
    f" WHERE im.case_reference = {{case}} AND am.source = '{SOURCE}' AND am.id NOT IN (SELECT association FROM whole))"
    " OR EXISTS (SELECT 1 FROM listed_more lm WHERE lm.case_reference = {case}))"
)
"""True in SQL while the case of that reference is incomplete."""


def explain_incompleteness(connection: sqlite3.Connection, case: str) -> Reason | None:
    """Why *case* may be incomplete; None when it is not."""
    row = connection.execute("SELECT count FROM listed_more WHERE case_reference = ?", (case,)).fetchone()
    if row is not None:
        return Reason.from_error(CASE_LISTED_MORE(count=row[0]))
    (misses_images,) = connection.execute(f"SELECT {INCOMPLETE.format(case='?1')}", (case,)).fetchone()
    return Reason.from_error(CASE_INCOMPLETE()) if misses_images else None


class UsbImports:
    """What the importer records in one clinical database, each durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_whole_stick(self, met: Iterable[str], listed_more: Mapping[str, int]) -> None:
        """A whole stick was read, with the instances *met* on it.  *listed_more* counts, by Study Instance UID, the
        objects that its DICOMDIR lists but that are not on it.

        Every import whose images are all among these is now complete, even one of another day: the content of the
        stick decides, not its name.  Cases that become complete get another revision.
        """
        with self._database.transaction() as connection:
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS met (reference TEXT PRIMARY KEY)")
            connection.execute("DELETE FROM met")
            connection.executemany("INSERT OR IGNORE INTO met VALUES (?)", ((one,) for one in met))
            before = _list_incomplete(connection)
            connection.execute(
                "INSERT OR IGNORE INTO whole SELECT id FROM associations a WHERE source = ? AND NOT EXISTS (SELECT 1"
                " FROM instances i WHERE i.association = a.id AND i.reference NOT IN (SELECT reference FROM met))",
                (SOURCE,),
            )
            connection.execute(
                "DELETE FROM listed_more WHERE case_reference IN (SELECT case_reference FROM instances"
                " WHERE reference IN (SELECT reference FROM met))"
            )
            connection.executemany(
                "INSERT OR REPLACE INTO listed_more SELECT reference, ?1 FROM cases"
                " WHERE study_uid = ?2 OR shared_study = ?2",
                ((count, study) for study, count in listed_more.items()),
            )
            connection.executemany(
                "UPDATE cases SET fresh = 1, touched = ? WHERE reference = ? AND revision > 0",
                ((time.monotonic(), case) for case in before ^ _list_incomplete(connection)),
            )
            connection.execute("DELETE FROM met")

    def list_cases(self, met: Iterable[str]) -> dict[str, bool]:
        """The cases of the instances *met*, and whether each is incomplete."""
        cases: dict[str, bool] = {}
        for reference in met:
            row = self._database.connection.execute(
                f"SELECT case_reference, {INCOMPLETE.format(case='instances.case_reference')} FROM instances"
                " WHERE reference = ?",
                (reference,),
            ).fetchone()
            if row is not None:
                cases[row[0]] = bool(row[1])
        return cases


def _list_incomplete(connection: sqlite3.Connection) -> set[str]:
    """The incomplete cases among those of the instances in the table `met`."""
    rows = connection.execute(
        "SELECT DISTINCT case_reference FROM instances WHERE reference IN (SELECT reference FROM met)"
        f" AND {INCOMPLETE.format(case='instances.case_reference')}"
    )
    return {row[0] for row in rows}


_CUT_OFF: Final = N_("Damaged images, which end too early: {count}. Copy them again from the machine.")
_BROKEN: Final = N_("Damaged images, whose contents are broken or erased: {count}. Copy them again from the machine.")
_EMPTY: Final = N_("Images of which only the name is left: {count}. Copy them again from the machine.")
_UNREADABLE: Final = N_(
    "Files or folders that could not be read: {count}. Put the stick in again; if it stays so, copy the images to "
    "another stick."
)
_COMPRESSION: Final = N_(
    "Images in a compression that the box does not take: {count}. Have the machine save them uncompressed or as JPEG."
)
_LARGE: Final = N_("Images larger than this box accepts: {count}. Call the technician.")
_OTHERWISE: Final = N_(
    "Images that are here already and differ: {count}. The first is used; if that is wrong, correct it in the viewer."
)
_NO_IDENTITY: Final = N_("Images without a valid identity: {count}. Export them again from the machine.")
_PACKED: Final = N_("Packed archives, which the box does not open: {count}. Unpack them, and copy the images alone.")
_OF_A_PHONE: Final = N_("Pictures as phones store them (HEIC, AVIF): {count}. Save them as JPEG or PNG.")
_REFUSED: Final = N_("Files refused for another reason ({code}): {count}.")

_SENTENCES: Final = {
    error.code: sentence
    for sentence, errors in (
        (_CUT_OFF, (Truncated, END_NOT_MARKED, PixelLengthMismatch)),
        (_BROKEN, (Malformed, NestedTooDeep, FILE_GARBLED, NOT_AN_IMAGE)),
        (_EMPTY, (FILE_EMPTY, FILE_OF_ZEROS)),
        (_UNREADABLE, (FileUnreadable, NOT_A_REGULAR_FILE)),
        (_COMPRESSION, (TRANSFER_SYNTAX_REFUSED,)),
        (_LARGE, (ObjectTooLarge,)),
        (_OTHERWISE, (InstanceConflict, HeaderConflict)),
        (_NO_IDENTITY, (IDENTITY_MISSING, IDENTITY_MALFORMED, IDENTITY_TOO_LONG)),
        (_PACKED, (PACKED_ARCHIVE,)),
        (_OF_A_PHONE, (PHONE_PICTURE,)),
    )
    for error in errors
}


def explain_refusals(refused: Mapping[str, int], language: str) -> list[str]:
    """*refused* counts files by the code of the refusal; the most frequent reason comes first."""
    counts = Counter[str]()
    for code, count in refused.items():
        counts[translate(_SENTENCES.get(code, _REFUSED), language).replace("{code}", code)] += count
    return [sentence.replace("{count}", str(count)) for sentence, count in counts.most_common()]


STATUS_NAME: Final = "import"
"""Of the file, and of the lock that the importer holds while it copies (`device.presence`)."""


class StickStage(StrEnum):
    """The stage of an import."""

    SEARCHING = "searching"
    COPYING = "copying"
    DONE = "done"
    EMPTY = "empty"  # looked through to its end, and there was no image
    UNFINISHED = "unfinished"  # not everything was copied; `reason` says why
    REFUSED = "refused"  # nothing was opened; `reason` says why


@dataclass(frozen=True, slots=True)
class StickStatus:
    """The status of one import, for a person at the box.  Counts are of files; no name, no UID, no path."""

    stage: StickStage
    since: str
    kind: str = ""  # the file system
    found: int = 0
    looked: int = 0
    new: int = 0
    known: int = 0  # images that the box had already
    refused: Mapping[str, int] = field(default_factory=dict)  # by the refusal's code
    passed_by: int = 0  # no images, or links, pipes and devices
    reason: Reason | None = None
    ended: str = ""
    receipt: int | None = None  # the number of the text receipt
    taken_out: bool = False
    seen: bool = False  # a person has read why it was not copied to its end

    @property
    def is_under_way(self) -> bool:
        return self.stage in (StickStage.SEARCHING, StickStage.COPYING)

    @property
    def refusals(self) -> int:
        return sum(self.refused.values())


def write_status(state: StateDir, status: StickStatus) -> None:
    """Write the status, whole or not at all.  Raises `OSError`."""
    write_atomically(state.run / f"{STATUS_NAME}.json", json.dumps(asdict(status)).encode(), 0o660)


def read_status(state: StateDir) -> StickStatus | None:
    """The current or last status; None where no stick was ever copied."""
    try:
        content = json.loads((state.run / f"{STATUS_NAME}.json").read_text("utf-8"))
        reason = content.pop("reason")
        status = StickStatus(**{**content, "stage": StickStage(content["stage"])})
        return replace(status, reason=Reason(**reason) if reason else None)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
