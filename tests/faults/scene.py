"""Where an attack plays and what it brings home: a box, its sender's ledger, the audit when all has come to rest."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.faults import ledger as books
from tests.faults.clinic import Clinic, wait_until
from tests.faults.ledger import Ledger, audit
from tests.faults.modality import FilmSource, Modality
from tests.faults.watcher import Peaks, Watcher, list_leftovers
from tests.wire.line_rig import HospitalRig

_RAISED = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Stopped|Lost|Full|Refused))\b", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"
REST_S = 180.0


@dataclass
class Outcome:
    """What one attack did and found; the lists of `unexpected` and the four counts must be empty."""

    attack: str
    strikes: str = ""
    acknowledged: int = 0
    attempts: int = 0
    lost: int = 0
    unread: int = 0
    read_twice: int = 0
    counted: int = 0
    uncounted: int = 0
    counted_twice: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    restarts: int = 0
    longest_outage_s: float = 0.0
    peaks: Peaks = field(default_factory=Peaks)
    temporary_files: int = 0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        broken = self.lost + self.unread + self.read_twice + self.uncounted + self.counted_twice
        return not broken and not self.unexpected


@dataclass(frozen=True)
class Scene:
    """What every attack is given."""

    folder: Path
    packs: Path
    site: HospitalRig
    seed: int
    say: Callable[[str], None]
    logs: Path | None = None  # where what the boxes said is kept

    def chance(self, attack: str) -> random.Random:
        """The attack's own dice, so that it can be repeated alone."""
        return random.Random(f"{self.seed}/{attack}")

    def room(self, attack: str) -> Path:
        """A new folder: ``attack``, and ``attack-2`` for one that is made again."""
        tries = (self.folder / (f"{attack}-{number}" if number > 1 else attack) for number in itertools.count(1))
        made = next(folder for folder in tries if not folder.exists())
        made.mkdir()
        return made


@dataclass
class AttackRun:
    """One box, its ledger and its outcome while an attack goes on."""

    scene: Scene
    clinic: Clinic
    outcome: Outcome
    ledger: Ledger
    stack: FilmSource
    chance: random.Random
    has_line: bool
    withdrawn: int = 0  # answers that came while the power was being cut
    may_give_up: int = 0  # how many images may end without a judgement because processes died over them
    unjudgeable: int = 0  # how many were sent that say too little of themselves for any pack
    reads_again: bool = False  # a rebuilt database has cases read, and revised, a second time; that is no fault then

    def modality(self, studies: int | None = None, port: int | None = None) -> Modality:
        return Modality(self.stack, port or self.clinic.port, self.ledger, self.chance, studies)

    def send(self, studies: int) -> None:
        """Send *studies* films, each until it is acknowledged."""
        sender = self.modality(studies)
        with run_workers(sender):
            sender.join()

    def check_acknowledged(self, where: Path | None = None) -> None:
        """Every acknowledged image must be there now, in databases that are whole; the box does not run."""
        acknowledged = self.ledger.snapshot()
        self.compare(where or self.clinic.state.root, acknowledged)

    def compare(self, root: Path, acknowledged: books.Digests) -> None:
        """Hold one state, the box's own or a crash image's, against what had been acknowledged."""
        audited = audit(root)
        self.outcome.lost += len(audited.lost(acknowledged))
        self.outcome.read_twice += len(audited.read_twice)
        self.outcome.unexpected += audited.damage

    def wait_settled(self, seconds: float = REST_S) -> None:
        """Start the box unless it runs, and wait until all is read and, where there is a line, counted."""
        if self.clinic.read_exit_status() is not None or not self.clinic.list_processes():
            self.clinic.start()
        self._within(
            seconds,
            "the box is ready",
            lambda: self.clinic.read_announcement("gateway") and self.clinic.read_announcement("reader"),
        )
        root = self.clinic.state.root
        self._within(seconds, "every image is read", lambda: books.count_waiting(root) == 0)
        if self.has_line:
            self._within(seconds, "the hospital has every case", self._has_counted_all)

    def conclude(self) -> None:
        """Stop the box and write down what became of everything."""
        self.clinic.stop()
        audited, acknowledged = audit(self.clinic.state.root), self.ledger.snapshot()
        out = self.outcome
        out.acknowledged, out.attempts = len(acknowledged), self.ledger.attempts
        out.lost += len(audited.lost(acknowledged))
        out.unread = len(audited.unread(acknowledged))
        out.read_twice += len(audited.read_twice) + (0 if self.reads_again else len(audited.twice_revised))
        out.unexpected += audited.damage
        if audited.given_up > self.may_give_up:
            out.unexpected.append(f"{audited.given_up} images were given up")
        if audited.unjudged - audited.given_up > self.unjudgeable:
            out.unexpected.append(f"{audited.unjudged - audited.given_up} images were not judged")
        out.refused = self.ledger.refused + Counter(audited.refused)
        out.longest_outage_s = max(out.longest_outage_s, self.ledger.longest_outage_s)
        out.restarts = max(out.restarts, self.clinic.starts - 1)
        if self.has_line:
            counted = self._list_counted()
            wanted = {audited.revisions[uid] for uid in acknowledged if uid in audited.revisions}
            out.counted = len(counted)
            out.uncounted = len(wanted - set(counted))
            out.counted_twice = len(counted) - len(set(counted) if self.reads_again else {case for case, _ in counted})
            # A case that the box does not know is the same image under another name.
            out.counted_twice += len({case for case, _ in counted} - {case for case, _ in audited.revisions.values()})

    def tracebacks(self) -> None:
        """A box that lives through the attack has no reason to print one; only the kind of error is written down."""
        said = self.clinic.log.read_text("utf-8", "replace") if self.clinic.log.exists() else ""
        for part in said.split(_TRACEBACK)[1:]:
            raised = _RAISED.search(part)
            self.outcome.unexpected.append(f"traceback: {raised[1] if raised else 'of an unknown kind'}")

    def _list_counted(self) -> list[tuple[str, int]]:
        return [(row.case, row.revision) for row in self.scene.site.inbox.list_cases() if row.box == self.clinic.name]

    def _has_counted_all(self) -> bool:
        cases = books.query_row(
            self.clinic.state.root,
            "SELECT COUNT(*) FROM cases WHERE fresh = 0 AND revision > 0",
            lambda row: int(row[0]),
        )
        unsettled = books.query_row(
            self.clinic.state.root,
            "SELECT (SELECT COUNT(*) FROM outbox) + (SELECT COUNT(*) FROM cases WHERE fresh = 1)",
            lambda row: int(row[0]),
        )
        return unsettled == 0 and cases is not None and len(self._list_counted()) >= cases

    def _within(self, seconds: float, what: str, condition: Callable[[], object]) -> None:
        try:
            wait_until(condition, seconds, what)
        except TimeoutError as late:
            self.outcome.unexpected.append(str(late))


@contextmanager
def run_attack(
    scene: Scene,
    attack: str,
    root: Path,
    *,
    line: bool,
    broker: int | None = None,
    room: Path | None = None,
    **more: str,
) -> Iterator[AttackRun]:
    """A box below *root* for one attack, watched while it lives, and dead when the block ends."""
    folder = room or scene.room(attack)
    clinic = Clinic(folder / f"box-{folder.name}", root, scene.packs, scene.site if line else None, broker, **more)
    play = AttackRun(
        scene,
        clinic,
        Outcome(attack),
        Ledger(),
        FilmSource(folder / "films", scene.chance(attack).randrange(10**6)),
        scene.chance(attack),
        line,
    )
    watcher = Watcher(lambda: clinic.list_processes().values())
    watcher.start()
    begun = time.monotonic()
    try:
        yield play
    finally:
        play.outcome.peaks = watcher.stop()
        clinic.kill()
        play.outcome.temporary_files = len(list_leftovers(clinic.temporary))
        if scene.logs is not None:
            scene.logs.mkdir(parents=True, exist_ok=True)
            shutil.copy(clinic.log, scene.logs / f"{attack}-{time.monotonic_ns()}.log")
        play.outcome.seconds = time.monotonic() - begun


class Worker(Protocol):
    """A thread of an attack that can be told to end."""

    def start(self) -> None: ...

    def stop(self) -> object: ...


@contextmanager
def run_workers(*workers: Worker) -> Iterator[None]:
    """They work through the block, and no longer, however it ends."""
    started: list[Worker] = []
    try:
        for worker in workers:
            worker.start()
            started.append(worker)
        yield
    finally:
        for worker in started:
            worker.stop()
