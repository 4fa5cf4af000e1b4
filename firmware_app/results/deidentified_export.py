"""`lantern case export --to`: a case's images, de-identified, into a folder that a person carries away.

The folder is not encrypted; `sealed_case` writes a file that only the hospital can open.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from firmware_app.core.child_process import Child, ChildLost, start_child
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import free_bytes, sync_directory
from firmware_app.core.version import version
from firmware_app.imaging.errors import EXPORT_NO_ROOM, ExportError
from firmware_app.results.errors import EXPORT_GAVE_UP, EXPORT_NOT_DICOM
from firmware_app.results.export_session import (
    ExportOutcome,
    ExportRequest,
    ExportSession,
    limit_objects,
    start_export,
    write_durably,
)

log = logging.getLogger("lantern.export")

MANIFEST: Final = "manifest.json"
SCHEMA: Final = "lantern.export/1"
_MORE_MB: Final = 1536  # for the text detector's network on its largest picture
_SECONDS: Final = 300.0  # for one object, which may be a long clip


def export_folder(request: ExportRequest) -> ExportSession:
    """Write the images into a new folder, named by the case's reference; no folder where no image could be exported.

    Raises what `start_export` and `export_images` raise.
    """
    with start_export(request, request.folder / request.case) as session, session.open_fresh_folder() as fresh:
        for outcome in export_images(session, fresh, folders=(fresh,)):
            facts = dict(outcome.facts)
            if outcome.file is not None:
                with (fresh / outcome.file).open("rb") as file:
                    facts = {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), **facts}
            session.outcomes.append(ExportOutcome(outcome.instance, outcome.file, facts, outcome.reason))
        if session.left:
            write_durably(fresh / MANIFEST, format_manifest(request, session.outcomes, encrypted=False))
            sync_directory(fresh)
            session.publish(fresh)
    return session


def export_images(session: ExportSession, stage: Path, *, folders: Sequence[Path]) -> Iterator[ExportOutcome]:
    """Export one image after the other, each in a child process, to a numbered file in *stage*.

    The caller may remove a file before it asks for the next.  *folders* are those in which each file takes space, the
    last one permanently.  Raises `REFERENCES_LOST`, `EXPORT_NO_ROOM`, and `OSError` where a disk takes no more.
    """
    request, limit = session.request, limit_objects(session.request, folders)
    worker = _ExportWorker(request, session.exports.derive_key())
    try:
        for number, image in enumerate(session.images, start=1):
            out = stage / f"{number:05d}.dcm"
            try:
                if not image.is_dicom:
                    raise EXPORT_NOT_DICOM()
                answer = worker.write(request.state.root / image.file, out, limit())
            except ExportError as error:
                answer = Reason.from_error(error)
            if isinstance(answer, Reason):
                out.unlink(missing_ok=True)
                if answer.code == EXPORT_NO_ROOM.code:  # a full disk stops the export: half a case is of no use
                    raise EXPORT_NO_ROOM(free_mb=free_bytes(request.state.root) // 1_000_000)
                yield ExportOutcome(image.reference, None, {}, answer)
            else:
                yield ExportOutcome(image.reference, out.name, answer)
            request.on_progress(number, len(session.images))
    finally:
        worker.close()


class _ExportWorker:
    """The export child process; it is replaced when it dies."""

    def __init__(self, request: ExportRequest, key: bytes) -> None:
        self._arguments = (str(request.config.reader.memory_mb + _MORE_MB), str(_SECONDS))
        self._common = {"key": key.hex(), "looked": request.looked}
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
        if answer.get("spent"):  # its memory is used up
            self.close()
            if answer.get("again"):
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
            self._child = None

    def _spawn(self) -> Child:
        return Child("firmware_app.reading.children.export_child", self._arguments, silent=True)


def format_manifest(request: ExportRequest, outcomes: Iterable[ExportOutcome], *, encrypted: bool) -> bytes:
    """The exported and the refused images; without names, ids, dates or UIDs of the clinic's modalities."""
    outcomes = tuple(outcomes)
    content = {
        "schema": SCHEMA,
        "case": request.case,
        "lantern": version(),
        "profile": "PS3.15 Annex E Basic Application Level Confidentiality Profile",
        "looked_at_by_a_person": request.looked,
        "files": [{"file": outcome.file, **outcome.facts} for outcome in outcomes if outcome.file is not None],
        "not_exported": [{"code": outcome.reason.code} for outcome in outcomes if outcome.reason is not None],
        "note": "Not for diagnostic use without a doctor." + ("" if encrypted else " Not encrypted."),
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode()
