"""The reader: takes waiting instances from clinical.db, has them decoded and inferred, and writes one reading for each.

No image can stop it: a deterministic refusal is final at once, a child that dies or times out costs one try, and two
lost children put the image into quarantine.  After a kill at any moment, the next reader continues from the database.
A fault of the box (no working pack, a full disk) gives no reading: the images wait until it is repaired.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from firmware_app.cases.clinical_db import Claim, ClinicalDatabase
from firmware_app.cases.errors import READER_GAVE_UP, DecodeGaveUp, InferenceGaveUp
from firmware_app.core.child_process import ChildLost
from firmware_app.core.records import Case, FollowUp, FramesRead, LocalState, Priority, Reading, ReadingStatus, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.errors import CannotJudge
from firmware_app.imaging import image_limits
from firmware_app.imaging.errors import NoPixels
from firmware_app.monitoring.errors import PACK_UNFIT_HERE
from firmware_app.packs.errors import PACK_UNKNOWN
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.pack_store import PackStore
from firmware_app.reading import hints, reader_steps, routing
from firmware_app.reading import reader_steps as attempts
from firmware_app.reading.benchmark import VariantBenchmark
from firmware_app.reading.decoder import DecodedImage, DecodeOptions, Decoder
from firmware_app.reading.errors import EXPLAIN_SHORTCUT, NO_PACK_INSTALLED
from firmware_app.reading.faults import FaultLog, WriteRetry
from firmware_app.reading.inference import Inference, InferenceResult, NotJudged, PackUnusable
from firmware_app.reading.local_calibration import LocalCalibration
from firmware_app.reading.reader_steps import ClipCompletion, ReadingAttempt
from firmware_app.reading.trial_runner import TrialRunner

log = logging.getLogger("lantern.reader")

MOST_CLAIMS: Final = 5
"""Of an image that has lost a child before: hostile files are caught by `MOST_FAILURES`, since children die of them."""
MOST_CLAIMS_ALONE: Final = 100
"""Of one that never has.  Power cuts count too, so it only keeps a bug of ours from blocking the queue."""
MOST_FAILURES: Final = 2
RETRY_SECONDS: Final = 30.0  # between looks at the packs while none works
RETRY_WHILE_OTHERS_WORK_SECONDS: Final = 600.0  # each look may cost the working ones up to two load times


class Reader:
    """Reads what waits.  `step` reads one instance; `run` is the process around it.

    To be used in one thread, which must live as long as the reader (see `child.Child`).
    """

    def __init__(
        self,
        config: Config,
        state: StateDir,
        clinical: ClinicalDatabase,
        forced: str | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """*forced* names the pack for images that do not say what they show; raises `PACK_UNKNOWN`.

        *stop* makes it a box's reader, which waits for a pack that works and a disk that takes its readings.  Without
        one it is a single run, which says of each image that no pack works and fails when it cannot write.
        """
        self._config, self._state, self._clinical, self._forced = config, state, clinical, forced
        self._waits = stop is not None
        self.patience = WriteRetry(state, clinical.database, stop)
        self._faults = FaultLog()
        packs = _load_packs(config, self._faults)
        if forced is not None and forced not in {pack.name for pack in packs}:
            raise PACK_UNKNOWN(pack=forced)
        self.decoder = Decoder(config.reader.memory_mb, config.reader.decode_seconds)
        self.inference = Inference(packs, config, self._faults)
        self.clips = ClipCompletion(state, clinical, self.decoder)
        self._measuring = VariantBenchmark(self.inference, config, state, self._faults) if self._waits else None
        self._looked = time.monotonic()
        self._local = LocalCalibration(clinical, config)
        self._load_rules()
        self.trials = TrialRunner(config, state, clinical, self._list_serving) if self._waits else None

    def warm(self) -> Mapping[str, str | int | None]:
        """Return when both children are ready, with what the reader says of itself; raises `ChildWillNotStart`."""
        self.inference.warm()
        self.decoder.warm()
        spoken = (
            f"{who.name} {who.version} ({who.runtime} {who.precision})" for who in self.inference.identities.values()
        )
        return {"packs": ", ".join(spoken), "decode_pid": self.decoder.pid, "inference_pid": self.inference.pid}

    def step(self, case: str | None = None) -> bool:
        """Take the oldest waiting instance (of *case*) one try further; False when none waits, or all must wait on.

        Raises `ChildWillNotStart`, before any image has been claimed for it, and `Stopped`.
        """
        self.inference.warm()
        self.decoder.warm()
        if self._is_at_fault():
            return False
        claim = self.patience.execute(lambda: self._clinical.claim(case))
        if claim is None:
            return False
        attempt = ReadingAttempt(claim.instance, time.perf_counter())
        if self._measuring is not None:
            self._measuring.interrupt()
        if self.trials is not None:
            self.trials.pause()
        if claim.claims > (MOST_CLAIMS if claim.failures else MOST_CLAIMS_ALONE):
            self._finish(attempt, attempt.build_refusal(READER_GAVE_UP(claims=claim.claims - 1)))
            return True
        try:
            reading = self._read_instance(claim, attempt)
        except ChildLost as lost:
            self._record_failure(attempt, lost)
        except PackUnusable:
            if self._is_at_fault():
                return False
            self._finish(attempt, attempt.build_refusal(NO_PACK_INSTALLED()))
        else:
            self._finish(attempt, reading)
        return True

    def advise(self, case: Case, known: Collection[str]) -> FollowUp | None:
        """What should follow for *case*, by the rules in its packs; *known*: the facts about the patient."""
        return reader_steps.advise_follow_up(case, self._manifests, known)

    def list_facts(self) -> tuple[str, ...]:
        """The codes of all facts about a patient that the rules of the working packs ask for."""
        rules = [manifest.follow_up for manifest in self._manifests.values() if manifest.follow_up is not None]
        return tuple(dict.fromkeys(fact.code for rule in rules for fact in rule.background))

    def list_packs(self) -> list[tuple[str, str]]:
        """Name and version of each pack that works."""
        return [(name, manifest.version) for name, manifest in self._manifests.items()]

    def retry_packs(self) -> bool:
        """Now and then, try again what cannot be used, packs that were put there since included; True on a change."""
        before = self.inference.identities
        pause = RETRY_WHILE_OTHERS_WORK_SECONDS if before else RETRY_SECONDS
        if self.inference.is_complete() or time.monotonic() - self._looked < pause:
            return False
        self.inference.add_packs(_load_packs(self._config, self._faults))
        if self._measuring is not None:
            self._measuring.reload_results()
        self._load_rules()
        self.inference.warm()
        self._looked = time.monotonic()
        if self.inference.is_complete():
            self._faults.reset()
        return self.inference.identities != before

    def advance_benchmark(self) -> bool:
        """While nothing waits: find the fastest right runtime, a little at each call; True when another one speaks."""
        return self._measuring is not None and self._measuring.advance()

    def close(self) -> None:
        """End the children."""
        if self._measuring is not None:
            self._measuring.close()
        if self.trials is not None:
            self.trials.close()
        self.decoder.close()
        self.inference.close()

    def _list_serving(self) -> Mapping[str, Manifest]:
        return self._manifests

    def _is_at_fault(self) -> bool:
        """Whether no pack works and images are to wait for that."""
        if not self._waits or self.inference.identities:
            return False
        self._faults.report(str(NO_PACK_INSTALLED()))
        return True

    def _load_rules(self) -> None:
        self._manifests = {name: pack.manifest for name, pack in sorted(self.inference.packs.items())}
        store = PackStore.from_config(self._config)
        self._rules = routing.list_candidates(self.inference.packs.values(), self._config, store)

    def _read_instance(self, claim: Claim, attempt: ReadingAttempt) -> Reading:
        instance = claim.instance
        try:
            chosen = routing.route(
                instance.header, self._rules, self._config.box.usual_population, self._forced, instance.entered
            )
        except NoPixels as error:
            return attempt.build_refusal(error)
        except CannotJudge as error:
            return attempt.build_refusal(self._render_display(attempt) or error)
        attempt.hints += chosen.hints
        here = self._local.find_local_model(self._manifests[chosen.pack], instance.header)
        if self._local.is_suspended(here):
            refusal = self._render_display(attempt) or Reason.from_error(PACK_UNFIT_HERE(pack=chosen.pack))
            return replace(attempt.build_refusal(refusal), local=LocalState.SUSPENDED)
        attempt.chosen = here
        decoded = self._decode(attempt, chosen.pack)
        if isinstance(decoded, Reason):
            attempt.hints += hints.list_pixel_hints(self.decoder.hints)
            return attempt.build_pack_refusal(chosen.pack, decoded)
        frames = 1 if self._manifests[chosen.pack].input.depth is not None else decoded.frames  # a volume is read whole
        attempt.hints += hints.list_frame_hints(decoded.read, frames, decoded.coloured, flow=decoded.flow)
        attempt.hints += hints.list_pixel_hints(decoded.hints)
        attempt.hints += hints.list_resolution_hints(*decoded.visible_size, self._manifests[chosen.pack].input)
        attempt.watched = decoded.watched
        attempt.hints += hints.list_quality_hints(
            decoded.quality, self._manifests[chosen.pack].quality, instance.header
        )
        try:
            return self._infer(attempt, chosen.pack, decoded)
        finally:
            if not self.decoder.end():
                attempt.display_missing = True

    def _decode(self, attempt: ReadingAttempt, pack: str | None) -> DecodedImage | Reason:
        attempt.phase = DecodeGaveUp
        manifest = self._manifests[pack] if pack else None
        spec, taking = (
            (manifest.input, attempts.make_decode_options(manifest, attempt.instance))
            if manifest
            else (None, DecodeOptions())
        )
        folder = self._state.display / attempt.instance.reference
        path = self._state.root / attempt.instance.file
        attempt.hints += hints.list_file_hints(path, attempt.instance.header)
        decoded = self.decoder.begin(path, attempt.instance.header is None, spec, folder, taking)
        if isinstance(decoded, DecodedImage):
            attempt.frames = decoded.frames
            attempt.decode_ms = decoded.milliseconds
        return decoded

    def _render_display(self, attempt: ReadingAttempt) -> Reason | None:
        """Frames for people of an image that no pack may read; why not, where it cannot be opened at all."""
        decoded = self._decode(attempt, None)
        if isinstance(decoded, Reason):
            return decoded
        attempt.display_missing = not self.decoder.end()
        if not attempt.display_missing:
            attempt.hints += hints.list_pixel_hints(self.decoder.hints)
        return self.decoder.refusal

    def _infer(self, attempt: ReadingAttempt, pack: str, decoded: DecodedImage) -> Reading:
        attempt.phase = InferenceGaveUp
        folder = self._state.display / attempt.instance.reference
        begun = time.perf_counter()
        try:
            assert attempt.chosen is not None
            limits_here = self._local.find_unsure_range(attempt.chosen)
            inferred = self.inference.infer(pack, attempt.instance.reference, decoded, folder, limits_here)
        except NotJudged as refusal:
            attempt.distance, attempt.withheld = refusal.distance, refusal.withheld
            return attempt.build_refusal(refusal.error)
        finally:
            attempt.infer_ms = 1e3 * (time.perf_counter() - begun)
        attempt.display_missing = not inferred.marked
        attempt.hints += hints.list_unfamiliar_hints(decoded.read, inferred.counted)
        of_a_clip = None if self._manifests[pack].input.depth is not None else _list_frames_read(decoded, inferred)
        attempt.distance = inferred.distance
        findings, local = self._local.apply_thresholds(attempt.chosen, inferred.findings)
        share, _ = hints.find_outside_share(findings, inferred.beside)
        if share >= image_limits.OUTSIDE_REFUSAL_SHARE:
            return attempt.build_refusal(EXPLAIN_SHORTCUT(pack=pack, percent=round(100 * share)))
        attempt.hints = hints.list_outside_hints(findings, inferred.beside) + attempt.hints
        others = self._manifests[pack].not_looked_for
        reading = replace(
            attempt.build_reading(findings, inferred.lesions, inferred.identity, of_a_clip),
            local=local,
            not_looked_for=others.by_language() if others is not None else {},
        )
        rules = self._manifests[pack].follow_up
        return replace(reading, background=rules.find_facts(decoded.diagnoses)) if rules is not None else reading

    def _record_failure(self, attempt: ReadingAttempt, lost: ChildLost) -> None:
        failures = self.patience.execute(lambda: self._clinical.record_failure(attempt.instance.reference))
        log.warning("a child was lost over an image, try %d (%s)", failures, lost.detail)
        if failures >= MOST_FAILURES:
            self._finish(attempt, attempt.give_up(lost, self._config.reader.memory_mb))

    def _finish(self, attempt: ReadingAttempt, reading: Reading) -> None:
        complete, priority = attempt.complete(reading), self._find_priority(reading)
        chosen = attempt.chosen
        sampling = (
            self._local.build_sampling(chosen, complete, attempt.distance, attempt.watched, attempt.withheld)
            if chosen is not None
            else None
        )
        self.patience.execute(lambda: self.clips.add(attempt.instance.reference, attempt.frames))
        self.patience.execute(lambda: self._clinical.finish(attempt.instance, complete, priority, sampling))
        if chosen is not None and (trials := self.trials) is not None:
            self.patience.execute(lambda: trials.add_image(attempt.instance, complete, chosen.manifest))

    def _find_priority(self, reading: Reading) -> Priority:
        """That of the most urgent positive finding, as its pack's manifest has it."""
        if reading.pack is None or reading.status is ReadingStatus.CANNOT_JUDGE:
            return Priority.CANNOT_JUDGE
        urgencies = {spec.code: Priority(spec.priority) for spec in self._manifests[reading.pack.name].findings}
        positive = [urgencies[finding.code] for finding in reading.findings if finding.positive]
        return min(positive, key=list(Priority).index, default=Priority.ROUTINE)


def _list_frames_read(decoded: DecodedImage, inferred: InferenceResult) -> FramesRead | None:
    """Which frames of a clip the findings are about; None for a film."""
    if decoded.frames == 1:
        return None
    strongest = {code: decoded.read[at] for code, at in inferred.strongest.items()}
    weights, counted = decoded.weights, inferred.counted
    return FramesRead(
        decoded.frames,
        tuple(decoded.read[at] for at in counted),
        strongest,
        tuple(weights[at] for at in counted) if weights else (),
        decoded.rate_hz,
    )


def _load_packs(config: Config, faults: FaultLog) -> list[Pack]:
    """Every usable pack of the box by name; one that cannot be used is named in the log and left out."""
    shelf = PackStore.from_config(config).survey()
    for error in shelf.broken:
        faults.report(str(error))
    return list(shelf.packs)
