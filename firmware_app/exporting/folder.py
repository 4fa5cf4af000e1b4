"""`lantern case export --to`: a case's images, de-identified, into a folder that a person carries away.

Nothing leaves before the audit says who took it.  Everything is written into a folder of its own, made durable, and
only then given its name: an export that was cut short leaves nothing that looks like one.  Who finds that folder can
open it; `sealed_case` writes what only the hospital opens.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from firmware_app.config import Config
from firmware_app.errors import (
    ExportError,
    ExportFolderUnusable,
    ExportGaveUp,
    ExportNoRoom,
    ExportNotDicom,
    ExportThere,
)
from firmware_app.exporting.departure import ExportOutcome, leaving
from firmware_app.reading.children.child import Child, ChildLost
from firmware_app.reading.children.starting import started
from firmware_app.records import Reason
from firmware_app.store.clinical.exports import ExportImage, Exports
from firmware_app.store.disk.layout import StateDir, free_bytes, sync_directory
from firmware_app.store.disk.staging import Room
from firmware_app.version import version

log = logging.getLogger("lantern.export")

Progress = Callable[[int, int], None]
MANIFEST: Final = "manifest.json"
SCHEMA: Final = "lantern.export/1"
_MORE_MB: Final = 1536  # the text detector's network over the largest picture it is given
_SECONDS: Final = 300.0  # of one object: a clip is written whole
_CHUNK: Final = 1 << 20


def export_case(
    config: Config,
    exports: Exports,
    case: str,
    folder: Path,
    *,
    person: str,
    looked: bool = False,
    on_progress: Progress | None = None,
) -> tuple[Path | None, tuple[ExportOutcome, ...]]:
    """Write *case* as a new folder of its reference's name in *folder*, and say what became of each image.

    No folder is left (None) when no image could be exported.  Raises what `leaving` and `each` raise.
    """
    with (
        leaving(config, exports, case, folder, case, person=person, looked=looked) as export,
        _fresh(folder) as fresh,
    ):
        into = (folder,)
        export.outcomes = tuple(each(config, exports, export.images, fresh.joinpath, looked, on_progress, into=into))
        if export.left:
            _write_manifest(fresh, case, export.outcomes, looked=looked)
            export.is_named = True
            _named(fresh, export.final)
    return export.written, export.outcomes


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """A new folder in *folder*, taken away with all that is still in it at the end."""
    path = folder / f".lantern-export-{secrets.token_hex(4)}"
    try:
        try:  # before it is there, so that no signal comes in between
            path.mkdir(mode=0o700)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            sync_directory(folder)
    except OSError as error:
        raise ExportFolderUnusable(path=str(folder), detail=error.strerror or str(error)) from None


def each(
    config: Config,
    exports: Exports,
    images: tuple[ExportImage, ...],
    where: Callable[[str], Path],
    looked: bool,
    tell: Progress | None = None,
    *,
    into: Sequence[Path],
) -> Iterator[ExportOutcome]:
    """One image after the other, each opened by a child that may die of it, and written to *where* says for its name.

    Before the next one is asked for, its file may be taken away.  *into* are the folders in which each takes room,
    the last for good.
    Raises `ReferencesLost`, `ExportNoRoom`, and `OSError` where the disk that *where* names takes no more.
    """
    worker = _Worker(config.reader.memory_mb + _MORE_MB, exports.key(), looked=looked)
    room = Room.of(StateDir(config.state.dir), config.retention, into)
    try:
        for number, image in enumerate(images, start=1):
            name = f"{number:05d}.dcm"
            try:
                if not image.is_dicom:
                    raise ExportNotDicom
                answer = worker.write(config.state.dir / image.file, where(name), room.bytes_now())
                facts = answer if isinstance(answer, dict) else {}
                reason = None if isinstance(answer, dict) else answer
            except ExportError as error:
                facts, reason = {}, Reason.of(error)
            if reason is not None:
                where(name).unlink(missing_ok=True)
                if reason.code == ExportNoRoom.code:  # half a case because of a full disk is not what anybody wants
                    raise ExportNoRoom(free_mb=free_bytes(config.state.dir) // 1_000_000)
            yield ExportOutcome(image.reference, None if reason else name, facts, reason)
            if tell is not None:
                tell(number, len(images))
    finally:
        worker.close()


class _Worker:
    """The export child, replaced when lost."""

    def __init__(self, memory_mb: int, key: bytes, *, looked: bool) -> None:
        self._arguments = (str(memory_mb), str(_SECONDS))
        self._common = {"key": key.hex(), "looked": looked}
        self._child: Child | None = None

    def write(self, file: Path, out: Path, room_bytes: int | None = None) -> dict[str, Any] | Reason:
        """What the child wrote, or why it did not; raises `ExportGaveUp`, `ChildWillNotStart`, and `OSError` where the
        disk takes no more."""
        if self._child is None:
            self._child = started(self._spawn(), self._spawn)
        try:
            self._child.send({"file": str(file), "out": str(out), "room_bytes": room_bytes, **self._common})
            told = self._child.receive(_SECONDS).header
        except ChildLost as lost:
            self._child = None
            log.warning("the export child was lost (%s)", lost.detail)
            raise ExportGaveUp(detail=lost.detail) from None
        if told.get("spent") and self._child is not None:
            self._child.kill()
            self._child = None
            if not told.get("again"):
                return Reason(str(told["refusal"]["code"]), dict(told["refusal"]["details"]))
            out.unlink(missing_ok=True)
            return self.write(file, out, room_bytes)
        if isinstance(told.get("unwritten"), int):
            raise OSError(told["unwritten"], os.strerror(told["unwritten"]))
        if isinstance(told.get("written"), dict):
            return dict(told["written"])
        return Reason(str(told["refusal"]["code"]), dict(told["refusal"]["details"]))

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()

    def _spawn(self) -> Child:
        return Child("firmware_app.reading.children.export_child", self._arguments, silent=True)


def manifest(case: str, outcomes: Iterable[ExportOutcome], *, looked: bool, encrypted: bool) -> dict[str, Any]:
    """What left and what stayed behind; no name, no id, no date, no UID that the clinic's machines know."""
    everything = tuple(outcomes)
    return {
        "schema": SCHEMA,
        "case": case,
        "lantern": version(),
        "profile": "PS3.15 Annex E Basic Application Level Confidentiality Profile",
        "looked_at_by_a_person": looked,
        "files": [{"file": one.file, **one.facts} for one in everything if one.file is not None],
        "not_exported": [{"code": one.reason.code} for one in everything if one.reason is not None],
        "note": "Not for diagnostic use without a doctor." + ("" if encrypted else " Not encrypted."),
    }


def _write_manifest(fresh: Path, case: str, outcomes: Iterable[ExportOutcome], *, looked: bool) -> None:
    known = (
        replace(one, facts={"sha256": _sha256(fresh / one.file), **one.facts}) if one.file is not None else one
        for one in outcomes
    )
    told = manifest(case, known, looked=looked, encrypted=False)
    with (fresh / MANIFEST).open("x", encoding="utf-8") as file:
        json.dump(told, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(fresh)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _named(fresh: Path, final: Path) -> None:
    """Give the finished folder its name; another that came meanwhile stays, unless it is empty."""
    try:
        fresh.rename(final)
    except OSError:
        if os.path.lexists(final):
            raise ExportThere(path=str(final)) from None
        raise
    sync_directory(final.parent)
