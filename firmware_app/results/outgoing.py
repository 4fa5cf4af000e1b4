"""Make the objects of the cases that are due, queue them for the archives, and lay them out for DICOMweb.

The objects lie in ``outgoing/CASE-VERSION/`` until every archive that wants them has them. They are renamed into that
folder whole and before their rows exist. Making them again gives the same UIDs and bytes (`cases.result_versions`).

Objects for viewers lie in ``results/``, from where the gateway serves them over DICOMweb. A file lies there, with its
description beside it, before its row exists, and is removed after its row.

In both places a kill leaves at most files without rows, which the next start removes.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import NotReadYet
from firmware_app.core import disk
from firmware_app.core.database import Database
from firmware_app.core.errors import DiskTrouble, LanternError
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, DicomwebSection
from firmware_app.core.state_dir import StateDir, make_directory, sync_directory
from firmware_app.dicom.dicomweb import OfferedResult
from firmware_app.dicom.peers import list_archives
from firmware_app.results import due_cases
from firmware_app.results.archive_queue import QueuedObject, SendingQueue
from firmware_app.results.case_view import CaseView, gather_numbered_view
from firmware_app.results.dicom_objects.dicomweb_metadata import METADATA_SUFFIX
from firmware_app.results.due_cases import DueCase
from firmware_app.results.errors import PacsQueueFull
from firmware_app.results.offered_results import DICOMWEB_QUEUE, OfferedResults
from firmware_app.results.rendering import render_objects

_MB = 1_000_000


class ViewerResults:
    """What one box offers.  Used by one thread."""

    def __init__(self, state: StateDir, database: Database, settings: DicomwebSection) -> None:
        self._root, self._offered, self._settings = state.results, OfferedResults(database), settings

    @property
    def names(self) -> tuple[str, ...]:
        """Its name in the queue; none where viewers are given nothing."""
        return (DICOMWEB_QUEUE,) if self._settings.serves_results else ()

    def offer(self, case: str, version: int, files: Sequence[Path]) -> None:
        """Offer the objects in *files*, each with its description beside it, instead of the case's earlier ones."""
        folder = self._root / case
        make_directory(folder)
        made = [_link_object(path, folder) for path in files]
        for changed in (folder, self._root):
            sync_directory(changed)
        self._offered.put(case, version, made)
        self._offered.limit_bytes(self._settings.results_mb * _MB)
        self.remove_unoffered_files()

    def remove_unoffered_files(self) -> None:
        """Remove the files of what is offered no more."""
        if not self._settings.serves_results and self._offered.list_files():
            self._offered.withdraw_all()
        there = {str(path.relative_to(self._root)) for path in self._root.glob("*/*.dcm")}
        for name in there - self._offered.list_files():
            remove_object(self._root / name)


def remove_object(path: Path) -> None:
    """Remove an object, its description, and its folder when nothing else is in it."""
    path.unlink(missing_ok=True)
    path.with_suffix(METADATA_SUFFIX).unlink(missing_ok=True)
    if not any(path.parent.iterdir()):
        path.parent.rmdir()


def _link_object(path: Path, folder: Path) -> OfferedResult:
    described = path.with_suffix(METADATA_SUFFIX)
    said = json.loads(described.read_text("utf-8"))
    attributes = said["attributes"]
    study, series, sop = (attributes[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
    target = folder / f"{sop}{path.suffix}"
    for source in (path, described):
        with suppress(FileExistsError):  # under one UID are the same bytes always
            os.link(source, target.with_suffix(source.suffix))
    size = target.stat().st_size + target.with_suffix(METADATA_SUFFIX).stat().st_size
    return OfferedResult(
        case=folder.name,
        study_uid=study,
        series_uid=series,
        sop_instance_uid=sop,
        file=f"{folder.name}/{target.name}",
        bytes=size,
        attributes=attributes,
        bulk=said["bulk"],
    )


log = logging.getLogger("lantern.sender")

_MAKING: Final = ".making"
_TRY_AGAIN_S: Final = 300.0
_FULL_S: Final = 30.0


@dataclass
class OutgoingResults:
    """The making of one box's outgoing objects.  Used by one thread."""

    config: Config
    state: StateDir
    clinical: ClinicalDatabase
    now: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    """How often each due case had changed, and since when it has not changed again."""
    _failed: dict[str, tuple[int, float]] = field(default_factory=dict)
    _full_since: float = float("-inf")

    def __post_init__(self) -> None:
        self._queue = SendingQueue(self.clinical.database)
        self._wanted = {peer.name: peer.kinds for peer in list_archives(self.config) if peer.kinds}
        self._offering = ViewerResults(self.state, self.clinical.database, self.config.dicomweb)

    def begin(self) -> None:
        """At the start: make the archives known (`SendingQueue.set_archives`), and remove what a killed process
        left."""
        places = {peer.name: peer.address for peer in list_archives(self.config) if peer.kinds}
        self._queue.set_archives(places | dict.fromkeys(self._offering.names, ""))
        for name, kinds in self._wanted.items():
            self._queue.give_up_other_kinds(name, kinds)
        shutil.rmtree(self.state.outgoing / _MAKING, ignore_errors=True)
        self.remove_delivered_files()

    def step(self) -> bool:
        """Make and queue the objects of one case that is due; False when there is none."""
        if self.now() - self._full_since < _FULL_S:
            return False
        cases = due_cases.list_due_cases(self.clinical.database)
        self._seen = {case.case: self._note_change(case) for case in cases}
        for case in cases:
            if self._is_settled(case):
                self._process(case)
                return True
        return False

    def remove_delivered_files(self) -> None:
        """Remove the files that no archive has yet to get."""
        self._queue.delete_orphans()
        files = {str(path.relative_to(self.state.outgoing)) for path in self.state.outgoing.glob("*/*.dcm")}
        for name in files - self._queue.filter_needed(files):
            remove_object(self.state.outgoing / name)
        self._offering.remove_unoffered_files()

    # --- which case ------------------------------------------------------------------------------------------------

    def _note_change(self, one: DueCase) -> tuple[int, float]:
        known = self._seen.get(one.case)
        return known if known is not None and known[0] == one.changes else (one.changes, self.now())

    def _is_settled(self, one: DueCase) -> bool:
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
            refused = Reason.from_error(error)
        except LanternError as error:
            refused = Reason.from_error(error)
        except OSError as error:
            refused = Reason.from_error(disk.classify_disk_error(self.state.root, error))
        if refused is None:
            self._failed.pop(one.case, None)
            due_cases.settle_case(self.clinical.database, one)
            return
        log.warning("the results of a case wait: %s", refused.code)
        self._failed[one.case] = (one.changes, self.now())
        due_cases.record_failure(self.clinical.database, one.case, refused)

    def _make(self, one: DueCase) -> Reason | None:
        """Why the objects could not be made; None when they are in every queue."""
        view = gather_numbered_view(self.config, self.clinical, one.case)
        wanted = (*self._wanted, *self._offering.names)
        lacking = list(wanted) if one.again else self._queue.list_lacking(one.case, view.version, wanted)
        if not lacking:
            return None
        self._require_room()
        objects = self._write(view)
        if isinstance(objects, Reason):
            return objects
        archives = {name: self._wanted[name] for name in lacking if name in self._wanted}
        if len(archives) < len(lacking):
            self._offering.offer(one.case, view.version, [self.state.outgoing / made.file for made in objects])
        self._queue.put(one, view.version, objects, archives)
        log.info("a case's results are queued: %d objects for %d archives", len(objects), len(archives))
        return None

    def _write(self, view: CaseView) -> list[QueuedObject] | Reason:
        """The objects of *view*, durable below ``outgoing/``, or why not all of them could be made."""
        fresh = self.state.outgoing / _MAKING
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        made = []
        for facts in render_objects(self.config, view, fresh, described=bool(self._offering.names)):
            if isinstance(facts, Reason):
                return facts
            made.append(facts)
        folder = self.state.outgoing / f"{view.case.reference}-{view.version}"
        folder.mkdir(exist_ok=True)
        for path in fresh.iterdir():  # one that lies there already has the same bytes
            path.replace(folder / path.name)
        for changed in (folder, self.state.outgoing):
            sync_directory(changed)
        return [_parse_facts(facts, folder) for facts in made]

    def _require_room(self) -> None:
        """Raise where what waits takes more than is allowed, or the disk is about to be full."""
        used = sum(path.stat().st_size for path in self.state.outgoing.rglob("*.dcm")) // 1_000_000
        if used > self.config.pacs.queue_mb:
            raise PacsQueueFull(used_mb=used, most_mb=self.config.pacs.queue_mb)
        trouble = disk.find_disk_trouble(self.state.outgoing, self.config.retention.high_water_free_mb)
        if trouble is not None:
            raise trouble


def _parse_facts(facts: Mapping[str, object], folder: Path) -> QueuedObject:
    return QueuedObject(
        str(facts["kind"]),
        str(facts["sop_class_uid"]),
        str(facts["sop_instance_uid"]),
        f"{folder.name}/{facts['file']}",
    )
