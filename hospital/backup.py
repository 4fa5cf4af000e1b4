"""The hospital's backup: one file with keys, certificates, boxes and the inbox, made while `serve` runs.

The sealing key is not in it: old sealing keys are destroyed by design and must not survive in a copy.  A restored
hospital makes a new one. Boxes accept only a higher number, so the number counts the ten minutes since 2026.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from firmware_app.uplink.messages.envelope import HospitalBundle
from firmware_app.uplink.messages.summary import decode
from hospital import keyring
from hospital.errors import CLOCK_BEHIND_BACKUP, COPY_NOT_MADE, COPY_UNUSABLE, RestoreOccupied
from hospital.hospital_site import HospitalSite
from hospital.inbox import copies

_LIST: Final = "backup.json"
_INBOX: Final = "inbox.db"
_BUNDLE: Final = "hospital.json"
_FILES: Final = (
    _BUNDLE,
    "keys/sign.pem",
    "keys/keys.json",
    "keys/codes.key",
    "tls/*.*",
    "tls/issued/*/*",
    "boxes/*",
    "broker/mosquitto.conf",
)
_NEEDED: Final = {_BUNDLE, "keys/sign.pem", "keys/keys.json", "tls/ca.key", "tls/ca.crt", _INBOX}
_FIRST_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SERIAL_EVERY_S: Final = 600
"""A box takes only a higher number, and none above 10^6, which this reaches in 2045."""


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The day of the backup, what it holds, and the number of the fresh sealing key."""

    made: str
    boxes: int
    cases: int
    serial: int


def write_backup(site: HospitalSite, target: Path) -> Path:
    """Write the backup to *target*, or into it when it is a folder; returns the file, which only its owner may read.

    Raises `COPY_NOT_MADE` or `KEYS_MISSING`.
    """
    site.load_bundle()
    now = datetime.now(UTC)
    file = target / f"lantern-hospital-{now:%Y%m%d-%H%M%S}.tar" if target.is_dir() else target
    part, snapshot = (file.with_name(f".{file.name}.{ending}") for ending in ("part", "inbox"))
    try:
        keyring.write_private(snapshot, b"")
        copies.write_snapshot(site.inbox_db, snapshot)
        keyring.write_private(part, b"")
        with part.open("r+b") as handle:
            _write(site, snapshot, handle, now)
            handle.flush()
            os.fsync(handle.fileno())
        part.rename(file)
        keyring.sync(file.parent)
    except (OSError, sqlite3.Error) as error:
        raise COPY_NOT_MADE(path=str(file), detail=str(error)[:200]) from None
    finally:
        part.unlink(missing_ok=True)
        snapshot.unlink(missing_ok=True)
    return file


def _write(site: HospitalSite, snapshot: Path, handle: IO[bytes], now: datetime) -> None:
    digests = {}
    with tarfile.open(fileobj=handle, mode="w") as archive:
        files = [path for pattern in _FILES for path in sorted(site.root.glob(pattern)) if path.is_file()]
        for path in [*files, snapshot]:
            name = _INBOX if path is snapshot else path.relative_to(site.root).as_posix()
            with path.open("rb") as content:
                digests[name] = hashlib.file_digest(content, "sha256").hexdigest()
                content.seek(0)
                archive.addfile(_make_member(name, path.stat().st_size), content)
        listing = json.dumps({"made": now.isoformat(timespec="seconds"), "sha256": digests}).encode()
        archive.addfile(_make_member(_LIST, len(listing)), io.BytesIO(listing))


def _make_member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def restore_backup(site: HospitalSite, file: Path) -> RestoreResult:
    """Put the backup *file* into the folder of *site*, which holds no hospital, and make it usable.

    `hospital.json` is written last, so a restore that was killed can be repeated. Raises `COPY_UNUSABLE`,
    `RestoreOccupied`, `CLOCK_BEHIND_BACKUP` or `HOSPITAL_SERVING`.
    """
    if site.bundle_file.exists():
        raise RestoreOccupied(path=str(site.root))
    keyring.make_folder(site.root, 0o700)
    try:
        with site.hold_serving_lock(), tarfile.open(file, "r:") as archive:
            made = _verify_archive(archive)
            if datetime.now(UTC) < made:
                raise CLOCK_BEHIND_BACKUP(made=f"{made:%Y-%m-%d %H:%M}")
            for ending in ("-wal", "-shm"):  # of a restore that was killed: the log of another file
                site.inbox_db.with_name(site.inbox_db.name + ending).unlink(missing_ok=True)
            for member in archive.getmembers():
                if member.name not in (_LIST, _BUNDLE):
                    _unpack(archive, member, site.root)
            bundle = archive.extractfile(_BUNDLE)
            assert bundle is not None  # `_verify_archive` read it
            return _make_usable(site, decode(bundle.read().strip(), HospitalBundle), made)
    except (OSError, tarfile.TarError) as error:
        raise COPY_UNUSABLE(path=str(file), detail=str(error)[:200]) from None
    except _Unusable as error:
        raise COPY_UNUSABLE(path=str(file), detail=str(error)) from None


def restore_in_place(site: HospitalSite) -> RestoreResult:
    """Make a folder usable that was itself restored from a plain copy.  Raises `KEYS_MISSING` or `HOSPITAL_SERVING`."""
    with site.hold_serving_lock():
        return _make_usable(site, site.load_bundle(), None)


def _make_usable(site: HospitalSite, before: HospitalBundle, made: datetime | None) -> RestoreResult:
    """Give the folder a sealing key that boxes take, and the broker's files; last its public bundle."""
    keyring.replace_seal(site.keys, int((datetime.now(UTC) - _FIRST_DAY).total_seconds()) // _SERIAL_EVERY_S)
    site.renew_list()
    site.write_broker(before.port)
    with closing(site.open_inbox()) as inbox:
        boxes = len(inbox.load_verify_keys())
        cases: int = inbox.connection.execute("SELECT COUNT(*) FROM cases").fetchone()[0]
    fresh = site.publish(before.host, before.port)
    return RestoreResult(f"{made:%Y-%m-%d %H:%M} UTC" if made else "", boxes, cases, fresh.serial)


class _Unusable(Exception):
    """Says what is wrong with an archive."""


def _verify_archive(archive: tarfile.TarFile) -> datetime:
    """When the archive was made, and that it is whole and holds nothing but what `write_backup` writes."""
    try:
        listed = archive.extractfile(_LIST)
        listing = json.loads(listed.read()) if listed else {}
        made, digests = datetime.fromisoformat(listing["made"]), dict(listing["sha256"])
    except (KeyError, TypeError, ValueError):
        raise _Unusable("its list is missing") from None
    names = [member.name for member in archive.getmembers()]
    if sorted(names) != sorted({*digests, _LIST}) or not digests.keys() >= _NEEDED:
        raise _Unusable("files are missing")
    for member in archive.getmembers():
        path = PurePosixPath(member.name)
        is_ours = member.name in (_LIST, _INBOX) or any(
            PurePosixPath("/", path).match(f"/{pattern}") for pattern in _FILES
        )
        content = archive.extractfile(member) if member.isreg() else None
        if content is None or path.is_absolute() or ".." in path.parts or not is_ours:
            raise _Unusable("it holds files that no backup has")
        digest = hashlib.file_digest(cast("io.BytesIO", content), "sha256").hexdigest()
        if member.name != _LIST and digest != digests[member.name]:
            raise _Unusable(f"{member.name} was changed")
    return made


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    folder = root
    for part in PurePosixPath(member.name).parts[:-1]:
        folder /= part
        keyring.make_folder(folder, 0o700)
    place = root / member.name
    content = archive.extractfile(member)
    assert content is not None  # it is a regular file
    keyring.write_private(place, b"")
    with place.open("r+b") as handle:
        shutil.copyfileobj(content, handle)
        handle.flush()
        os.fsync(handle.fileno())
