"""The whole line under attack: a real sender, `lantern serve`, and a power cut or kill -9 at any instant."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil

from firmware_app.device import presence
from firmware_app.store.clinical import Clinical
from firmware_app.store.layout import StateDir
from tests import toy_pack
from tests.box import Served, served
from tests.faults.loopfs import loop_file_system
from tests.films import save
from tests.peers import peer
from tests.reading_rig import tiny_film, until

CUT_IMAGES = 50
KILL_IMAGES = 100
KILLS = 16
VICTIMS = ("--only gateway", "--only reader", "decode_child", "inference_child")


def settings(packs: Path) -> dict[str, str]:
    return {"LANTERN_PACKS__DIR": str(packs), "LANTERN_READER__PRECISION": "fp32"}


class Modality:
    """dcmtk's storescu with the films it has to send, one association each."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir()
        films = [tiny_film(number) for number in range(count)]
        self.uids = [str(film.SOPInstanceUID) for film in films]
        self._paths = [save(folder, f"{number}.dcm", film) for number, film in enumerate(films)]
        self._storescu = peer("storescu")

    def store(self, number: int, port: int) -> bool:
        """Send film *number*; True only when it was acknowledged with success."""
        command = [
            self._storescu,
            "-v",
            "-to",
            "5",
            "-ta",
            "5",
            "-td",
            "5",
            "127.0.0.1",
            str(port),
            str(self._paths[number]),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return "Received Store Response (Success)" in done.stdout + done.stderr


def statuses(state: Path) -> list[tuple[str, str]]:
    """(SOP Instance UID, reading status) of every reading; counts a second reading of one image too."""
    clinical = Clinical(StateDir(state).clinical_db)
    try:
        rows = clinical.database.connection.execute(
            "SELECT i.sop_uid, json_extract(r.body, '$.status') FROM readings r JOIN instances i"
            " ON i.reference = json_extract(r.body, '$.instances[0]') ORDER BY i.sequence"
        ).fetchall()
        return [(row[0], row[1]) for row in rows]
    finally:
        clinical.database.close()


def waiting(state: Path) -> int:
    """How many images wait to be read."""
    clinical = Clinical(StateDir(state).clinical_db)
    try:
        return clinical.counts().waiting
    finally:
        clinical.database.close()


def test_fifty_of_fifty_acknowledged_images_are_read_after_a_power_cut(tmp_path: Path) -> None:
    packs = toy_pack.write_both(tmp_path / "packs")
    with loop_file_system(tmp_path) as disk:
        state = disk.mount / "state"
        modality = Modality(tmp_path / "films", CUT_IMAGES)
        with served(state, **settings(packs)) as box:
            box.wait_ready()
            assert all(modality.store(number, box.ready["gateway"]["port"]) for number in range(CUT_IMAGES))
            disk.cut_power()
            family = psutil.Process(box.process.pid).children(recursive=True)
            box.process.kill()
            for member in family:
                member.kill()
            psutil.wait_procs(family, timeout=20)
        disk.restore_power()
        with served(state, **settings(packs)) as box:
            box.wait_ready()
            until(lambda: waiting(state) == 0)
        read = statuses(state)
        assert [uid for uid, _ in read] == modality.uids
        assert [status for _, status in read] == ["read"] * CUT_IMAGES


class Killer(threading.Thread):
    """Kills -9 a random process of the box every 0.4 to 1.2 s, *kills* times."""

    def __init__(self, box: Served, chance: random.Random) -> None:
        super().__init__()
        self._box, self._chance = box, chance
        self.enough = threading.Event()
        self.struck = dict.fromkeys(VICTIMS, 0)

    def run(self) -> None:
        while sum(self.struck.values()) < KILLS and not self.enough.wait(0.4 + 0.8 * self._chance.random()):
            self._strike(self._chance.choice(VICTIMS))

    def _strike(self, victim: str) -> None:
        for process in psutil.Process(self._box.process.pid).children(recursive=True):
            try:
                if victim in " ".join(process.cmdline()):
                    os.kill(process.pid, signal.SIGKILL)
                    self.struck[victim] += 1
                    return
            except (psutil.Error, ProcessLookupError):
                continue


def test_a_hundred_images_through_random_kills_have_one_final_reading_each(tmp_path: Path) -> None:
    seed = int(os.environ.get("LANTERN_SEED") or random.SystemRandom().randrange(10**6))
    print(f"LANTERN_SEED={seed}")
    packs = toy_pack.write_both(tmp_path / "packs")
    state = tmp_path / "state"
    modality = Modality(tmp_path / "films", KILL_IMAGES)
    with served(state, **settings(packs)) as box:
        box.wait_ready()
        killer = Killer(box, random.Random(seed))
        killer.start()
        deadline = time.monotonic() + 120
        for number in range(KILL_IMAGES):
            while not modality.store(number, port_of(state)):  # as a modality does: send again until it is acknowledged
                assert time.monotonic() < deadline, "the box did not come back"
            if killer.is_alive():
                time.sleep(0.1 if number % 2 else 0.0)  # spreads the images over the kills
        killer.join(timeout=60)
        killer.enough.set()
        until(lambda: waiting(state) == 0)
    read = statuses(state)
    assert sorted(uid for uid, _ in read) == sorted(modality.uids)
    assert sum(killer.struck.values()) == KILLS
    gave_up = sum(status == "cannot-judge" for _, status in read)
    assert gave_up * 2 <= KILLS  # an image is set aside only after two children died over it


def port_of(state: Path) -> int:
    """The gateway's port; after a restart on port 0 it is another one."""
    until(lambda: presence.announcement(StateDir(state), "gateway") is not None)
    told = presence.announcement(StateDir(state), "gateway")
    return int(told["port"] or 0) if told else 0  # killed between the two lines: nothing listens on 0
