"""The reader's side of the inference child: which runtime and precision runs each pack, and what happens when it fails.

Each pack has a list of candidates, first in the order of the configuration and later in that of their measured speed
(`reading.benchmark`).  A candidate that cannot be loaded, or that fails on an empty film too, is removed from the list
with one logged sentence; the image waits and the next candidate reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from firmware_app.core.child_messages import Arrays, ChildMessage
from firmware_app.core.child_process import Child, ChildJobs, ChildLost, start_child
from firmware_app.core.records import Finding, Lesion, PackIdentity, Reason
from firmware_app.core.settings import Config, ReaderSection
from firmware_app.imaging.pixel_size import SQUARE, Scale
from firmware_app.packs import execution_variants, prevalence_adjustment
from firmware_app.packs.errors import PackError
from firmware_app.packs.execution_variants import ExecutionVariant
from firmware_app.packs.pack_folder import Pack
from firmware_app.reading.errors import RUNTIME_WRONG
from firmware_app.reading.faults import FaultLog

MEMORY_MB: Final = 8192
"""Address space of the child beyond what is mapped at its start: runtimes reserve far more than they use."""
_LOAD_SECONDS: Final = 60.0
_STRIKES: Final = 2
_FINDINGS: Final = TypeAdapter(tuple[Finding, ...])
_LESIONS: Final = TypeAdapter(tuple[Lesion, ...])
_REASON: Final = TypeAdapter(Reason)
_MEASURED: Final = TypeAdapter(dict[str, FiniteFloat])


class PackUnusable(Exception):
    """No candidate of this pack is left."""


class ImageAtFault(Exception):
    """The model fails on this image and on no other."""


class UnfamiliarImage(Exception):
    """The image, or most of a clip, looks unlike the pack's training images."""

    def __init__(self, distance: float, limit: float) -> None:
        super().__init__(distance, limit)
        self.distance, self.limit = distance, limit


class UnsureAnswer(Exception):
    """The model is not sure of this image, by what its pack says of its probabilities.

    *probability* is that of the first finding, at the pack's own prevalence.
    """

    def __init__(self, probability: float) -> None:
        super().__init__(probability)
        self.probability = probability


@dataclass(frozen=True, slots=True)
class VariantCandidate:
    """One way to run a pack; `strikes` counts children that died while loading it."""

    runtime: str
    precision: str
    strikes: int = 0

    @property
    def way(self) -> ExecutionVariant:
        return ExecutionVariant(self.runtime, self.precision)


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """A pack's result for an image; `marked`: whether its heat maps could be written.

    `counted` are the frames that look like the pack's training images.  `strongest` is, by a finding's code, the one of
    them that shows it best.  Both are indices into the frames of the job.  `beside` is, by a finding's code, the share
    of its evidence in that frame that no tissue gave, where that is known.  `distance` is the middle frame's from the
    training images; ``None`` for a pack that says nothing of those.
    """

    findings: tuple[Finding, ...]
    lesions: tuple[Lesion, ...]
    identity: PackIdentity
    marked: bool
    strongest: Mapping[str, int]
    counted: tuple[int, ...]
    beside: Mapping[str, float]
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class FrameGeometry:
    """What the tensors of a job show: *frames* (numbered from 0) of *instance*, each of *rows* × *columns* pixels.

    *box* is the part of each frame that they show (None: all of it); *scales* are the parts whose pixel size is known,
    and *aspect* is the height of a pixel over its width.
    """

    instance: str
    frames: tuple[int, ...]
    rows: int
    columns: int
    box: Sequence[int] | None = None
    scales: Sequence[Scale] = ()
    aspect: float = SQUARE


class Inference:
    """One warm inference child with every usable pack in it."""

    def __init__(self, packs: Sequence[Pack], config: Config, faults: FaultLog) -> None:
        self._config, self._runtimes, self._faults = config.reader, config.runtime_settings, faults
        self._child = self._spawn()  # it imports its libraries while the packs' digests are taken here
        self._packs = {pack.name: pack for pack in packs}
        self._candidates = {pack.name: _list_candidates(pack, config.reader, faults) for pack in packs}
        self._loaded: set[str] = set()
        self._started = self._warm = False
        self._wrong: list[tuple[str, ExecutionVariant, Reason]] = []

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def identities(self) -> dict[str, PackIdentity]:
        """Version, runtime and precision of each pack that works, by the pack's name."""
        return {name: self._identity(name) for name in self._packs if self._candidates[name]}

    @property
    def packs(self) -> Mapping[str, Pack]:
        """Every pack it was given, by name."""
        return self._packs

    def is_whole(self) -> bool:
        """Whether there are packs and each of them works."""
        return bool(self._candidates) and all(self._candidates.values())

    def warm(self) -> None:
        """Return when every pack that can be loaded is warm; raises `ChildWillNotStart`."""
        if self._started and not self._child.alive:
            self._replace()
        while not self._warm:
            if not self._started:
                self._child = start_child(self._child, self._spawn)
                self._started = True
            self._warm = all(self._load(name) for name in self._packs)

    def offer(self, packs: Sequence[Pack]) -> None:
        """Take in those of *packs* that are new or have no way left; working packs stay loaded."""
        for pack in packs:
            if not self._candidates.get(pack.name):
                self._packs[pack.name] = pack
                self._candidates[pack.name] = _list_candidates(pack, self._config, self._faults)
                self._warm = False

    def ways(self, name: str) -> list[ExecutionVariant]:
        """The remaining ways to run pack *name*, the one in use first."""
        return [candidate.way for candidate in self._candidates[name]]

    def take_wrong(self) -> list[tuple[str, ExecutionVariant, Reason]]:
        """The ways whose answers to the golden cases were wrong when they were loaded; each is returned once."""
        taken, self._wrong = self._wrong, []
        return taken

    def pass_over(self, name: str, way: ExecutionVariant, why: str) -> None:
        """Stop using *way*; if it was the one in use, the next way reads from the next image on."""
        left = self.ways(name)
        if left[:1] == [way]:
            self._strike_off(name, why)
            self._loaded.discard(name)
            self._warm = False
        else:
            self._candidates[name] = [one for one in self._candidates[name] if one.way != way]

    def succession(self, orders: Mapping[str, Sequence[ExecutionVariant]], seconds: float) -> ChildJobs:
        """Start a second child and load the first way of each pack in it, while the first child goes on working.

        Once these jobs are done, pass their child to `succeed`.
        """
        jobs = [self._load_job(name, order[0]) for name, order in orders.items() if order]
        return ChildJobs(self._spawn(), jobs, seconds)

    def succeed(self, child: Child, orders: Mapping[str, Sequence[ExecutionVariant]]) -> None:
        """Replace the child by *child*, in which `succession` has loaded the first way of each of *orders*."""
        self._child.kill()
        self._child, self._started, self._warm = child, True, True
        for name, order in orders.items():
            self._candidates[name] = [VariantCandidate(way.runtime, way.precision) for way in order]
        self._loaded = {name for name, order in orders.items() if order}

    def infer(
        self,
        name: str,
        shown: FrameGeometry,
        arrays: Arrays,
        folder: Path | None,
        unsure_between: tuple[float, float] | None = None,
    ) -> InferenceResult:
        """Run pack *name* on the frames that *arrays* hold; their heat maps are in *folder*, if any, on return.

        *unsure_between*: of which probabilities, at the pack's own prevalence, no number is given, where that is not as
        the pack says.  Raises `ChildLost`, `PackUnusable`, `ImageAtFault`, `UnfamiliarImage` or `UnsureAnswer`.
        """
        display = str(folder) if folder is not None else ""
        job = {"job": "infer", "pack": name, "display": display, "unsure_between": unsure_between, **asdict(shown)}
        while True:
            self.warm()
            if name not in self._loaded:
                raise PackUnusable
            answer = self._ask(job, arrays, self._config.infer_seconds)
            if "unfamiliar" in answer.header:
                raise self._unfamiliar(answer)
            if "unsure" in answer.header:
                raise self._unsure(answer)
            if "refusal" not in answer.header:
                findings = self._findings(name, answer)
                counted = self._counted(answer, len(shown.frames))
                return InferenceResult(
                    findings=findings,
                    lesions=self._lesions(shown, answer),
                    identity=self._identity(name),
                    marked=bool(answer.header.get("marked")),
                    strongest=self._strongest(findings, answer, counted),
                    counted=counted,
                    beside=self._beside(findings, answer),
                    distance=self._distance(answer),
                )
            if answer.header.get("sound"):
                raise ImageAtFault
            self._strike_off(name, "it failed on an empty film too")
            self._loaded.discard(name)
            self._warm = False

    def close(self) -> None:
        self._child.kill()

    def _load(self, name: str) -> bool:
        """Load the first candidate that works.  True also when none does; False when loading it killed the child."""
        while self._candidates[name] and name not in self._loaded:
            first = self._candidates[name][0]
            try:
                answer = self._ask(self._load_job(name, first.way), {}, _LOAD_SECONDS)
            except ChildLost as lost:
                self._candidates[name][0] = replace(first, strikes=first.strikes + 1)
                if first.strikes + 1 >= _STRIKES:
                    self._strike_off(name, f"loading it twice ended the child ({lost.detail})")
                return False
            if "loaded" in answer.header:
                self._candidates[name][0] = replace(first, strikes=0)
                self._loaded.add(name)
            else:
                why = _REASON.validate_python(answer.header["refusal"])
                if why.code == RUNTIME_WRONG.code:
                    self._wrong.append((name, first.way, why))
                self._strike_off(name, why.code)
        return True

    def _load_job(self, name: str, way: ExecutionVariant) -> dict[str, Any]:
        return {
            "job": "load",
            "folder": str(self._packs[name].folder),
            "runtime": way.runtime,
            "precision": way.precision,
            "settings": self._runtimes.of(way.runtime),
        }

    def _strike_off(self, name: str, why: str) -> None:
        gone = self._candidates[name].pop(0)
        left = self._candidates[name]
        then = f"falling back to {left[0].runtime} {left[0].precision}" if left else "no other way is left"
        self._faults.say(f"pack {name} cannot run on {gone.runtime} {gone.precision} ({why}); {then}")

    def _identity(self, name: str) -> PackIdentity:
        first = self._candidates[name][0]
        return PackIdentity(name, self._packs[name].manifest.version, first.runtime, first.precision)

    def _findings(self, name: str, answer: ChildMessage) -> tuple[Finding, ...]:
        """The findings, carried over from the pack's prevalence to the clinic's."""
        try:
            findings = _FINDINGS.validate_python(answer.header["findings"])
            return prevalence_adjustment.adjust_to_clinic(findings, self._packs[name].manifest, self._config.prevalence)
        except (KeyError, ValidationError):
            raise self._invalid() from None

    def _lesions(self, shown: FrameGeometry, answer: ChildMessage) -> tuple[Lesion, ...]:
        """The lesions, each checked to lie within a frame of the job."""
        try:
            lesions = _LESIONS.validate_python(answer.header["lesions"])
        except (KeyError, ValidationError):
            raise self._invalid() from None
        for lesion in lesions:
            x0, y0, x1, y1 = lesion.box
            inside = 0.0 <= x0 < x1 <= shown.columns and 0.0 <= y0 < y1 <= shown.rows
            if not inside or lesion.frame not in shown.frames or lesion.instance != shown.instance:
                raise self._invalid()
        return lesions

    def _unfamiliar(self, answer: ChildMessage) -> UnfamiliarImage:
        try:
            measured = _MEASURED.validate_python(answer.header["unfamiliar"])
            return UnfamiliarImage(measured["distance"], measured["limit"])
        except (KeyError, ValidationError):
            raise self._invalid() from None

    def _unsure(self, answer: ChildMessage) -> UnsureAnswer:
        probability = answer.header["unsure"]
        if not isinstance(probability, float) or not 0.0 <= probability <= 1.0:
            raise self._invalid()
        return UnsureAnswer(probability)

    def _counted(self, answer: ChildMessage, frames: int) -> tuple[int, ...]:
        """Indices of the frames that were counted, of the *frames* given; at least one was."""
        counted = answer.header.get("counted")
        if not isinstance(counted, list) or not counted:
            raise self._invalid()
        if not all(isinstance(place, int) and 0 <= place < frames for place in counted):
            raise self._invalid()
        return tuple(counted)

    def _strongest(self, findings: Sequence[Finding], answer: ChildMessage, counted: Sequence[int]) -> dict[str, int]:
        """By a finding's code, the one of the *counted* frames in which it is strongest."""
        strongest = answer.header.get("strongest")
        places = {one.code: strongest.get(one.code) if isinstance(strongest, dict) else None for one in findings}
        kept = {code: place for code, place in places.items() if isinstance(place, int) and place in counted}
        if len(kept) != len(places):
            raise self._invalid()
        return kept

    def _beside(self, findings: Sequence[Finding], answer: ChildMessage) -> dict[str, float]:
        """By a finding's code, the share of its evidence that no tissue gave; empty where that is not known."""
        try:
            shares = _MEASURED.validate_python(answer.header["beside"])
        except (KeyError, ValidationError):
            raise self._invalid() from None
        codes = {finding.code for finding in findings}
        if not all(0.0 <= share <= 1.0 for share in shares.values()) or not shares.keys() <= codes:
            raise self._invalid()
        return shares

    def _distance(self, answer: ChildMessage) -> float | None:
        """The distance from the training images; None where the pack says nothing of those."""
        distance = answer.header.get("distance")
        if distance is not None and not (isinstance(distance, float) and math.isfinite(distance)):
            raise self._invalid()
        return distance

    def _invalid(self) -> ChildLost:
        """The error for an invalid answer; the child that gave it is replaced."""
        self._replace()
        return ChildLost("it sent an invalid message")

    def _ask(self, job: Mapping[str, Any], arrays: Arrays, seconds: float) -> ChildMessage:
        try:
            self._child.send(job, arrays)
            return self._child.receive(seconds)
        except ChildLost:
            self._replace()
            raise

    def _replace(self) -> None:
        self._child.kill()
        self._child = self._spawn()
        self._started = self._warm = False
        self._loaded.clear()

    def _spawn(self) -> Child:
        limits = (str(MEMORY_MB), str(self._config.infer_seconds * 64))
        return Child("firmware_app.reading.children.inference_child", limits)


def _list_candidates(pack: Pack, config: ReaderSection, faults: FaultLog) -> list[VariantCandidate]:
    """Every possible way, in the order of a box without measurements; a damaged pack has none."""
    try:
        pack.verify()
    except PackError as error:
        faults.say(str(error))
        return []
    return [VariantCandidate(way.runtime, way.precision) for way in execution_variants.list_variants(pack, config)]
