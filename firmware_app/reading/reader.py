"""The reader: takes what the door put in clinical.db, has it decoded and inferred, and writes one final reading each.

Nothing that an image does can stop it: a deterministic refusal is final at once, a child that dies or overruns its time
costs a try, and two of them set the image aside.  Killed at any instant, the next reader carries on from the database.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from firmware_app.config import Config
from firmware_app.errors import (
    CannotJudge,
    DecodeGaveUp,
    InferenceFailed,
    InferenceGaveUp,
    LanternError,
    NoPackInstalled,
    NoPixels,
    PackError,
    PackUnknown,
    ReaderGaveUp,
)
from firmware_app.packs.manifest import FILE_NAME
from firmware_app.packs.shelf import Pack, shipped_packs_dir
from firmware_app.reading import hints, routing
from firmware_app.reading.child import ChildLost
from firmware_app.reading.decoder import Decoded, Decoder
from firmware_app.reading.inference import ImageAtFault, Inference, PackUnusable
from firmware_app.records import (
    Finding,
    Instance,
    PackIdentity,
    Priority,
    Quality,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.store.clinical import Claim, Clinical
from firmware_app.store.layout import StateDir
from firmware_app.store.relay import Relay

log = logging.getLogger("lantern.reader")

POLL_SECONDS: Final = 0.025
MOST_CLAIMS: Final = 5
MOST_FAILURES: Final = 2
_LOOK_SECONDS: Final = 0.25  # at what no commit announces: a quiet time that has passed, a child that died idle
_NO_TIME: Final = Timing(0, 0, 0)  # until the attempt is complete


class Reader:
    """Reads what waits.  `step` reads one instance; `run` is the process around it.

    To be used in one thread, which must live as long as the reader (see `child.Child`).
    """

    def __init__(self, config: Config, state: StateDir, clinical: Clinical, forced: str | None = None) -> None:
        """*forced* names the pack for images that do not say what they show; raises `PackUnknown`."""
        self._config, self._state, self._clinical, self._forced = config, state, clinical, forced
        packs = _packs(config)
        if forced is not None and forced not in {pack.name for pack in packs}:
            raise PackUnknown(pack=forced)
        self._manifests = {pack.name: pack.manifest for pack in packs}
        self._rules = [routing.Candidate(pack.name, pack.manifest.route) for pack in packs]
        self.decoder = Decoder(config.reader.memory_mb, config.reader.decode_seconds)
        self.inference = Inference(packs, config.reader)

    def warm(self) -> Mapping[str, str | int | None]:
        """Return when both children are ready, with what the reader says of itself; raises `ChildWillNotStart`."""
        self.inference.warm()
        self.decoder.warm()
        spoken = (
            f"{who.name} {who.version} ({who.runtime} {who.precision})" for who in self.inference.identities.values()
        )
        return {"packs": ", ".join(spoken), "decode_pid": self.decoder.pid, "inference_pid": self.inference.pid}

    def step(self) -> bool:
        """Take the oldest waiting instance one try further; False when nothing waits.

        Raises `ChildWillNotStart`, before any image has been claimed for it.
        """
        self.inference.warm()
        self.decoder.warm()
        claim = self._clinical.claim()
        if claim is None:
            return False
        attempt = _Attempt(claim.instance, time.perf_counter())
        if claim.claims > MOST_CLAIMS:
            self._finish(attempt, attempt.cannot(ReaderGaveUp(claims=claim.claims - 1)))
            return True
        try:
            reading = self._read(claim, attempt)
        except ChildLost as lost:
            self._failed(attempt, lost)
        else:
            self._finish(attempt, reading)
        return True

    def close(self) -> None:
        """End the children."""
        self.decoder.close()
        self.inference.close()

    def _read(self, claim: Claim, attempt: _Attempt) -> Reading:
        instance = claim.instance
        try:
            chosen = routing.route(instance.header, self._rules, self._config.box.usual_population, self._forced)
        except NoPixels as error:
            return attempt.cannot(error)
        except CannotJudge as error:
            self._show(attempt)
            return attempt.cannot(error)
        attempt.hints += chosen.hints
        decoded = self._decode(attempt, chosen.pack)
        if isinstance(decoded, Reason):
            return attempt.cannot(decoded)
        if decoded.frames > 1:
            attempt.hints += (hints.hint(hints.ONE_FRAME, frame=decoded.frame + 1, frames=decoded.frames),)
        try:
            return self._infer(attempt, chosen.pack, decoded)
        finally:
            if not self.decoder.end():
                attempt.display_missing = True

    def _decode(self, attempt: _Attempt, pack: str | None) -> Decoded | Reason:
        attempt.phase = DecodeGaveUp
        spec = self._manifests[pack].input if pack else None
        folder = self._state.display / attempt.instance.reference
        path = self._state.root / attempt.instance.file
        decoded = self.decoder.begin(path, attempt.instance.header is None, spec, folder)
        if isinstance(decoded, Decoded):
            attempt.decode_ms = decoded.milliseconds
        return decoded

    def _show(self, attempt: _Attempt) -> None:
        """Frames for people of an image that no pack may read; it costs no second try when that fails."""
        try:
            shown = isinstance(self._decode(attempt, None), Decoded) and self.decoder.end()
        except ChildLost as lost:
            log.warning("the decode child was lost over an image that no pack reads (%s)", lost.detail)
            shown = False
        attempt.display_missing = not shown

    def _infer(self, attempt: _Attempt, pack: str, decoded: Decoded) -> Reading:
        attempt.phase = InferenceGaveUp
        folder = self._state.display / attempt.instance.reference
        begun = time.perf_counter()
        try:
            found = self.inference.infer(pack, decoded.arrays, decoded.rows, decoded.columns, folder)
        except PackUnusable:
            return attempt.cannot(NoPackInstalled())
        except ImageAtFault:
            return attempt.cannot(InferenceFailed(pack=pack, runtime="-", detail="it gives no number for this image"))
        attempt.infer_ms = 1e3 * (time.perf_counter() - begun)
        attempt.display_missing = not found.marked
        return attempt.read(found.findings, found.identity)

    def _failed(self, attempt: _Attempt, lost: ChildLost) -> None:
        failures = self._clinical.record_failure(attempt.instance.reference)
        log.warning("a child was lost over an image, try %d (%s)", failures, lost.detail)
        if failures >= MOST_FAILURES:
            self._finish(attempt, attempt.cannot(attempt.phase(detail=lost.detail)))

    def _finish(self, attempt: _Attempt, reading: Reading) -> None:
        self._clinical.finish(attempt.instance, attempt.complete(reading), self._priority(reading))

    def _priority(self, reading: Reading) -> Priority:
        """That of the most urgent positive finding, as its pack's manifest has it."""
        if reading.pack is None or reading.status is ReadingStatus.CANNOT_JUDGE:
            return Priority.CANNOT_JUDGE
        urgencies = {spec.code: Priority(spec.priority) for spec in self._manifests[reading.pack.name].findings}
        found = [urgencies[finding.code] for finding in reading.findings if finding.positive]
        return min(found, key=list(Priority).index, default=Priority.ROUTINE)


class _Attempt:
    """One try at one instance: its clock, its hints, and which error a lost child would mean."""

    def __init__(self, instance: Instance, begun: float) -> None:
        self.instance, self._begun = instance, begun
        self._of = (instance.reference,)
        self.hints: tuple[Reason, ...] = ()
        self.display_missing = False
        self.decode_ms = self.infer_ms = 0.0
        self.phase: type[DecodeGaveUp] | type[InferenceGaveUp] = DecodeGaveUp

    def cannot(self, why: LanternError | Reason) -> Reading:
        reason = why if isinstance(why, Reason) else Reason.of(why)
        return Reading(Scope.INSTANCE, self._of, ReadingStatus.CANNOT_JUDGE, reason, None, _NO_TIME)

    def read(self, findings: tuple[Finding, ...], pack: PackIdentity) -> Reading:
        return Reading(Scope.INSTANCE, self._of, ReadingStatus.READ, None, pack, _NO_TIME, findings)

    def complete(self, reading: Reading) -> Reading:
        """*reading* with its times and hints, which are known only now."""
        total = 1e3 * (time.perf_counter() - self._begun)
        timing = Timing(round(self.decode_ms, 2), round(self.infer_ms, 2), round(total, 2))
        missing = (hints.hint(hints.DISPLAY_MISSING),) if self.display_missing else ()
        return replace(reading, timing=timing, quality=Quality(hints=self.hints + missing))


def run(config: Config, ready: Callable[[Mapping[str, str | int | None]], None], stop: threading.Event) -> None:
    """Body of the reader process: calls *ready* when both children are warm, reads until *stop*.

    The caller holds the lock that makes it the only reader of this state.
    """
    state = StateDir(config.state.dir)
    clinical = Clinical(state.clinical_db)
    clinical.require()
    relay = Relay.of(config, state, clinical)
    reader = Reader(config, state, clinical)
    try:
        ready(reader.warm())
        _watch(reader, clinical, relay, config, stop)
    finally:
        reader.close()
        if relay is not None:
            relay.close()
        clinical.database.close()


def _watch(reader: Reader, clinical: Clinical, relay: Relay | None, config: Config, stop: threading.Event) -> None:
    """Read whatever comes; a look at `PRAGMA data_version` is all that an idle box costs."""

    def conclude() -> None:
        clinical.close_revisions(config.reader.quiet_seconds, report=config.uplink.enabled)
        if relay is not None:
            relay.step()

    seen, looked = None, 0.0
    while not stop.is_set():
        mark = clinical.database.change_mark()
        if mark != seen:
            while not stop.is_set() and reader.step():
                conclude()
            seen = mark
        if (relay is not None and relay.called()) or time.monotonic() - looked > _LOOK_SECONDS:
            reader.warm()
            conclude()
            looked = time.monotonic()
        stop.wait(POLL_SECONDS)


def _packs(config: Config) -> list[Pack]:
    """Every usable pack of the box by name; one that cannot be used is named in the log and left out."""
    folder = config.packs.dir or shipped_packs_dir()
    found: list[Pack] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / FILE_NAME).is_file():
            try:
                found.append(Pack.load(path))
            except PackError as error:
                log.error("%s", error)
    return found
