"""The reader's side of the inference child: which runtime and precision speaks for each pack, and what if it fails.

Per pack there is a list of candidates in the order of the configuration.  A candidate that cannot be loaded, or that
fails on an empty film too, is struck off with one logged sentence and the next takes its place; the image waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from firmware_app.config import Reader as ReaderConfig
from firmware_app.errors import PackArtefactMissing, PackError
from firmware_app.packs.shelf import Pack
from firmware_app.reading.child import Child, ChildLost
from firmware_app.reading.complaints import Complaints
from firmware_app.reading.starting import started
from firmware_app.reading.wire import Arrays, Message
from firmware_app.records import Finding, PackIdentity

MEMORY_MB: Final = 8192
"""Address space above the start: runtimes reserve arenas and thread stacks far beyond what they touch."""
_LOAD_SECONDS: Final = 60.0
_STRIKES: Final = 2
_PRECISIONS: Final = ("int8", "fp32")
_FINDINGS: Final = TypeAdapter(tuple[Finding, ...])


class PackUnusable(Exception):
    """No candidate of this pack is left."""


class ImageAtFault(Exception):
    """The model fails on this image and on no other."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a pack; `strikes` counts children that died while loading it."""

    runtime: str
    precision: str
    strikes: int = 0


@dataclass(frozen=True, slots=True)
class Inferred:
    """What a pack says of an image; `marked`: its heat maps could be written."""

    findings: tuple[Finding, ...]
    identity: PackIdentity
    marked: bool


class Inference:
    """One warm inference child with every usable pack in it."""

    def __init__(self, packs: Sequence[Pack], config: ReaderConfig, complaints: Complaints) -> None:
        self._config, self._complaints = config, complaints
        self._child = self._spawn()  # it imports its libraries while the packs' digests are taken here
        self._packs = {pack.name: pack for pack in packs}
        self._candidates = {pack.name: _candidates(pack, config, complaints) for pack in packs}
        self._loaded: set[str] = set()
        self._started = self._warm = False

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def identities(self) -> dict[str, PackIdentity]:
        """Who speaks for each pack that works, by the pack's name."""
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
                self._child = started(self._child, self._spawn)
                self._started = True
            self._warm = all(self._load(name) for name in self._packs)

    def offer(self, packs: Sequence[Pack]) -> None:
        """Try *packs* that are new or have no way left; the working ones stay as they are and warm."""
        for pack in packs:
            if not self._candidates.get(pack.name):
                self._packs[pack.name] = pack
                self._candidates[pack.name] = _candidates(pack, self._config, self._complaints)
                self._warm = False

    def infer(self, name: str, arrays: Arrays, rows: int, columns: int, folder: Path) -> Inferred:
        """What pack *name* says of a *rows* × *columns* film; its heat maps are in *folder* on return.

        Raises `ChildLost`, `PackUnusable` or `ImageAtFault`.
        """
        job = {"job": "infer", "pack": name, "rows": rows, "columns": columns, "display": str(folder)}
        while True:
            self.warm()
            if name not in self._loaded:
                raise PackUnusable
            answer = self._ask(job, arrays, self._config.infer_seconds)
            if "refusal" not in answer.header:
                return Inferred(self._findings(answer), self._identity(name), bool(answer.header.get("marked")))
            if answer.header.get("sound"):
                raise ImageAtFault
            self._strike_off(name, "it failed on an empty film too")
            self._loaded.discard(name)
            self._warm = False

    def close(self) -> None:
        self._child.kill()

    def _load(self, name: str) -> bool:
        """Load the first candidate that works; True also when none does, False when the child was lost over it."""
        while self._candidates[name] and name not in self._loaded:
            first = self._candidates[name][0]
            job = {
                "job": "load",
                "folder": str(self._packs[name].folder),
                "runtime": first.runtime,
                "precision": first.precision,
                "threads": self._config.threads,
            }
            try:
                answer = self._ask(job, {}, _LOAD_SECONDS)
            except ChildLost as lost:
                self._candidates[name][0] = replace(first, strikes=first.strikes + 1)
                if first.strikes + 1 >= _STRIKES:
                    self._strike_off(name, f"loading it twice ended the child ({lost.detail})")
                return False
            if "loaded" in answer.header:
                self._candidates[name][0] = replace(first, strikes=0)
                self._loaded.add(name)
            else:
                self._strike_off(name, str(answer.header["refusal"]["code"]))
        return True

    def _strike_off(self, name: str, why: str) -> None:
        gone = self._candidates[name].pop(0)
        left = self._candidates[name]
        then = f"falling back to {left[0].runtime} {left[0].precision}" if left else "no other way is left"
        self._complaints.say(f"pack {name} cannot run on {gone.runtime} {gone.precision} ({why}); {then}")

    def _identity(self, name: str) -> PackIdentity:
        first = self._candidates[name][0]
        return PackIdentity(name, self._packs[name].manifest.version, first.runtime, first.precision)

    def _findings(self, answer: Message) -> tuple[Finding, ...]:
        try:
            return _FINDINGS.validate_python(answer.header["findings"])
        except (KeyError, ValidationError):
            self._replace()
            raise ChildLost("it spoke nonsense") from None

    def _ask(self, job: Mapping[str, Any], arrays: Arrays, seconds: float) -> Message:
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
        return Child("firmware_app.reading.inference_child", (str(MEMORY_MB), str(self._config.infer_seconds * 64)))


def _candidates(pack: Pack, config: ReaderConfig, complaints: Complaints) -> list[Candidate]:
    """The wanted precision on each runtime in order, then the others likewise; a damaged pack has none."""
    try:
        pack.verify()
    except PackError as error:
        complaints.say(str(error))
        return []
    wanted = [config.precision, *(other for other in _PRECISIONS if other != config.precision)]
    return [
        Candidate(runtime, precision)
        for precision in wanted
        for runtime in config.runtimes
        if _has(pack, runtime, precision)
    ]


def _has(pack: Pack, runtime: str, precision: str) -> bool:
    try:
        pack.described(runtime, precision)
    except PackArtefactMissing:
        return False
    return True
