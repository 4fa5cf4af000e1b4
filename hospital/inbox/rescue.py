"""A damaged inbox.db is moved aside unchanged and replaced by its newest whole copy, or begun anew.

Boxes send again what was not confirmed yet.  A case revision that was confirmed after the copy is lost to the hospital:
the boxes keep their cases, but do not send them again.
"""

from __future__ import annotations

import shutil
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from hospital import keyring
from hospital.errors import INBOX_NEEDS_ROOM, InboxBegunAnew, InboxRebuilt
from hospital.hospital_site import HospitalSite
from hospital.inbox import copies, inbox_tables
from hospital.inbox.copies import find_damage
from hospital.inbox.inbox_db import Inbox

_SPARE_BYTES: Final = 4_000_000


def rescue_inbox(site: HospitalSite) -> Path | None:
    """Replace a damaged inbox, or one that was deleted beside its copies; returns where the damaged file is kept, None
    when the inbox is sound or was never there.

    No other process may have it open.  May be killed at any time: the next call goes on.  The damaged file stays where
    it is until the new one is whole.  The loss is noted in the new inbox.  Raises `INBOX_NEEDS_ROOM`.
    """
    fresh = site.inbox_db.with_name(f"{site.inbox_db.name}.new")
    defect = find_damage(site.inbox_db)
    if not site.inbox_db.exists() and not fresh.exists() and copies.list_copies(site):
        defect = f"{site.inbox_db.name} is missing"
        _remove(site.inbox_db)  # a log without its file holds nothing that can be read
    if defect is None and (site.inbox_db.exists() or not fresh.exists() or find_damage(fresh)):
        _remove(fresh)
        return None
    if defect is not None:
        _remove(fresh)
        _check_room(site.inbox_db, defect)
        _make_fresh(site, fresh, defect)
    return _put_in_place(site, fresh)


def _check_room(inbox_db: Path, defect: str) -> None:
    """A new file and its journal, beside what stays."""
    parts = [path for path in (inbox_db, inbox_db.with_name(inbox_db.name + "-wal")) if path.exists()]
    needed = 2 * sum(path.stat().st_size for path in parts) + _SPARE_BYTES
    missing = needed - shutil.disk_usage(inbox_db.parent).free
    if missing > 0:
        raise INBOX_NEEDS_ROOM(detail=defect, missing_mb=missing // 1_000_000 + 1, path=str(inbox_db.parent))


def _make_fresh(site: HospitalSite, fresh: Path, defect: str) -> None:
    """Write *fresh* from the newest whole copy and from `boxes/`; all of it is on the disk on return."""
    copy = next((one for one in copies.list_copies(site) if find_damage(one) is None), None)
    keyring.write_private(fresh, b"")
    if copy is not None:
        shutil.copyfile(copy, fresh)
    with closing(Inbox(fresh)) as inbox:
        inbox.create()
        inbox.connection.execute("PRAGMA journal_mode=DELETE").fetchone()  # one file, whole after each commit
        with inbox.transaction() as new:
            site.enrol_known_boxes(new)
            cases, boxes = (
                int(new.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]) for table in ("cases", "boxes")
            )
            path = str(site.root / "damaged")
            inbox_tables.record_loss(
                new,
                InboxBegunAnew(detail=defect, boxes=boxes, path=path)
                if copy is None
                else InboxRebuilt(
                    detail=defect, since=copies.format_copy_time(copy), cases=cases, boxes=boxes, path=path
                ),
            )
    keyring.sync(site.root)


def _put_in_place(site: HospitalSite, fresh: Path) -> Path:
    """Move the damaged file aside and *fresh* to its place; returns where the damaged one is now.

    The file goes before its log, so that a kill between them leaves either both in place or no `inbox.db`.
    """
    folder = site.root / "damaged"
    keyring.make_folder(folder, 0o700)
    number = sum(1 for _ in folder.glob("inbox-*.db")) + site.inbox_db.exists()
    kept = folder / f"inbox-{number}.db"
    for ending in ("", "-wal", "-shm"):  # the new file must not find the log of the damaged one
        with suppress(FileNotFoundError):
            site.inbox_db.with_name(site.inbox_db.name + ending).rename(kept.with_name(kept.name + ending))
        keyring.sync(folder)
        keyring.sync(site.root)
    fresh.rename(site.inbox_db)
    keyring.sync(site.root)
    return kept


def _remove(file: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm"):
        file.with_name(file.name + ending).unlink(missing_ok=True)
