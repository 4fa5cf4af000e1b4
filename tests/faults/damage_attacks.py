"""A page of clinical.db turns to noise on the disk: found at the next start, set aside, made again from the files.

Every other time the box is not stopped before, but killed in the middle of its work, with a log full of commits.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from firmware_app.appliance import rescue_report
from tests.faults.clinic import wait_until
from tests.faults.scene import REST_S, AttackRun, Outcome, Scene, run_attack, run_workers

NAME = "damaged database"
_PAGE = 4096
_FILMS = 4
_LOAD_S = 30.0


def damage_pages(scene: Scene, times: int) -> Outcome:
    """*times* a few pages become noise while the box is off, and *times* after a kill under load.

    Every image is there afterwards and has a reading.
    """
    room = scene.room("damage")
    with run_attack(scene, "damage", room / "state", line=True, room=room) as play:
        play.reads_again = True
        wanted = 0
        for number in range(2 * times):
            scene.say(f"{NAME}: {number + 1} of {2 * times}")
            play.clinic.start()
            play.clinic.ready("gateway")
            if number % 2:
                wanted += _kill_under_load(play)
            else:
                play.send(_FILMS)
                play.wait_settled()
                play.clinic.stop()
                wanted += _spoil(play)
        play.wait_settled()
        rescues = _check_rescues(play, wanted)
        play.conclude()
        play.tracebacks()
        play.outcome.restarts = 0  # those here are the technician's
        play.outcome.strikes = (
            f"{2 * times} times noise in clinical.db, {times} of them after kill -9 under load; "
            f"{wanted} times that was damage, {rescues} rescues"
        )
        play.outcome.attack = NAME
    return play.outcome


def _kill_under_load(play: AttackRun) -> bool:
    """kill -9 of all while films come and are read, noise, and the box goes on; whether the noise was damage."""
    before = len(play.ledger.snapshot())
    sender = play.modality(2 * _FILMS)
    with run_workers(sender):
        wait_until(lambda: len(play.ledger.snapshot()) > before, _LOAD_S, "the first film is acknowledged")
        time.sleep(play.chance.uniform(0.0, 1.0))  # the random instant itself
        play.clinic.kill()
        damaged = _spoil(play)
        play.clinic.start()
        sender.join(2 * REST_S)
    play.wait_settled()
    play.clinic.stop()
    return damaged


def _spoil(play: AttackRun) -> bool:
    """Noise in a few pages; whether it is damage, for noise in a free page or in one that the log replaces is none."""
    path = play.clinic.state.clinical_db
    pages = path.stat().st_size // _PAGE
    with path.open("r+b") as database:
        for _ in range(play.chance.randint(1, 4)):
            database.seek(play.chance.randrange(pages) * _PAGE)
            database.write(os.urandom(_PAGE))
    return _is_damaged(path)


def _is_damaged(path: Path) -> bool:
    """What SQLite says of a copy: looking at the file itself would change its log."""
    with tempfile.TemporaryDirectory() as folder:
        for name in (path.name, f"{path.name}-wal"):
            if path.with_name(name).exists():
                shutil.copy(path.with_name(name), folder)
        connection = sqlite3.connect(Path(folder) / path.name)
        try:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        except sqlite3.DatabaseError:
            return True
        finally:
            connection.close()


def _check_rescues(play: AttackRun, wanted: int) -> int:
    """Each damage is found, the damaged file is kept, and what was lost is written down."""
    rescues = list(rescue_report.list_reports(play.clinic.state))
    if len(rescues) < wanted:
        play.outcome.unexpected.append(f"{wanted - len(rescues)} damages were not found")
    for folder, report in rescues:
        if not (folder / report.database).exists():
            play.outcome.unexpected.append("a damaged database was not kept")
    return len(rescues)
