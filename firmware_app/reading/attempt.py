"""One try of the reader to read one image: its state, and the reading that results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from firmware_app.core.children.child import ChildLost
from firmware_app.core.errors import DecodeGaveUp, DecodeRanOut, ImageUnfit, InferenceGaveUp, LanternError
from firmware_app.core.records import (
    Finding,
    FramesRead,
    Instance,
    Lesion,
    PackIdentity,
    Quality,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.packs.manifest import Manifest
from firmware_app.reading import hints
from firmware_app.reading.children.decoder import Taking
from firmware_app.reading.local_calibration import Chosen

_NO_TIME: Final = Timing(0, 0, 0)  # until the attempt is complete
UNFIT: Final = frozenset(kind.code for kind in ImageUnfit.__subclasses__())


def taking(manifest: Manifest, instance: Instance) -> Taking:
    """How the pack takes this image; one that says nothing of its modality is held to be of the pack's."""
    modality = ((instance.header.modality if instance.header else None) or "").strip().upper()
    frames = manifest.frames
    modality = modality or manifest.route.modalities[0]
    return Taking(frames.rule, frames.budget, modality, manifest.quality.demands)


class Attempt:
    """One try at one instance: its clock, its hints, and which error a lost child would mean."""

    def __init__(self, instance: Instance, begun: float) -> None:
        self.instance, self._begun = instance, begun
        self._of = (instance.reference,)
        self.hints = hints.of_identity(instance.header) + hints.of_entered(instance.entered)
        self.display_missing = False
        self.frames = 1
        self.decode_ms = self.infer_ms = 0.0
        self.chosen: Chosen | None = None  # the pack that may read it, on the machine that made it
        self.distance: float | None = None  # from the pack's training images
        self.withheld: float | None = None  # the probability, where the model was not sure
        self.watched: Mapping[str, float] = {}  # quality measures, for the drift watch
        self.phase: type[DecodeGaveUp] | type[InferenceGaveUp] = DecodeGaveUp

    def cannot(self, why: LanternError | Reason) -> Reading:
        reason = why if isinstance(why, Reason) else Reason.of(why)
        return Reading(Scope.INSTANCE, self._of, ReadingStatus.CANNOT_JUDGE, reason, None, _NO_TIME)

    def gave_up(self, lost: ChildLost, memory_mb: int) -> Reading:
        """`cannot`, after a child was *lost* for the last time; a decoder's may take *memory_mb*.

        One that died with half of it in use died of a large image more likely than of a damaged one.
        """
        if self.phase is DecodeGaveUp and 2 * lost.held_mb > memory_mb:
            return self.cannot(DecodeRanOut(detail=lost.detail, held_mb=lost.held_mb))
        return self.cannot(self.phase(detail=lost.detail))

    def cannot_for(self, pack: str, reason: Reason) -> Reading:
        """`cannot`, naming the pack where it is by the pack's own measure that the image is not fit."""
        if reason.code in UNFIT:
            reason = replace(reason, details={**reason.details, "pack": pack})
        return self.cannot(reason)

    def read(
        self, findings: tuple[Finding, ...], lesions: tuple[Lesion, ...], pack: PackIdentity, frames: FramesRead | None
    ) -> Reading:
        status = ReadingStatus.READ
        return Reading(Scope.INSTANCE, self._of, status, None, pack, _NO_TIME, findings, lesions, frames=frames)

    def complete(self, reading: Reading) -> Reading:
        """*reading* with its times and hints, which are known only now."""
        total = 1e3 * (time.perf_counter() - self._begun)
        timing = Timing(round(self.decode_ms, 2), round(self.infer_ms, 2), round(total, 2))
        missing = (hints.hint(hints.DISPLAY_MISSING),) if self.display_missing else ()
        fit = reading.reason is None or reading.reason.code not in UNFIT
        return replace(reading, timing=timing, quality=Quality(fit, self.hints + missing))
