"""From the newest frame to its reading, one after the other, until the source ends or somebody stops it.

A clip that ends, ends it.  A device or stream that falls silent or breaks off is opened again, and the numbers of its
frames go on (docs/decisions/bedside.md).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from firmware_app.core.children.child import ChildLost
from firmware_app.core.errors import (
    ExplainShortcut,
    FrameGone,
    ImageUnfamiliar,
    InferenceFailed,
    InferenceGaveUp,
    NoPackInstalled,
    PackUnsure,
    SourceEnded,
    SourceLost,
    SourceStalled,
)
from firmware_app.core.records import Finding, Lesion, PackIdentity, Reason
from firmware_app.core.settings import Config
from firmware_app.imaging.quality import limits
from firmware_app.packs.shelf import Pack
from firmware_app.reading import hints, quality_hints
from firmware_app.reading.bedside.grabber import Frame, Grabber, Refused, Sourced
from firmware_app.reading.children.decoder import Decoded
from firmware_app.reading.children.inference import (
    ImageAtFault,
    Inference,
    Inferred,
    PackUnusable,
    Shown,
    Unfamiliar,
    Unsure,
)
from firmware_app.reading.faults import Faults

INSTANCE: Final = "live"
STALLED_S: Final = 2.0
LOST_S: Final = 10.0
_WAIT_S: Final = 0.25
_AGAIN: Final[tuple[str, ...]] = ("device", "stream")
_PAUSES_S: Final = (1.0, 2.0, 4.0, 10.0)
Findings = tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Counts:
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
    counts: Counts
    reason: Reason | None = None
    findings: Findings = ()
    lesions: tuple[Lesion, ...] = ()
    hints: tuple[Reason, ...] = ()
    pack: PackIdentity | None = None
    grab_ms: float = 0.0
    infer_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """Something beside frames: the source is open (`reason` None), stalled, lost or at its end."""

    event: str
    counts: Counts
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A DICOM object that came *at* (monotonic seconds), and how many had come and were passed over by then."""

    file: Path
    at: float
    came: int
    dropped: int


class Watching:
    """Reads *source* with *pack*.  To be used in one thread, which must live as long (see `child.Child`).

    *folder* takes the heat maps, each by its finding's code.  *adopted* gives findings the clinic's own thresholds.
    """

    def __init__(
        self,
        source: Sourced,
        pack: Pack,
        config: Config,
        folder: Path,
        adopted: Callable[[Findings], Findings] = lambda findings: findings,
    ) -> None:
        self._source, self._pack, self._folder, self._adopted = source, pack, folder, adopted
        self._grabber = Grabber(config, pack.manifest)
        self._inference = Inference([pack], _leaving_a_core(config), Faults())
        self._counts = Counts()
        self._base = Counts()  # of the times that the source was open before
        self._after = -1

    @property
    def pid(self) -> int:
        """Of the grab child."""
        return self._grabber.pid

    def readings(self) -> Iterator[LiveReading | Told]:
        """Every frame that is read, and what happens to the source; ends with a clip.

        Raises `Refused` for a source that cannot be opened the first time, and for a clip that cannot be read.
        """
        self._inference.warm()
        tries = 0
        opened = False
        while True:
            try:
                self._grabber.open(self._source)
                yield Told("opened", self._counts)
                opened, tries = True, 0
                yield from self._until_lost()
            except Refused as refused:
                if refused.reason.code == SourceEnded.code:
                    yield Told("ended", self._counts, refused.reason)
                    return
                if not opened or self._source.kind not in _AGAIN:
                    raise
                yield Told("lost", self._counts, refused.reason)
            except ChildLost as lost:
                reason = Reason.of(SourceLost(detail=lost.detail))
                if not opened or self._source.kind not in _AGAIN:
                    raise Refused(reason) from None
                yield Told("lost", self._counts, reason)
            self._grabber.close()
            self._base, self._after = self._counts, -1
            time.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1

    def read(self, frame: Frame) -> LiveReading:
        """The reading of one frame."""
        counts = self._counted(frame)
        made = LiveReading(
            self._base.came + frame.sequence, frame.rows, frame.columns, frame.jpeg, 0.0, counts, pack=self._identity()
        )
        if isinstance(frame.decoded, Reason):
            made = replace(made, reason=frame.decoded)
        else:
            made = self._inferred(replace(made, grab_ms=frame.decoded.milliseconds), frame.decoded)
        return replace(made, delay_ms=1e3 * (time.monotonic() - frame.at))

    def arrivals(self, newest: Callable[[], Arrival | None]) -> Iterator[LiveReading | Told | None]:
        """The same for the images that come over DICOM one after another; *newest* gives the newest unread one.

        None stands for a moment in which none has come.
        """
        self._inference.warm()
        self._grabber.open(self._source)
        yield Told("opened", self._counts)
        while True:
            arrival = newest()
            if arrival is None:
                yield None
                continue
            try:
                frame = self._grabber.of_object(arrival.file, arrival.came - 1, arrival.at)
            except (Refused, ChildLost) as error:
                self._counts = replace(self._counts, came=arrival.came, dropped=arrival.dropped)
                lost = Reason.of(SourceLost(detail=error.detail)) if isinstance(error, ChildLost) else error.reason
                yield Told("unreadable", self._counts, lost)
                self._grabber.open(self._source)
                continue
            if frame is not None:
                yield self.read(replace(frame, came=arrival.came, dropped=arrival.dropped))

    def keep(self, sequence: int, path: Path, body_part: str, study: str) -> None:
        """Write the frame of this number as a DICOM object at *path*; raises `Refused` and `ChildLost`."""
        number = sequence - self._base.came
        if number < 0:
            raise Refused(Reason.of(FrameGone()))
        self._grabber.keep(number, path, body_part, study)

    def close(self) -> None:
        """End the children."""
        self._grabber.close()
        self._inference.close()

    def _until_lost(self) -> Iterator[LiveReading | Told]:
        last, stalled = time.monotonic(), False
        while True:
            frame = self._grabber.next(self._after, _WAIT_S)
            now = time.monotonic()
            if frame is not None:
                last, stalled, self._after = now, False, frame.sequence
                yield self.read(frame)
            elif now - last > LOST_S and self._source.kind in _AGAIN:
                raise Refused(Reason.of(SourceLost(detail=f"nothing came for {LOST_S:.0f} s")))
            elif now - last > STALLED_S and not stalled:
                stalled = True
                yield Told("stalled", self._counts, Reason.of(SourceStalled(seconds=int(STALLED_S))))

    def _counted(self, frame: Frame) -> Counts:
        base = self._base
        self._counts = Counts(base.came + frame.came, self._counts.read + 1, base.dropped + frame.dropped)
        return self._counts

    def _identity(self) -> PackIdentity | None:
        return self._inference.identities.get(self._pack.name)

    def _inferred(self, made: LiveReading, decoded: Decoded) -> LiveReading:
        name, manifest = self._pack.name, self._pack.manifest
        shown = Shown(
            INSTANCE, (0,), decoded.rows, decoded.columns, decoded.box, decoded.stated.scales, decoded.stated.aspect
        )
        begun = time.perf_counter()
        try:
            said = self._ask(shown, decoded)
        except ImageAtFault:
            failed = InferenceFailed(pack=name, runtime="-", detail="it gives no number for this image")
            return replace(made, reason=Reason.of(failed))
        except Unfamiliar as far:
            # Rounded apart, so that a person never reads that the limit was kept.
            above, below = math.ceil(100 * far.distance) / 100, math.floor(100 * far.limit) / 100
            return replace(made, reason=Reason.of(ImageUnfamiliar(pack=name, distance=above, limit=below)))
        except Unsure:
            return replace(made, reason=Reason.of(PackUnsure(pack=name)))
        except ChildLost as lost:
            return replace(made, reason=Reason.of(InferenceGaveUp(detail=lost.detail)))
        except PackUnusable:
            return replace(made, reason=Reason.of(NoPackInstalled()))
        findings = self._adopted(said.findings)
        share, _ = hints.not_of_tissue(findings, said.beside)
        if share >= limits.SHORTCUT:
            return replace(made, reason=Reason.of(ExplainShortcut(pack=name, percent=round(100 * share))))
        told = [
            *hints.of_beside(findings, said.beside),
            *hints.of_frames((0,), 1, decoded.coloured, flow=decoded.flow),
            *hints.of_pixels(decoded.hints),
            *hints.of_resolution(*decoded.seen, manifest.input),
            *quality_hints.of(decoded.quality, manifest.quality, None),
        ]
        return replace(
            made,
            findings=findings,
            lesions=said.lesions,
            hints=tuple(told),
            pack=said.identity,
            infer_ms=1e3 * (time.perf_counter() - begun),
        )

    def _ask(self, shown: Shown, decoded: Decoded) -> Inferred:
        try:
            return self._inference.infer(self._pack.name, shown, decoded.arrays, self._folder)
        except ChildLost:  # a fresh child is tried once; the grab child's next frame does not wait for a third
            return self._inference.infer(self._pack.name, shown, decoded.arrays, self._folder)


def _leaving_a_core(config: Config) -> Config:
    """*config* with threads of inference for all cores but one, where it names none.

    A runtime's threads spin while they wait; with one on every core the frames are decoded late.
    """
    if config.reader.threads:
        return config
    threads = max(1, len(os.sched_getaffinity(0)) - 1)
    return config.model_copy(update={"reader": config.reader.model_copy(update={"threads": threads})})
