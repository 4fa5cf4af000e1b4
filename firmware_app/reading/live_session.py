"""A live examination: from the newest frame to its reading, one after the other, until the source ends or is stopped.

The end of a clip ends the session. A device or stream that falls silent or breaks off is opened again, and the numbers
of its frames go on (docs/decisions/bedside.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from firmware_app.cases.errors import InferenceGaveUp
from firmware_app.core.child_process import ChildLost
from firmware_app.core.records import Finding, Lesion, PackIdentity, Reason
from firmware_app.core.settings import Config
from firmware_app.imaging import image_limits
from firmware_app.imaging.errors import SOURCE_ENDED, SOURCE_LOST
from firmware_app.packs.pack_folder import Pack
from firmware_app.reading import hints
from firmware_app.reading.decoder import DecodedImage
from firmware_app.reading.errors import EXPLAIN_SHORTCUT, FRAME_GONE, NO_PACK_INSTALLED, SOURCE_STALLED
from firmware_app.reading.faults import FaultLog
from firmware_app.reading.frame_grabber import FrameGrabber, FrameRefused, FrameSource, GrabbedFrame
from firmware_app.reading.inference import Inference, InferenceResult, NotJudged, PackUnusable

INSTANCE: Final = "live"
STALLED_S: Final = 2.0
LOST_S: Final = 10.0
_WAIT_S: Final = 0.25
_AGAIN: Final[tuple[str, ...]] = ("device", "stream")
_PAUSES_S: Final = (1.0, 2.0, 4.0, 10.0)
Findings = tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """How many frames have come, how many of them were read, and how many were dropped because newer ones came."""

    came: int = 0
    read: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class LiveReading:
    """What is said of one frame; with `reason` there is no number.  `delay_ms`: from its coming to this reading."""

    sequence: int
    rows: int
    columns: int
    jpeg: memoryview
    delay_ms: float
    counts: FrameCounts
    reason: Reason | None = None
    findings: Findings = ()
    lesions: tuple[Lesion, ...] = ()
    hints: tuple[Reason, ...] = ()
    pack: PackIdentity | None = None
    grab_ms: float = 0.0
    infer_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """Something beside frames: the source is open (`reason` None), stalled, lost or at its end."""

    event: str
    counts: FrameCounts
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class ObjectArrival:
    """A DICOM object that came *at* (monotonic seconds), and how many had come and were passed over by then."""

    file: Path
    at: float
    came: int
    dropped: int


class LiveSession:
    """Reads *source* with *pack*.  To be used in one thread, which must live as long (see `child.Child`).

    *folder* takes the heat maps, each by its finding's code.  *adopted* gives findings the clinic's own thresholds.
    """

    def __init__(
        self,
        source: FrameSource,
        pack: Pack,
        config: Config,
        folder: Path,
        adopted: Callable[[Findings], Findings] = lambda findings: findings,
    ) -> None:
        self._source, self._pack, self._folder, self._adopted = source, pack, folder, adopted
        self._grabber = FrameGrabber(config, pack.manifest)
        self._inference = Inference([pack], _spare_one_core(config), FaultLog())
        self._counts = FrameCounts()
        self._base = FrameCounts()  # of the times that the source was open before
        self._after = -1

    @property
    def pid(self) -> int:
        """Of the grab child."""
        return self._grabber.pid

    def stream_readings(self) -> Iterator[LiveReading | SessionEvent]:
        """Every frame that is read, and what happens to the source; ends with a clip.

        Raises `FrameRefused` for a source that cannot be opened the first time, and for a clip that cannot be read.
        """
        self._inference.warm()
        tries = 0
        opened = False
        while True:
            try:
                self._grabber.open(self._source)
                yield SessionEvent("opened", self._counts)
                opened, tries = True, 0
                yield from self._stream_until_lost()
            except FrameRefused as refused:
                if refused.reason.code == SOURCE_ENDED.code:
                    yield SessionEvent("ended", self._counts, refused.reason)
                    return
                if not opened or self._source.kind not in _AGAIN:
                    raise
                yield SessionEvent("lost", self._counts, refused.reason)
            except ChildLost as lost:
                reason = Reason.from_error(SOURCE_LOST(detail=lost.detail))
                if not opened or self._source.kind not in _AGAIN:
                    raise FrameRefused(reason) from None
                yield SessionEvent("lost", self._counts, reason)
            self._grabber.close()
            self._base, self._after = self._counts, -1
            time.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1

    def read(self, frame: GrabbedFrame) -> LiveReading:
        """The reading of one frame."""
        counts = self._update_counts(frame)
        made = LiveReading(
            sequence=self._base.came + frame.sequence,
            rows=frame.rows,
            columns=frame.columns,
            jpeg=frame.jpeg,
            delay_ms=0.0,
            counts=counts,
            pack=self._identity(),
        )
        if isinstance(frame.decoded, Reason):
            made = replace(made, reason=frame.decoded)
        else:
            made = self._infer(replace(made, grab_ms=frame.decoded.milliseconds), frame.decoded)
        return replace(made, delay_ms=1e3 * (time.monotonic() - frame.at))

    def stream_arrivals(
        self, newest: Callable[[], ObjectArrival | None]
    ) -> Iterator[LiveReading | SessionEvent | None]:
        """The same for the images that come over DICOM one after another; *newest* gives the newest unread one.

        None stands for a moment in which none has come.
        """
        self._inference.warm()
        self._grabber.open(self._source)
        yield SessionEvent("opened", self._counts)
        while True:
            arrival = newest()
            if arrival is None:
                yield None
                continue
            try:
                frame = self._grabber.grab_object(arrival.file, arrival.came - 1, arrival.at)
            except (FrameRefused, ChildLost) as error:
                self._counts = replace(self._counts, came=arrival.came, dropped=arrival.dropped)
                lost = (
                    Reason.from_error(SOURCE_LOST(detail=error.detail))
                    if isinstance(error, ChildLost)
                    else error.reason
                )
                yield SessionEvent("unreadable", self._counts, lost)
                self._grabber.open(self._source)
                continue
            if frame is not None:
                yield self.read(replace(frame, came=arrival.came, dropped=arrival.dropped))

    def keep(self, sequence: int, path: Path, body_part: str, study: str) -> None:
        """Write the frame of this number as a DICOM object at *path*; raises `FrameRefused` and `ChildLost`."""
        number = sequence - self._base.came
        if number < 0:
            raise FrameRefused(Reason.from_error(FRAME_GONE()))
        self._grabber.keep(number, path, body_part, study)

    def close(self) -> None:
        """End the children."""
        self._grabber.close()
        self._inference.close()

    def _stream_until_lost(self) -> Iterator[LiveReading | SessionEvent]:
        last, stalled = time.monotonic(), False
        while True:
            frame = self._grabber.next(self._after, _WAIT_S)
            now = time.monotonic()
            if frame is not None:
                last, stalled, self._after = now, False, frame.sequence
                yield self.read(frame)
            elif now - last > LOST_S and self._source.kind in _AGAIN:
                raise FrameRefused(Reason.from_error(SOURCE_LOST(detail=f"nothing came for {LOST_S:.0f} s")))
            elif now - last > STALLED_S and not stalled:
                stalled = True
                yield SessionEvent("stalled", self._counts, Reason.from_error(SOURCE_STALLED(seconds=int(STALLED_S))))

    def _update_counts(self, frame: GrabbedFrame) -> FrameCounts:
        base = self._base
        self._counts = FrameCounts(base.came + frame.came, self._counts.read + 1, base.dropped + frame.dropped)
        return self._counts

    def _identity(self) -> PackIdentity | None:
        return self._inference.identities.get(self._pack.name)

    def _infer(self, made: LiveReading, decoded: DecodedImage) -> LiveReading:
        name, manifest = self._pack.name, self._pack.manifest
        begun = time.perf_counter()
        try:
            said = self._ask(decoded)
        except NotJudged as refusal:
            return replace(made, reason=Reason.from_error(refusal.error))
        except ChildLost as lost:
            return replace(made, reason=Reason.from_error(InferenceGaveUp(detail=lost.detail)))
        except PackUnusable:
            return replace(made, reason=Reason.from_error(NO_PACK_INSTALLED()))
        findings = self._adopted(said.findings)
        share, _ = hints.find_outside_share(findings, said.beside)
        if share >= image_limits.OUTSIDE_REFUSAL_SHARE:
            return replace(made, reason=Reason.from_error(EXPLAIN_SHORTCUT(pack=name, percent=round(100 * share))))
        told = [
            *hints.list_outside_hints(findings, said.beside),
            *hints.list_frame_hints((0,), 1, decoded.coloured, flow=decoded.flow),
            *hints.list_pixel_hints(decoded.hints),
            *hints.list_resolution_hints(*decoded.visible_size, manifest.input),
            *hints.list_quality_hints(decoded.quality, manifest.quality, None),
        ]
        return replace(
            made,
            findings=findings,
            lesions=said.lesions,
            hints=tuple(told),
            pack=said.identity,
            infer_ms=1e3 * (time.perf_counter() - begun),
        )

    def _ask(self, decoded: DecodedImage) -> InferenceResult:
        try:
            return self._inference.infer(self._pack.name, INSTANCE, decoded, self._folder)
        except ChildLost:  # a fresh child is tried once; the grab child's next frame does not wait for a third
            return self._inference.infer(self._pack.name, INSTANCE, decoded, self._folder)


def _spare_one_core(config: Config) -> Config:
    """*config* with threads of inference for all cores but one, where it names none.

    A runtime's threads spin while they wait; with one on every core the frames are decoded late.
    """
    if config.reader.threads:
        return config
    threads = max(1, len(os.sched_getaffinity(0)) - 1)
    return config.model_copy(update={"reader": config.reader.model_copy(update={"threads": threads})})
