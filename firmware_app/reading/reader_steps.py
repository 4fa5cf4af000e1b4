"""Steps of the reader: one try at an image, the completion of long clips, and the follow-up of a case.

A try knows its clock, its hints, and which error a lost child means; it makes the reading.

With its reading a clip gets `display.MOST_FRAMES` frames of full depth. The frames in between are written as light
pictures while no image waits, in steps of a third of a second: an image that arrives meanwhile waits no longer than
that. A disk that takes none is asked again a minute later: the clip is whole when there is room.

A case that has come to rest gets the follow-up that the rules of its packs advise.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from firmware_app.cases.case_answer import decide_answer, select_strongest
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import DECODE_RAN_OUT, DecodeGaveUp, InferenceGaveUp
from firmware_app.cases.follow_up import find_advice
from firmware_app.core.child_process import ChildLost
from firmware_app.core.errors import LanternError
from firmware_app.core.errors.base import codes_of
from firmware_app.core.records import (
    Case,
    FileStatus,
    Finding,
    FollowUp,
    FramesRead,
    Instance,
    Lesion,
    PackIdentity,
    Priority,
    Quality,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.core.state_dir import StateDir
from firmware_app.imaging.display import MOST_FRAMES
from firmware_app.imaging.errors import ImageUnfit
from firmware_app.packs.manifest import Manifest
from firmware_app.reading import hints
from firmware_app.reading.decoder import DecodeOptions, Decoder
from firmware_app.reading.local_calibration import LocalModel

_NO_TIME: Final = Timing(0, 0, 0)  # until the attempt is complete
UNFIT: Final = codes_of(ImageUnfit)


def make_decode_options(manifest: Manifest, instance: Instance) -> DecodeOptions:
    """How the pack takes this image; one that says nothing of its modality is held to be of the pack's."""
    modality = ((instance.header.modality if instance.header else None) or "").strip().upper()
    frames = manifest.frames
    modality = modality or manifest.route.modalities[0]
    return DecodeOptions(frames.rule, frames.budget, modality, manifest.quality.demands)


class ReadingAttempt:
    """One try at one instance: its clock, its hints, and which error a lost child would mean."""

    def __init__(self, instance: Instance, begun: float) -> None:
        self.instance, self._begun = instance, begun
        self._of = (instance.reference,)
        self.hints = hints.list_identity_hints(instance.header) + hints.list_entry_hints(instance.entered)
        self.display_missing = False
        self.frames = 1
        self.decode_ms = self.infer_ms = 0.0
        self.chosen: LocalModel | None = None  # the pack that may read it, on the machine that made it
        self.distance: float | None = None  # from the pack's training images
        self.withheld: float | None = None  # the probability, where the model was not sure
        self.watched: Mapping[str, float] = {}  # quality measures, for the drift watch
        self.phase: type[DecodeGaveUp] | type[InferenceGaveUp] = DecodeGaveUp

    def build_refusal(self, why: LanternError | Reason) -> Reading:
        reason = why if isinstance(why, Reason) else Reason.from_error(why)
        return Reading(
            scope=Scope.INSTANCE,
            instances=self._of,
            status=ReadingStatus.CANNOT_JUDGE,
            reason=reason,
            pack=None,
            timing=_NO_TIME,
        )

    def give_up(self, lost: ChildLost, memory_mb: int) -> Reading:
        """`build_refusal`, after a child was *lost* for the last time; a decoder's may take *memory_mb*.

        One that died with half of it in use died of a large image more likely than of a damaged one.
        """
        if self.phase is DecodeGaveUp and 2 * lost.held_mb > memory_mb:
            return self.build_refusal(DECODE_RAN_OUT(detail=lost.detail, held_mb=lost.held_mb))
        return self.build_refusal(self.phase(detail=lost.detail))

    def build_pack_refusal(self, pack: str, reason: Reason) -> Reading:
        """`build_refusal`, naming the pack where it is by the pack's own measure that the image is not fit."""
        if reason.code in UNFIT:
            reason = replace(reason, details={**reason.details, "pack": pack})
        return self.build_refusal(reason)

    def build_reading(
        self, findings: tuple[Finding, ...], lesions: tuple[Lesion, ...], pack: PackIdentity, frames: FramesRead | None
    ) -> Reading:
        status = ReadingStatus.READ
        return Reading(
            scope=Scope.INSTANCE,
            instances=self._of,
            status=status,
            reason=None,
            pack=pack,
            timing=_NO_TIME,
            findings=findings,
            lesions=lesions,
            frames=frames,
        )

    def complete(self, reading: Reading) -> Reading:
        """*reading* with its times and hints, which are known only now."""
        total = 1e3 * (time.perf_counter() - self._begun)
        timing = Timing(round(self.decode_ms, 2), round(self.infer_ms, 2), round(total, 2))
        missing = (hints.make_hint(hints.DISPLAY_MISSING),) if self.display_missing else ()
        fit = reading.reason is None or reading.reason.code not in UNFIT
        return replace(reading, timing=timing, quality=Quality(fit, self.hints + missing))


_PAUSE_S: Final = 60.0

log = logging.getLogger("lantern.reader")


class ClipCompletion:
    """The long clips of one box; the rows are written by the reader and by nobody else."""

    def __init__(self, state: StateDir, clinical: ClinicalDatabase, decoder: Decoder) -> None:
        self._state, self._clinical, self._decoder = state, clinical, decoder
        self._none = False
        self._pause_until = 0.0

    def add(self, instance: str, frames: int) -> None:
        """Before the reading of *instance* is kept: its frames in between are to be written afterwards."""
        if frames > MOST_FRAMES:
            self._clinical.database.connection.execute(
                "INSERT OR REPLACE INTO long_clips (instance) VALUES (?)", (instance,)
            )
            self._none = False

    def step(self) -> bool:
        """Write some frames; False when there is no clip to write any of, or no room.  Raises `ChildWillNotStart`."""
        if self._none or time.monotonic() < self._pause_until:
            return False
        connection = self._clinical.database.connection
        row = connection.execute(
            "SELECT l.instance, l.next, i.file, i.header IS NULL AS picture FROM long_clips l"
            " JOIN instances i ON i.reference = l.instance ORDER BY i.sequence DESC LIMIT 1"
        ).fetchone()
        if row is None:
            self._none = True
            return False
        folder = self._state.display / row["instance"]
        try:
            going = self._decoder.write_clip_frames(
                self._state.root / row["file"], bool(row["picture"]), folder, row["next"]
            )
        except ChildLost as lost:
            log.warning("the decode child was lost over the frames in between of a clip (%s)", lost.detail)
            going = None
        if going is None:  # done, or it never will be
            connection.execute("DELETE FROM long_clips WHERE instance = ?", (row["instance"],))
        elif going == row["next"]:
            log.warning("the disk takes no frames in between of a clip; they are tried again")
            self._pause_until = time.monotonic() + _PAUSE_S
            return False
        else:
            connection.execute("UPDATE long_clips SET next = ? WHERE instance = ?", (going, row["instance"]))
        return True


_READ: Final = (FileStatus.READ, FileStatus.DUPLICATE)


def advise_follow_up(case: Case, manifests: Mapping[str, Manifest], known: Collection[str]) -> FollowUp | None:
    """The advice for *case*, where *known* are the codes of the facts about the patient; None where no rule holds.

    Of several packs the one with the most urgent positive finding is asked first.  Because nothing was found something
    is advised only where every file of the case was read and no pack found anything.
    """
    of_pack: dict[str, list[Reading]] = {}
    for reading in case.readings:
        if reading.status is ReadingStatus.READ and reading.pack is not None and reading.pack.name in manifests:
            of_pack.setdefault(reading.pack.name, []).append(reading)
    whole = case.incomplete is None and all(file.status in _READ for file in case.files)
    empty = not case.lesions and not any(finding.positive for finding in case.findings)
    for name in sorted(of_pack, key=lambda name: _rank_urgency(manifests[name], of_pack[name])):
        manifest, readings = manifests[name], of_pack[name]
        pack = name, manifest.version
        answer = decide_answer(readings)
        advice = find_advice(manifest.follow_up, pack, answer.findings, answer.lesions, known, complete=whole and empty)
        if advice is not None:
            return advice
    return None


def _rank_urgency(manifest: Manifest, readings: list[Reading]) -> int:
    """The rank of the most urgent positive finding, by the pack's own words."""
    urgencies = {spec.code: Priority(spec.priority) for spec in manifest.findings}
    positive = {finding.code for finding in select_strongest(readings) if finding.positive}
    ranks = [list(Priority).index(urgency) for code, urgency in urgencies.items() if code in positive]
    return min(ranks, default=len(Priority))
