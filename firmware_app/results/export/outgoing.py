"""Makes the objects of the cases that are due and puts them into the queues of the archives.

The objects lie in ``outgoing/CASE-VERSION/`` until every archive that wants them has them.  They are renamed into it
whole and before their rows exist, so a kill leaves files without rows at most, which the next start removes; making
them again gives the same UIDs and bytes (`store.result_versions`).
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firmware_app.cases.clinical_db import Clinical
from firmware_app.core import disk_fault
from firmware_app.core.errors import DiskTrouble, LanternError, NotReadYet, PacsQueueFull
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, sync_directory
from firmware_app.dicom.scu.peer import peers
from firmware_app.results.dicom_objects.making_child import made_objects
from firmware_app.results.export.offering import Offering, clear
from firmware_app.results.gathering import gathered
from firmware_app.results.queue import due
from firmware_app.results.queue.due import DueCase
from firmware_app.results.queue.queue import MadeObject, SendingQueue
from firmware_app.results.result import Result

log = logging.getLogger("lantern.sender")

_MAKING: Final = ".making"
_TRY_AGAIN_S: Final = 300.0
_FULL_S: Final = 30.0


@dataclass
class Outgoing:
    """The making of one box's outgoing objects.  Used by one thread."""

    config: Config
    state: StateDir
    clinical: Clinical
    now: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    """How often each due case had changed, and since when it has not changed again."""
    _failed: dict[str, tuple[int, float]] = field(default_factory=dict)
    _full_since: float = float("-inf")

    def __post_init__(self) -> None:
        self._queue = SendingQueue(self.clinical.database)
        self._wanted = {peer.name: peer.kinds for peer in peers(self.config) if peer.kinds}
        self._offering = Offering(self.state, self.clinical.database, self.config.dicomweb)

    def begin(self) -> None:
        """At the start: make the archives known (`SendingQueue.set_up`), and remove what a killed process left."""
        places = {peer.name: peer.place for peer in peers(self.config) if peer.kinds}
        self._queue.set_up(places | dict.fromkeys(self._offering.names, ""))
        for name, kinds in self._wanted.items():
            self._queue.give_up_other_kinds(name, kinds)
        shutil.rmtree(self.state.outgoing / _MAKING, ignore_errors=True)
        self.tidy()

    def step(self) -> bool:
        """Make and queue the objects of one case that is due; False when there is none."""
        if self.now() - self._full_since < _FULL_S:
            return False
        cases = due.cases(self.clinical.database)
        self._seen = {one.case: self._since(one) for one in cases}
        for one in cases:
            if self._is_ripe(one):
                self._process(one)
                return True
        return False

    def tidy(self) -> None:
        """Remove the files that no archive has yet to get."""
        self._queue.tidy()
        files = {str(path.relative_to(self.state.outgoing)) for path in self.state.outgoing.glob("*/*.dcm")}
        for name in files - self._queue.needed(files):
            clear(self.state.outgoing / name)
        self._offering.tidy()

    # --- which case ------------------------------------------------------------------------------------------------

    def _since(self, one: DueCase) -> tuple[int, float]:
        known = self._seen.get(one.case)
        return known if known is not None and known[0] == one.changes else (one.changes, self.now())

    def _is_ripe(self, one: DueCase) -> bool:
        """Whether it has not changed for a while: a doctor says several things of a case within a minute."""
        _, since = self._seen[one.case]
        if not one.again and self.now() - since < self.config.pacs.wait_seconds:
            return False
        changes, failed = self._failed.get(one.case, (one.changes, float("-inf")))
        return changes != one.changes or self.now() - failed >= _TRY_AGAIN_S

    # --- one case --------------------------------------------------------------------------------------------------

    def _process(self, one: DueCase) -> None:
        try:
            refused = self._make(one)
        except NotReadYet:  # it has no reading; it is due again when it has
            refused = None
        except (PacsQueueFull, DiskTrouble) as error:
            self._full_since = self.now()
            refused = Reason.of(error)
        except LanternError as error:
            refused = Reason.of(error)
        except OSError as error:
            refused = Reason.of(disk_fault.named(self.state.root, error))
        if refused is None:
            self._failed.pop(one.case, None)
            due.settle(self.clinical.database, one)
            return
        log.warning("the results of a case wait: %s", refused.code)
        self._failed[one.case] = (one.changes, self.now())
        due.failed(self.clinical.database, one.case, refused)

    def _make(self, one: DueCase) -> Reason | None:
        """Why the objects could not be made; None when they are in every queue."""
        result = gathered(self.config, self.clinical, one.case)
        wanted = (*self._wanted, *self._offering.names)
        lacking = list(wanted) if one.again else self._queue.lacking(one.case, result.version, wanted)
        if not lacking:
            return None
        self._require_room()
        objects = self._write(result)
        if isinstance(objects, Reason):
            return objects
        archives = {name: self._wanted[name] for name in lacking if name in self._wanted}
        if len(archives) < len(lacking):
            self._offering.offer(one.case, result.version, [self.state.outgoing / made.file for made in objects])
        self._queue.put(one, result.version, objects, archives)
        log.info("a case's results are queued: %d objects for %d archives", len(objects), len(archives))
        return None

    def _write(self, result: Result) -> list[MadeObject] | Reason:
        """The objects of *result*, durable below ``outgoing/``, or why not all of them could be made."""
        fresh = self.state.outgoing / _MAKING
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        made = []
        for facts in made_objects(self.config, result, fresh, described=bool(self._offering.names)):
            if isinstance(facts, Reason):
                return facts
            made.append(facts)
        folder = self.state.outgoing / f"{result.case.reference}-{result.version}"
        folder.mkdir(exist_ok=True)
        for path in fresh.iterdir():  # one that lies there already has the same bytes
            path.replace(folder / path.name)
        for changed in (folder, self.state.outgoing):
            sync_directory(changed)
        return [_made(facts, folder) for facts in made]

    def _require_room(self) -> None:
        """Raise where what waits takes more than is allowed, or the disk is about to be full."""
        used = sum(path.stat().st_size for path in self.state.outgoing.rglob("*.dcm")) // 1_000_000
        if used > self.config.pacs.queue_mb:
            raise PacsQueueFull(used_mb=used, most_mb=self.config.pacs.queue_mb)
        trouble = disk_fault.trouble(self.state.outgoing, self.config.retention.high_water_free_mb)
        if trouble is not None:
            raise trouble


def _made(facts: Mapping[str, object], folder: Path) -> MadeObject:
    return MadeObject(
        str(facts["kind"]),
        str(facts["sop_class_uid"]),
        str(facts["sop_instance_uid"]),
        f"{folder.name}/{facts['file']}",
    )
