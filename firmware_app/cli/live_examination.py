"""What `lantern watch` needs beside the reading: its source, and what is shown of each live reading.

The source is a file, a stream, a capture device, or the newest images that come to the box over DICOM.  A reading
becomes a JSON object, for stdout and for the viewer's page “Live”, from which doctors keep frames.
"""

from __future__ import annotations

import secrets
import stat
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from firmware_app.cases import casebook
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli.errors import NOTHING_KEPT, SOURCE_UNKNOWN
from firmware_app.core.child_process import ChildLost
from firmware_app.core.errors import LanternError
from firmware_app.core.live_frame import FrameRequest, LiveFolder, LiveFrame
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.packs.manifest import Manifest
from firmware_app.reading.frame_grabber import FrameRefused, FrameSource
from firmware_app.reading.live_session import LiveReading, LiveSession, ObjectArrival, SessionEvent
from firmware_app.results import case_json, terms

_SOURCE: Final = "live"
_KEPT: Final = "frame.kept"
_REMEMBERED: Final = 8


class LivePage:
    """*folder* as the viewer of *state* shows it."""

    def __init__(
        self, folder: LiveFolder, state: StateDir, clinical: ClinicalDatabase, config: Config, manifest: Manifest
    ) -> None:
        self._folder, self._clinical, self._manifest = folder, clinical, manifest
        self._door = ImageIntake(state, clinical, config.retention.high_water_free_mb, config.dicom.max_object_mb)
        self._audit = Audit(clinical.database)
        self._kept: list[dict[str, Any]] = []

    def show(self, one: LiveReading | SessionEvent, rate: float) -> None:
        """Tell the page of *one*."""
        said = format_page(one, rate) | {"kept": self._kept, "told_at": time.monotonic()}
        if isinstance(one, SessionEvent):
            self._folder.publish(LiveFrame(said))
            return
        strongest = max(
            (each for each in one.findings if each.positive), key=lambda each: each.probability, default=None
        )
        heat = b""
        if strongest is not None and not one.lesions:
            with suppress(OSError):
                heat = (self._folder.path / f"{strongest.code}.png").read_bytes()
        self._folder.publish(LiveFrame(said, bytes(one.jpeg), heat))

    def keep_requested_frames(self, watching: LiveSession) -> None:
        """Take the frames that doctors want through the door; each wish is answered on the page."""
        for request in self._folder.take_requests():
            try:
                answer: dict[str, Any] = {"case": self._keep(request, watching)}
            except FrameRefused as refused:
                answer = {"reason": {"code": refused.reason.code, "details": dict(refused.reason.details)}}
            except (LanternError, OSError, ChildLost) as error:
                given = error if isinstance(error, LanternError) else NOTHING_KEPT(detail=str(error)[:80])
                answer = {"reason": {"code": given.code, "details": dict(Reason.from_error(given).details)}}
            self._kept = [*self._kept, {"sequence": request.sequence, **answer}][-_REMEMBERED:]

    def _keep(self, request: FrameRequest, watching: LiveSession) -> str:
        path = self._folder.path / f"kept-{request.sequence}.dcm"
        # PS3.5 B.2.  A study of its own: nobody says when the next patient begins, and a study is one patient's.
        study = f"2.25.{secrets.randbits(122) | 1 << 121}"
        try:
            watching.keep(request.sequence, path, next(iter(self._manifest.route.body_parts), ""), study)
            association = self._clinical.open_association(_SOURCE)
            admitted = self._door.accept_file(path, f"{_SOURCE}:{request.sequence}", association)
            self._clinical.close_association(association)
        finally:
            path.unlink(missing_ok=True)
        self._audit.record(request.actor, _KEPT, admitted.case, sequence=request.sequence)
        return admitted.case


_WINDOW_S: Final = 2.0


class FrameRate:
    """Frames a second over the last two seconds."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque()

    def update(self, now: float) -> float:
        """Count one at *now* (monotonic seconds); 0 while there is only one."""
        self._moments.append(now)
        while now - self._moments[0] > _WINDOW_S:
            self._moments.popleft()
        span = now - self._moments[0]
        return (len(self._moments) - 1) / span if span > 0 else 0.0


def format_line(one: LiveReading | SessionEvent, rate: float, language: str) -> dict[str, Any]:
    """One line of ``lantern watch --json``, with sentences in *language*."""
    counts = asdict(one.counts)
    if isinstance(one, SessionEvent):
        return {"event": one.event, **counts, "reason": _render_reason(one.reason, language)}
    return {
        "event": "frame",
        "sequence": one.sequence,
        **counts,
        "frames_per_second": round(rate, 1),
        "delay_ms": round(one.delay_ms, 1),
        "reason": _render_reason(one.reason, language),
        "findings": [case_json.finding_to_json(finding, language) for finding in one.findings],
        "lesions": [case_json.lesion_to_json(lesion) for lesion in one.lesions],
        "hints": [_render_reason(hint, language) for hint in one.hints],
        "pack": None if one.pack is None else asdict(one.pack),
    }


def format_page(one: LiveReading | SessionEvent, rate: float) -> dict[str, Any]:
    """The same for the viewer, which says it in the language of whoever looks: codes in place of sentences."""
    counts = {**asdict(one.counts), "frames_per_second": round(rate, 1)}
    if isinstance(one, SessionEvent):
        return {"event": one.event, **counts, "reason": _reason_to_json(one.reason)}
    return {
        "event": "frame",
        "sequence": one.sequence,
        "rows": one.rows,
        "columns": one.columns,
        **counts,
        "delay_ms": round(one.delay_ms, 1),
        "reason": _reason_to_json(one.reason),
        "findings": [
            {
                "label": dict(finding.label),
                "probability": round(terms.clamp_probability(finding.probability), 4),
                "threshold": round(finding.threshold, 4),
                "positive": finding.positive,
            }
            for finding in one.findings
        ],
        "lesions": [
            {"box": list(lesion.box), "outline": [list(point) for point in lesion.outline], "score": lesion.score}
            for lesion in one.lesions
        ],
        "hints": [_reason_to_json(hint) for hint in one.hints],
        "pack": None if one.pack is None else asdict(one.pack),
    }


def _render_reason(reason: Reason | None, language: str) -> dict[str, str] | None:
    return None if reason is None else {"code": reason.code, "text": reason.text(language)}


def _reason_to_json(reason: Reason | None) -> dict[str, Any] | None:
    return None if reason is None else {"code": reason.code, "details": dict(reason.details)}


DICOM_SOURCE: Final = "dicom"
_STREAMS: Final = ("rtsp://", "rtsps://")


def parse_source(given: str, *, loop: bool = False) -> FrameSource:
    """The source by its form; ``@FILE`` has it in its first line.  Raises `SOURCE_UNKNOWN`."""
    if given.startswith("@"):
        try:
            given = Path(given[1:]).read_text("utf-8").split("\n", 1)[0].strip()
        except (OSError, ValueError):
            raise SOURCE_UNKNOWN(source=given) from None
    if given == DICOM_SOURCE:
        return FrameSource("dicom", "")
    if given.startswith(_STREAMS):
        return FrameSource("stream", given)
    if "://" in given:  # it may hold a password
        raise SOURCE_UNKNOWN(source=f"{given.partition('://')[0][:20]}://…")
    try:
        mode = Path(given).stat().st_mode
    except (OSError, ValueError):
        raise SOURCE_UNKNOWN(source=given) from None
    if stat.S_ISCHR(mode):
        return FrameSource("device", given)
    if stat.S_ISREG(mode):
        return FrameSource("file", str(Path(given).absolute()), loop)
    raise SOURCE_UNKNOWN(source=given)


POLL_S: Final = 0.025


class ArrivingImages:
    """The images of *modality* that come from now on; the reader reads each of them besides."""

    def __init__(self, clinical: ClinicalDatabase, state: StateDir, modality: str) -> None:
        self._database, self._root, self._modality = clinical.database, state.root, modality
        self._seen = casebook.find_newest_image(clinical.database)
        self._mark: object = None
        self._came = self._dropped = 0

    def poll_newest(self) -> ObjectArrival | None:
        """The newest that has come since the last call; None, after `POLL_S`, where none has."""
        now = self._database.read_change_mark()
        fresh = casebook.list_new_images(self._database, self._seen, self._modality) if now != self._mark else []
        self._mark = now
        if not fresh:
            time.sleep(POLL_S)
            return None
        self._came, self._dropped = self._came + len(fresh), self._dropped + len(fresh) - 1
        self._seen = fresh[-1].sequence
        return ObjectArrival(self._root / fresh[-1].file, time.monotonic(), self._came, self._dropped)
