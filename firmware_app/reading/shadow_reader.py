"""Read again, with the version on trial, what the serving version has read, and decide whether it may take over.

A thread with children of its own, which are stopped (SIGSTOP) while an image waits for the serving version, so that
no image waits for them. Nothing of what they see is written for people. A kill at any moment costs at most one image's
second reading, which is then made again.
"""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import threading
import time
from contextlib import suppress
from typing import Final

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.pack_changes import PackTrial, PackTrials, TrialImage, TrialOutcome, TrialResult, find_call
from firmware_app.core.child_process import OUT_OF_TIME, ChildLost
from firmware_app.core.errors import ChildWillNotStart
from firmware_app.core.records import Instance, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.errors import CannotJudge
from firmware_app.imaging import image_limits
from firmware_app.packs import trial_rules as rules
from firmware_app.packs.errors import InferenceFailed, PackError
from firmware_app.packs.pack_folder import Pack
from firmware_app.reading import hints, routing
from firmware_app.reading import variant_trial as proof
from firmware_app.reading.decoder import Decoder
from firmware_app.reading.errors import (
    EXPLAIN_SHORTCUT,
    PACK_TRIAL_CRASHED,
    PACK_TRIAL_FAILED,
    PACK_TRIAL_STALLED,
    PACK_TRIAL_UNFIT,
    RUNTIME_HUNG,
    RUNTIME_STOPPED,
)
from firmware_app.reading.faults import FaultLog
from firmware_app.reading.inference import Inference, NotJudged, PackUnusable
from firmware_app.reading.reader_steps import UNFIT, make_decode_options

log = logging.getLogger("lantern.reader")

MOST_TRIES: Final = 2
"""Children lost over one image, by crash or stall, before the version is left: the first may be the box's fault."""
PAUSE_S: Final = 0.5
_MOST_UNREADABLE: Final = 20  # pauses in a row
_BOX_PAUSE_S: Final = 30.0  # after a fault of the box: a full disk, a child that does not start
_END_S: Final = 10.0


class ShadowReader:
    """The reading of one trial.  `is_over` and then `lost` tell the result."""

    def __init__(
        self, trial: PackTrial, pack: Pack, config: Config, state: StateDir, clinical: ClinicalDatabase
    ) -> None:
        self.trial, self._pack, self._config, self._state, self._clinical = trial, pack, config, state, clinical
        self._trials = PackTrials(clinical.database)
        self._named = {"pack": trial.pack, "version": trial.version, "before": trial.before}
        self._decoder: Decoder | None = None
        self._inference: Inference | None = None
        self._proven = self._disturbed = self._stopped = False
        self._ended = threading.Event()
        self._over = threading.Event()
        self.lost: PackError | None = None
        """Once `is_over`: why the version is left; None where it may take over."""
        self._thread = threading.Thread(target=self._run, name="trial", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def pause(self) -> None:
        """An image has come: stop the children.  What is under way is not timed, and may take longer than its limit."""
        self._disturbed = self._stopped = True
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """No image waits: go on."""
        if self._stopped:
            self._stopped = False
            self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the thread and its children."""
        self._ended.set()
        until = time.monotonic() + _END_S
        while self._thread.is_alive() and time.monotonic() < until:
            self._signal(signal.SIGKILL)
            self._thread.join(0.1)

    def _signal(self, number: signal.Signals) -> None:
        """Send it to the children; only the thread may reap them."""
        for part in (self._decoder, self._inference):
            if part is not None:
                with suppress(ProcessLookupError):
                    os.kill(part.pid, number)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        unreadable = 0
        try:
            while not self._ended.is_set() and not self.is_over:
                pause = 0.0
                try:
                    pause = 0.0 if self._step() else PAUSE_S
                    unreadable = 0
                except (ChildWillNotStart, sqlite3.OperationalError) as error:
                    log.warning("the trial of %s waits (%s)", self.trial.pack, type(error).__name__)
                    pause = _BOX_PAUSE_S
                except OSError as error:  # a bad place on the disk, under the pack or an image
                    unreadable += 1
                    log.warning("the trial of %s meets the disk (%s)", self.trial.pack, type(error).__name__)
                    pause = _BOX_PAUSE_S
                    if unreadable == _MOST_UNREADABLE:
                        self._finish(PACK_TRIAL_UNFIT(**self._named, detail=type(error).__name__))
                except Exception as error:  # a trial that ended without a word would never be over
                    log.exception("the trial of %s ended", self.trial.pack)
                    self._finish(PACK_TRIAL_UNFIT(**self._named, detail=type(error).__name__))
                self._ended.wait(pause)
        finally:
            for part in (self._decoder, self._inference):
                if part is not None:
                    part.close()
            self._clinical.database.close_thread()

    def _step(self) -> bool:
        """Go on by one image; False when there is nothing to do for now."""
        self._disturbed = False
        if self._clinical.count_unread():
            return False
        if not self._proven and not self._check_pack():
            return False
        now = self._trials.find_trial(self.trial.pack)
        if now is None or not now.is_running:
            return False
        if now.failed > rules.MOST_ERRORS:
            self._finish(PACK_TRIAL_FAILED(**self._named, images=now.failed))
            return False
        if now.images >= self._config.packs.trial_images:
            self._judge()
            return False
        image = self._trials.find_next(self.trial)
        if image is None:
            return False
        self._read(image)
        return True

    def _judge(self) -> None:
        images = self._trials.list_paired_readings(self.trial, self._pack.manifest.findings[0].code)
        if (lost := rules.find_loss(self.trial.compared_versions, images)) is not None:
            self._finish(lost)
        elif self._check_pack():  # once more: memory, disk and runtimes may not be what they were
            self._finish(None)

    def _finish(self, lost: PackError | None) -> None:
        self.lost = lost
        self._over.set()

    def _check_pack(self) -> bool:
        """Whether its golden cases are answered rightly here; where they are not, the trial is over.

        False also when an image came meanwhile.
        """
        try:
            self._pack.verify()
            results = proof.check_pack(self._pack, self._config, self._is_idle)
        except PackError as error:
            self._finish(PACK_TRIAL_UNFIT(**self._named, detail=error.code))
            return False
        if results is None:
            return False
        self._proven = bool(results) and results[-1].is_right
        if not self._proven:
            codes, detail = (
                {result.reason.code for result in results if result.reason is not None},
                proof.describe_failures(results),
            )
            if RUNTIME_STOPPED.code in codes:
                self._finish(PACK_TRIAL_CRASHED(**self._named, detail=detail))
            elif RUNTIME_HUNG.code in codes:
                self._finish(PACK_TRIAL_STALLED(**self._named, seconds=round(proof.SECONDS)))
            else:
                self._finish(PACK_TRIAL_UNFIT(**self._named, detail=detail))
        return self._proven

    def _is_idle(self) -> bool:
        return not self._ended.is_set() and not self._clinical.count_unread()

    def _read(self, image: TrialImage) -> None:
        instance = self._clinical.find_read_instance(image.instance)
        if instance is None or not (self._state.root / instance.file).exists():
            self._trials.record_result(image, TrialResult(TrialOutcome.GONE))
            return
        try:
            self._trials.record_result(image, self._read_instance(instance))
        except ChildLost as lost:
            self._record_loss(image, lost)
        except PackUnusable:
            if self._check_pack():  # else that has said why
                self._finish(PACK_TRIAL_UNFIT(**self._named, detail=InferenceFailed.code))

    def _record_loss(self, image: TrialImage, lost: ChildLost) -> None:
        late = lost.detail == OUT_OF_TIME
        if self._ended.is_set() or (late and self._disturbed):
            return  # it is read again
        log.warning("a child was lost over an image on trial (%s)", lost.detail)
        if self._trials.record_loss(image) < MOST_TRIES:
            return
        if late:
            self._finish(PACK_TRIAL_STALLED(**self._named, seconds=round(self._config.reader.infer_seconds)))
        else:
            self._finish(PACK_TRIAL_CRASHED(**self._named, detail=lost.detail))

    def _read_instance(self, instance: Instance) -> TrialResult:
        """What the version on trial says; raises `ChildLost`, `PackUnusable` or `ChildWillNotStart`."""
        manifest, box = self._pack.manifest, self._config.box
        candidates = [routing.PackCandidate(self._pack.name, manifest.route)]
        try:
            routing.route(instance.header, candidates, box.usual_population, entered=instance.entered)
        except CannotJudge as error:
            return TrialResult(TrialOutcome.CANNOT_JUDGE, code=error.code)
        decoder, inference = self._start_children()
        path, is_picture = self._state.root / instance.file, instance.header is None
        decoded = decoder.begin(path, is_picture, manifest.input, None, make_decode_options(manifest, instance))
        if isinstance(decoded, Reason):
            return TrialResult(
                TrialOutcome.CANNOT_JUDGE if decoded.code in UNFIT else TrialOutcome.FAILED, code=decoded.code
            )
        inference.warm()
        begun = time.perf_counter()
        try:
            inferred = inference.infer(self._pack.name, instance.reference, decoded, None)
        except NotJudged as refusal:
            failed = refusal.error.code == InferenceFailed.code
            return TrialResult(TrialOutcome.FAILED if failed else TrialOutcome.CANNOT_JUDGE, code=refusal.error.code)
        taken_ms = None if self._disturbed else 1e3 * (time.perf_counter() - begun)
        if hints.find_outside_share(inferred.findings, inferred.beside)[0] >= image_limits.OUTSIDE_REFUSAL_SHARE:
            return TrialResult(TrialOutcome.CANNOT_JUDGE, ms=taken_ms, code=EXPLAIN_SHORTCUT.code)
        called, score = find_call(inferred.findings, manifest.findings[0].code)
        return TrialResult(TrialOutcome.READ, called, score, taken_ms)

    def _start_children(self) -> tuple[Decoder, Inference]:
        settings = self._config.reader
        if self._decoder is None:
            self._decoder = Decoder(settings.memory_mb, settings.decode_seconds)
        if self._inference is None:
            self._inference = Inference([self._pack], self._config, FaultLog())
        return self._decoder, self._inference
