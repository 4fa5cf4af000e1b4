"""The reader's side of the inference child: which runtime and precision runs each pack, and what happens when it fails.

Each pack has a list of candidates, first in the order of the configuration and later in that of their measured speed
(`reading.benchmark`).  A candidate that cannot be loaded, or that fails on an empty film too, is removed from the list
with one logged sentence; the image waits and the next candidate reads it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import Field, TypeAdapter

from firmware_app.core.child_messages import Arrays, ChildMessage
from firmware_app.core.child_process import Child, ChildJobs, ChildLost, start_child
from firmware_app.core.errors import LanternError
from firmware_app.core.records import Finding, Lesion, PackIdentity, Reason
from firmware_app.core.settings import Config, ReaderSection
from firmware_app.packs import execution_variants, prevalence_adjustment
from firmware_app.packs.errors import InferenceFailed, PackError
from firmware_app.packs.execution_variants import ExecutionVariant
from firmware_app.packs.pack_folder import Pack
from firmware_app.reading.decoder import INVALID, ChildAnswer, Count, DecodedImage, Number, Share
from firmware_app.reading.errors import IMAGE_UNFAMILIAR, PACK_UNSURE, RUNTIME_WRONG
from firmware_app.reading.faults import FaultLog

MEMORY_MB: Final = 8192
"""Address space of the child beyond what is mapped at its start: runtimes reserve far more than they use."""
_LOAD_SECONDS: Final = 60.0
_STRIKES: Final = 2
_REASON: Final = TypeAdapter(Reason)


class PackUnusable(Exception):
    """No candidate of this pack is left."""


class NotJudged(Exception):
    """The model gives no number for this image; *error* says why.

    *distance*: of an image that looks unlike the training images, from those.  *withheld*: the probability of the first
    finding, at the pack's own prevalence, of which the model is not sure.
    """

    def __init__(self, error: LanternError, distance: float | None = None, withheld: float | None = None) -> None:
        super().__init__(error.code)
        self.error, self.distance, self.withheld = error, distance, withheld


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


class _Unfamiliar(ChildAnswer):
    distance: Number
    limit: Number


class _InferenceAnswer(ChildAnswer):
    findings: tuple[Finding, ...]
    lesions: tuple[Lesion, ...]
    counted: tuple[Count, ...] = Field(min_length=1)
    strongest: dict[str, Count]
    marked: bool
    beside: dict[str, Share]
    distance: Number | None = None


_UNSURE: Final = TypeAdapter(Share)


class Inference:
    """One warm inference child with every usable pack in it."""

    def __init__(self, packs: Sequence[Pack], config: Config, faults: FaultLog) -> None:
        self._config, self._runtimes, self._faults = config.reader, config.runtime_settings, faults
        self._child = self._spawn()  # it imports its libraries while the packs' digests are taken here
        self._packs = {pack.name: pack for pack in packs}
        self._candidates = {pack.name: _list_candidates(pack, config.reader, faults) for pack in packs}
        self._strikes: Counter[tuple[str, ExecutionVariant]] = Counter()
        """How often loading a way has ended the child."""
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

    def is_complete(self) -> bool:
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

    def add_packs(self, packs: Sequence[Pack]) -> None:
        """Take in those of *packs* that are new or have no way left; working packs stay loaded."""
        for pack in packs:
            if not self._candidates.get(pack.name):
                self._packs[pack.name] = pack
                self._candidates[pack.name] = _list_candidates(pack, self._config, self._faults)
                self._warm = False

    def list_variants(self, name: str) -> list[ExecutionVariant]:
        """The remaining ways to run pack *name*, the one in use first."""
        return list(self._candidates[name])

    def take_failures(self) -> list[tuple[str, ExecutionVariant, Reason]]:
        """The ways whose answers to the golden cases were wrong when they were loaded; each is returned once."""
        taken, self._wrong = self._wrong, []
        return taken

    def drop_variant(self, name: str, way: ExecutionVariant, why: str) -> None:
        """Stop using *way*; if it was the one in use, the next way reads from the next image on."""
        left = self.list_variants(name)
        if left[:1] == [way]:
            self._drop_first_variant(name, why)
            self._loaded.discard(name)
            self._warm = False
        else:
            self._candidates[name] = [other for other in self._candidates[name] if other != way]

    def start_successor(self, orders: Mapping[str, Sequence[ExecutionVariant]], seconds: float) -> ChildJobs:
        """Start a second child and load the first way of each pack in it, while the first child goes on working.

        Once these jobs are done, pass their child to `swap_child`.
        """
        jobs = [self._load_job(name, order[0]) for name, order in orders.items() if order]
        return ChildJobs(self._spawn(), jobs, seconds)

    def swap_child(self, child: Child, orders: Mapping[str, Sequence[ExecutionVariant]]) -> None:
        """Replace the child by *child*, in which `start_successor` has loaded the first way of each of *orders*."""
        self._child.kill()
        self._child, self._started, self._warm = child, True, True
        for name, order in orders.items():
            self._candidates[name] = list(order)
        self._loaded = {name for name, order in orders.items() if order}

    def infer(
        self,
        name: str,
        instance: str,
        decoded: DecodedImage,
        folder: Path | None,
        unsure_between: tuple[float, float] | None = None,
    ) -> InferenceResult:
        """Run pack *name* on the frames of *instance* in *decoded*; their heat maps are in *folder*, if any, on return.

        *unsure_between*: of which probabilities, at the pack's own prevalence, no number is given, where that is not as
        the pack says.  Raises `NotJudged`, `ChildLost` or `PackUnusable`.
        """
        job = {
            "job": "infer",
            "pack": name,
            "display": str(folder) if folder is not None else "",
            "unsure_between": unsure_between,
            "instance": instance,
            "frames": decoded.read,
            **{part: getattr(decoded, part) for part in ("rows", "columns", "box", "aspect")},
            "scales": [asdict(scale) for scale in decoded.scales],
        }
        while True:
            self.warm()
            if name not in self._loaded:
                raise PackUnusable
            header = self._ask(job, decoded.arrays, self._config.infer_seconds).header
            if "refusal" not in header:
                try:
                    return self._check(name, header, instance, decoded)
                except ValueError:
                    self._replace()
                    raise ChildLost(INVALID) from None
            if header.get("sound"):
                raise NotJudged(InferenceFailed(pack=name, runtime="-", detail="it gives no number for this image"))
            self._drop_first_variant(name, "it failed on an empty film too")
            self._loaded.discard(name)
            self._warm = False

    def _check(self, name: str, header: Mapping[str, Any], instance: str, decoded: DecodedImage) -> InferenceResult:
        """The result in an answer; raises `NotJudged`, and `ValueError` for an invalid answer."""
        if "unfamiliar" in header:
            far = _Unfamiliar.model_validate(header["unfamiliar"])
            # Rounded apart, so that a person never reads that the limit was kept.
            above, below = math.ceil(100 * far.distance) / 100, math.floor(100 * far.limit) / 100
            raise NotJudged(IMAGE_UNFAMILIAR(pack=name, distance=above, limit=below), distance=far.distance)
        if "unsure" in header:
            raise NotJudged(PACK_UNSURE(pack=name), withheld=_UNSURE.validate_python(header["unsure"]))
        answer = _InferenceAnswer.model_validate(header)
        codes = {finding.code for finding in answer.findings}
        counted, strongest = answer.counted, {code: answer.strongest.get(code) for code in codes}
        if max(counted) >= len(decoded.read) or not set(strongest.values()) <= set(counted):
            raise ValueError("a frame that was not asked about")
        if not answer.beside.keys() <= codes:
            raise ValueError("a finding that there is not")
        for lesion in answer.lesions:
            x0, y0, x1, y1 = lesion.box
            inside = 0.0 <= x0 < x1 <= decoded.columns and 0.0 <= y0 < y1 <= decoded.rows
            if not inside or lesion.frame not in decoded.read or lesion.instance != instance:
                raise ValueError("a lesion elsewhere")
        manifest = self._packs[name].manifest
        return InferenceResult(
            findings=prevalence_adjustment.adjust_to_clinic(answer.findings, manifest, self._config.prevalence),
            lesions=answer.lesions,
            identity=self._identity(name),
            marked=answer.marked,
            strongest={code: answer.strongest[code] for code in codes},
            counted=counted,
            beside=answer.beside,
            distance=answer.distance,
        )

    def close(self) -> None:
        self._child.kill()

    def _load(self, name: str) -> bool:
        """Load the first candidate that works.  True also when none does; False when loading it killed the child."""
        while self._candidates[name] and name not in self._loaded:
            first = self._candidates[name][0]
            try:
                answer = self._ask(self._load_job(name, first), {}, _LOAD_SECONDS)
            except ChildLost as lost:
                self._strikes[name, first] += 1
                if self._strikes[name, first] >= _STRIKES:
                    self._drop_first_variant(name, f"loading it twice ended the child ({lost.detail})")
                return False
            if "loaded" in answer.header:
                self._strikes[name, first] = 0
                self._loaded.add(name)
            else:
                why = _REASON.validate_python(answer.header["refusal"])
                if why.code == RUNTIME_WRONG.code:
                    self._wrong.append((name, first, why))
                self._drop_first_variant(name, why.code)
        return True

    def _load_job(self, name: str, way: ExecutionVariant) -> dict[str, Any]:
        return {
            "job": "load",
            "folder": str(self._packs[name].folder),
            "runtime": way.runtime,
            "precision": way.precision,
            "settings": self._runtimes.select(way.runtime),
        }

    def _drop_first_variant(self, name: str, why: str) -> None:
        gone = self._candidates[name].pop(0)
        left = self._candidates[name]
        then = f"falling back to {left[0]}" if left else "no other way is left"
        self._faults.report(f"pack {name} cannot run on {gone} ({why}); {then}")

    def _identity(self, name: str) -> PackIdentity:
        first = self._candidates[name][0]
        return PackIdentity(name, self._packs[name].manifest.version, first.runtime, first.precision)

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


def _list_candidates(pack: Pack, config: ReaderSection, faults: FaultLog) -> list[ExecutionVariant]:
    """Every possible way, in the order of a box without measurements; a damaged pack has none."""
    try:
        pack.verify()
    except PackError as error:
        faults.report(str(error))
        return []
    return execution_variants.list_variants(pack, config)
