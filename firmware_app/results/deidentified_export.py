"""`lantern case export --to`: a case's images, de-identified, into a folder that a person carries away.

Nothing is exported before the audit records who did it.  Everything is written into a temporary folder, made durable,
and only then renamed, so an interrupted export leaves nothing that looks complete.  The folder is not encrypted;
`sealed_case` writes a file that only the hospital can open.
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

from firmware_app.cases.export_staging import DiskAllowance
from firmware_app.cases.exports import ExportImage, Exports
from firmware_app.core.child_process import Child, ChildLost, start_child
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes, sync_directory
from firmware_app.core.version import version
from firmware_app.imaging.errors import EXPORT_NO_ROOM, ExportError
from firmware_app.results.errors import EXPORT_GAVE_UP, EXPORT_NOT_DICOM, ExportFolderUnusable, ExportThere
from firmware_app.results.export_session import ExportOutcome, start_export

log = logging.getLogger("lantern.export")

Progress = Callable[[int, int], None]
MANIFEST: Final = "manifest.json"
SCHEMA: Final = "lantern.export/1"
_MORE_MB: Final = 1536  # for the text detector's network on its largest picture
_SECONDS: Final = 300.0  # for one object, which may be a long clip
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
    """Write *case* into a new folder, named by its reference, in *folder*; returns its path and the result per image.

    The path is None, and no folder is left, when no image could be exported.  Raises what `start_export` and
    `export_images` raise.
    """
    with (
        start_export(config, exports, case, folder, case, person=person, looked=looked) as export,
        open_fresh_folder(folder) as fresh,
    ):
        into = (folder,)
        export.outcomes = tuple(
            export_images(
                config, exports, export.images, where=fresh.joinpath, looked=looked, tell=on_progress, into=into
            )
        )
        if export.left:
            _write_manifest(fresh, case, export.outcomes, looked=looked)
            export.is_named = True
            rename_finished(fresh, export.final)
    return export.written, export.outcomes


@contextmanager
def open_fresh_folder(folder: Path) -> Iterator[Path]:
    """A new folder in *folder*, taken away with all that is still in it at the end."""
    path = folder / f".lantern-export-{secrets.token_hex(4)}"
    try:
        try:  # entered before the folder exists, so that no signal comes in between
            path.mkdir(mode=0o700)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            sync_directory(folder)
    except OSError as error:
        raise ExportFolderUnusable(path=str(folder), detail=error.strerror or str(error)) from None


def export_images(
    config: Config,
    exports: Exports,
    images: tuple[ExportImage, ...],
    where: Callable[[str], Path],
    looked: bool,
    tell: Progress | None = None,
    *,
    into: Sequence[Path],
) -> Iterator[ExportOutcome]:
    """Export one image after the other, each in a child process, to the path that *where* gives for its file name.

    The caller may remove a file before it asks for the next.  *into* are the folders in which each file takes space,
    the last one permanently.
    Raises `REFERENCES_LOST`, `EXPORT_NO_ROOM`, and `OSError` where the disk of *where* takes no more.
    """
    worker = _ExportWorker(config.reader.memory_mb + _MORE_MB, exports.key(), looked=looked)
    room = DiskAllowance.of(StateDir(config.state.dir), config.retention, into)
    try:
        for number, image in enumerate(images, start=1):
            name = f"{number:05d}.dcm"
            try:
                if not image.is_dicom:
                    raise EXPORT_NOT_DICOM()
                answer = worker.write(config.state.dir / image.file, where(name), room.bytes_now())
                facts = answer if isinstance(answer, dict) else {}
                reason = None if isinstance(answer, dict) else answer
            except ExportError as error:
                facts, reason = {}, Reason.of(error)
            if reason is not None:
                where(name).unlink(missing_ok=True)
                if reason.code == EXPORT_NO_ROOM.code:  # a full disk stops the export: half a case is of no use
                    raise EXPORT_NO_ROOM(free_mb=free_bytes(config.state.dir) // 1_000_000)
            yield ExportOutcome(image.reference, None if reason else name, facts, reason)
            if tell is not None:
                tell(number, len(images))
    finally:
        worker.close()


class _ExportWorker:
    """The export child process; it is replaced when it dies."""

    def __init__(self, memory_mb: int, key: bytes, *, looked: bool) -> None:
        self._arguments = (str(memory_mb), str(_SECONDS))
        self._common = {"key": key.hex(), "looked": looked}
        self._child: Child | None = None

    def write(self, file: Path, out: Path, room_bytes: int | None = None) -> dict[str, Any] | Reason:
        """The facts of the written file, or the reason for a refusal.

        Raises `EXPORT_GAVE_UP`, `ChildWillNotStart`, and `OSError` where the disk takes no more.
        """
        if self._child is None:
            self._child = start_child(self._spawn(), self._spawn)
        try:
            self._child.send({"file": str(file), "out": str(out), "room_bytes": room_bytes, **self._common})
            answer = self._child.receive(_SECONDS).header
        except ChildLost as lost:
            self._child = None
            log.warning("the export child was lost (%s)", lost.detail)
            raise EXPORT_GAVE_UP(detail=lost.detail) from None
        if answer.get("spent") and self._child is not None:
            self._child.kill()
            self._child = None
            if not answer.get("again"):
                return Reason(str(answer["refusal"]["code"]), dict(answer["refusal"]["details"]))
            out.unlink(missing_ok=True)
            return self.write(file, out, room_bytes)
        if isinstance(answer.get("unwritten"), int):
            raise OSError(answer["unwritten"], os.strerror(answer["unwritten"]))
        if isinstance(answer.get("written"), dict):
            return dict(answer["written"])
        return Reason(str(answer["refusal"]["code"]), dict(answer["refusal"]["details"]))

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()

    def _spawn(self) -> Child:
        return Child("firmware_app.reading.children.export_child", self._arguments, silent=True)


def build_manifest(case: str, outcomes: Iterable[ExportOutcome], *, looked: bool, encrypted: bool) -> dict[str, Any]:
    """The exported and the refused images; without names, ids, dates or UIDs of the clinic's machines."""
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
    content = build_manifest(case, known, looked=looked, encrypted=False)
    with (fresh / MANIFEST).open("x", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(fresh)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def rename_finished(fresh: Path, final: Path) -> None:
    """Rename the finished folder to its final name; a folder already there is kept, unless it is empty."""
    try:
        fresh.rename(final)
    except OSError:
        if os.path.lexists(final):
            raise ExportThere(path=str(final)) from None
        raise
    sync_directory(final.parent)
