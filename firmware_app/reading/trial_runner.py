"""Trials of new pack versions, and the pack changes that a person requests on the page.

`packs.installer` puts a link on the disk; that link is the trial. The reader gives it a row, its images and a
`ShadowReader`, one trial at a time. The next look repairs what was cut off between link and row.

A person may go back to the version before, or commit or drop a trial. The reader makes these changes between two
images, since it alone knows that no image is being read with the version to be left. Then it ends and starts anew with
the other version.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.pack_changes import BOX, PackAction, PackChange, PackChanges, PackTrial, PackTrials, TrialState
from firmware_app.core.database import Database
from firmware_app.core.records import Instance, Reading, ReadingStatus, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs.errors import PackBusy, PackDiskFull, PackError, PackFolderUnusable, PackNotOnTrial
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.offers import parse_version
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.pack_store import PackStore
from firmware_app.reading.errors import EXPLAIN_SHORTCUT, IMAGE_UNFAMILIAR, PACK_UNSURE
from firmware_app.reading.reader_steps import UNFIT
from firmware_app.reading.shadow_reader import ShadowReader

log = logging.getLogger("lantern.reader")

_BY_THE_PACK: Final = UNFIT | {IMAGE_UNFAMILIAR.code, PACK_UNSURE.code, EXPLAIN_SHORTCUT.code}
"""Reasons for which a pack gives no number; with any other, nothing is learnt from the image."""
_AGAIN_S: Final = 30.0


class TrialRunner:
    """What the reader does for trials.  *serving* tells the manifests that it works with, by name."""

    def __init__(
        self, config: Config, state: StateDir, clinical: ClinicalDatabase, serving: Callable[[], Mapping[str, Manifest]]
    ) -> None:
        self._config, self._state, self._clinical, self._serving = config, state, clinical, serving
        self._store, self._trials = PackStore.from_config(config), PackTrials(clinical.database)
        self._running: dict[str, PackTrial] = {}
        self._shadow: ShadowReader | None = None
        self._mark: object = None
        self._found: dict[str, str] | None = None
        self._due = 0.0
        self.advance()  # what a trial is to see begins with the first image

    def add_image(self, instance: Instance, reading: Reading, manifest: Manifest) -> None:
        """The serving version has read *instance*: the version on trial reads it too, when nothing waits."""
        trial = self._running.get(manifest.name)
        judged = reading.status is ReadingStatus.READ or (
            reading.reason is not None and reading.reason.code in _BY_THE_PACK
        )
        if trial is not None and judged and manifest.version == trial.before:
            most = self._config.packs.trial_images
            self._trials.add(trial, instance, reading, manifest.findings[0].code, most)

    def pause(self) -> None:
        """An image has come: it has the box to itself."""
        if self._shadow is not None:
            self._shadow.pause()

    def advance(self) -> bool:
        """While no image waits: begin, go on with and end trials, without waiting.

        True when another version serves now, so that the reader must start anew.
        """
        if self._shadow is not None:
            self._shadow.resume()
        if time.monotonic() < self._due:
            return False
        try:
            return self._sync_rows() or self._finish_trial()
        except (PackBusy, PackDiskFull, PackFolderUnusable, sqlite3.OperationalError) as error:
            log.warning("a trial waits (%s)", type(error).__name__)
            self._due, self._mark = time.monotonic() + _AGAIN_S, None
            return False

    def list_codes(self) -> list[str]:
        """Codes of the versions that were left by themselves, for the health summary."""
        return self._trials.list_codes()

    def close(self) -> None:
        """End what is under way; the next reader goes on with it."""
        if self._shadow is not None:
            self._shadow.close()
        self._shadow = None

    # --- the disk and the rows ---------------------------------------------------------------------------------------

    def _sync_rows(self) -> bool:
        """Bring rows and links together where the folder of packs has changed; True when another version serves."""
        try:
            mark = self._store.installed.stat().st_mtime_ns, self._store.trials()
        except OSError:  # nothing was installed yet
            mark = 0, {}
        if mark == self._mark:
            return False
        versions = {pack.name: pack.manifest.version for pack in self._store.survey().packs}
        for name, number in mark[1].items():
            self._reconcile(name, number, versions.get(name))
        running = {name: one for name, one in self._trials.all().items() if one.is_running}
        for name, trial in running.items():
            if self._store.find_trial_version(name) is None:  # cut off between link and row, or ended at the console
                self._close_row(trial, versions.get(name))
        self._running = {name: one for name, one in self._trials.all().items() if one.is_running}
        if self._shadow is not None:
            now = self._running.get(self._shadow.trial.pack)
            if now is None or (now.mark, now.before) != (self._shadow.trial.mark, self._shadow.trial.before):
                self.close()
        if self._shadow is None:
            self._start()
        changed = self._found not in (None, versions)  # installed, gone back from or removed at the console
        self._mark, self._found = mark, versions
        loaded = {name: manifest.version for name, manifest in self._serving().items()}
        return changed or any(
            name in loaded and versions.get(name, loaded[name]) != loaded[name]
            for name, one in self._trials.all().items()
            if one.state is TrialState.COMMITTED
        )

    def _reconcile(self, name: str, mark: int, serving: str | None) -> None:
        from firmware_app.packs import installer  # with all of TUF: most readers never need it

        version, row = self._store.find_trial_version(name), self._trials.find_trial(name)
        if version is None:
            return
        if serving is None or parse_version(version) <= parse_version(serving):
            if row is not None and row.is_running:
                self._close_row(row, serving)
            installer.drop_trial(self._store, name)
        elif row is not None and row.mark == mark and not row.is_running:
            installer.drop_trial(self._store, name)
        elif row is None or row.mark != mark or row.before != serving:
            self._trials.begin(name, version, serving, mark)

    def _close_row(self, trial: PackTrial, serving: str | None) -> None:
        self._trials.end(trial, TrialState.COMMITTED if serving == trial.version else TrialState.DROPPED, BOX)

    def _start(self) -> None:
        for trial in self._running.values():
            try:
                pack = Pack.load(self._store.folder_of(trial.pack, trial.version).resolve())
                pack.require_hardware()
            except PackError as error:
                self._abandon_trial(trial, error)
                continue
            log.info("%s %s is on trial beside %s", trial.pack, trial.version, trial.before)
            self._shadow = ShadowReader(trial, pack, self._config, self._state, self._clinical)
            return

    def _finish_trial(self) -> bool:
        """Do what the shadow's result calls for; True when its version serves now."""
        from firmware_app.packs import installer

        shadow = self._shadow
        if shadow is None or not shadow.is_over:
            return False
        if shadow.lost is None:
            try:
                installer.commit_trial(self._store, shadow.trial.pack)
            except (PackBusy, PackDiskFull, PackFolderUnusable):
                raise
            except PackError as error:
                shadow.lost = error
            else:
                self._trials.end(shadow.trial, TrialState.COMMITTED, BOX)
                log.warning("%s %s has passed its trial and serves now", shadow.trial.pack, shadow.trial.version)
                return True
        self._abandon_trial(shadow.trial, shadow.lost)
        self.close()
        return False

    def _abandon_trial(self, trial: PackTrial, why: PackError) -> None:
        from firmware_app.packs import installer

        log.error("%s", why)
        self._trials.end(trial, TrialState.LEFT, BOX, Reason.from_error(why))
        self._running.pop(trial.pack, None)
        with suppress(PackNotOnTrial):
            installer.drop_trial(self._store, trial.pack)


def apply_pack_changes(config: Config, database: Database) -> bool:
    """Do all that is asked for; whether another version serves now, so that the reader must load its packs anew."""
    changes, store = PackChanges(database), PackStore.from_config(config)
    changed = False
    for change in changes.list_requested():
        try:
            version = _apply_pack_change(store, change, PackTrials(database))
        except PackError as error:
            log.warning("a pack was not changed: %s", error.code)
            changes.record_outcome(change, None, Reason.from_error(error))
        except OSError as error:
            log.warning("a pack was not changed: %s", error.strerror)
            changes.record_outcome(
                change,
                None,
                Reason.from_error(PackFolderUnusable(path=str(store.installed), detail=error.strerror or "")),
            )
        else:
            changes.record_outcome(change, version, None)
            changed |= change.wish is not PackAction.DROP
    return changed


def _apply_pack_change(store: PackStore, change: PackChange, trials: PackTrials) -> str:
    """Do it, unless a reader that was killed before it had noted it did; returns the version that serves now."""
    from firmware_app.packs import installer  # with all of TUF: most readers never need it

    if change.wish is PackAction.BACK:
        if store.find_linked_version(change.pack) == change.version:
            return installer.roll_back(store, change.pack).pack.manifest.version
    elif change.wish is PackAction.DROP:
        end_trial(trials, change.pack, TrialState.DROPPED, change.actor)
        with suppress(PackNotOnTrial):
            installer.drop_trial(store, change.pack)
    elif store.find_linked_version(change.pack) != change.version:
        if store.find_trial_version(change.pack) != change.version:
            raise PackNotOnTrial(pack=change.pack)
        installer.commit_trial(store, change.pack)
        end_trial(trials, change.pack, TrialState.COMMITTED, change.actor)
    else:
        end_trial(trials, change.pack, TrialState.COMMITTED, change.actor)
    return store.find(change.pack).manifest.version


def end_trial(trials: PackTrials, pack: str, state: TrialState, actor: str) -> bool:
    """Note that a person has ended the trial of a pack; False where none runs."""
    trial = trials.find_trial(pack)
    if trial is None or not trial.is_running:
        return False
    trials.end(trial, state, actor)
    return True
