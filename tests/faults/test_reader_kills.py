"""Whatever is killed or hangs, every image ends with exactly one final reading, and nothing is left running."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from firmware_app.core.records import ReadingStatus
from tests import reading_rig
from tests.reading_rig import Rig

IMAGES = 40
KILLS = 10
ROLES = ("reader", "decode_child", "inference_child")


class ReaderProcess:
    """`lantern serve --only reader`, and a way to hurt it."""

    def __init__(self, box: Rig) -> None:
        environment = {
            **os.environ,
            "LANTERN_STATE__DIR": str(box.state.root),
            "LANTERN_PACKS__DIR": str(box.config.packs.dir),
            "LANTERN_READER__PRECISION": "fp32",
            "LANTERN_BOX__USUAL_POPULATION": "adult",
        }
        command = [sys.executable, "-m", "firmware_app", "serve", "--only", "reader"]
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        self._box = box
        reading_rig.wait_until(lambda: self._announced() or self._process.poll() is not None)
        assert self._process.poll() is None

    def _announced(self) -> bool:
        from firmware_app.core import run_status

        announced = run_status.read_announcement(self._box.state, "reader")
        return announced is not None and announced["pid"] == self._process.pid

    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def children(self) -> dict[str, psutil.Process]:
        """The living children by role."""
        children_by_role = {}
        for child in psutil.Process(self._process.pid).children():
            try:
                words = child.cmdline()
            except psutil.Error:
                continue
            children_by_role.update({role: child for role in ROLES if f"firmware_app.reading.children.{role}" in words})
        return children_by_role

    def kill(self) -> None:
        """kill -9, and see that its children go with it."""
        family = list(self.children().values())
        self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == [], "a child outlived the reader"


def _strike(process: ReaderProcess, role: str, box: Rig) -> ReaderProcess:
    """kill -9 whoever plays *role*; a dead reader is started again, as a supervisor does."""
    if role == "reader":
        process.kill()
        return ReaderProcess(box)
    victim = process.children().get(role)
    if victim is not None:
        victim.kill()
    return process


def test_every_image_has_one_final_reading_however_often_reader_and_children_are_killed(tmp_path: Path) -> None:
    seed = int(os.environ.get("LANTERN_SEED") or random.SystemRandom().randrange(10**6))
    print(f"LANTERN_SEED={seed}")
    chance = random.Random(seed)
    with reading_rig.rig(reading_rig.config(tmp_path)) as box:
        instances = [box.admit(reading_rig.tiny_film(number)) for number in range(IMAGES)]
        process = ReaderProcess(box)
        try:
            for strike in range(KILLS):
                left = IMAGES - (strike + 1) * IMAGES // (KILLS + 2)
                reading_rig.wait_until(lambda left=left: box.clinical.count_queue().waiting <= left)  # type: ignore[misc]
                time.sleep(chance.random() * 0.03)  # any instant within two images, not only the one after a commit
                process = _strike(process, chance.choice(ROLES), box)
            reading_rig.wait_until(lambda: box.clinical.count_queue().waiting == 0)
        finally:
            process.kill()
        judged = [box.reading(instance) for instance in instances]
        rows = box.clinical.database.connection.execute("SELECT COUNT(*) FROM readings").fetchone()[0]
    assert rows == IMAGES
    gave_up = [made.reason.code for made in judged if made.reason is not None]
    assert set(gave_up) <= {"reading.decode_gave_up", "reading.inference_gave_up"}
    assert len(gave_up) * 2 <= KILLS  # it takes two kills over one image


@pytest.mark.parametrize("role", ["decode_child", "inference_child"])
def test_a_child_that_hangs_is_replaced_at_the_deadline_and_the_image_is_read(tmp_path: Path, role: str) -> None:
    with (
        reading_rig.rig(reading_rig.config(tmp_path, decode_seconds=1.5, infer_seconds=1.5)) as box,
        reading_rig.reader(box) as reader,
    ):
        reader.warm()
        film = box.admit(reading_rig.tiny_film(1))
        pid = reader.decoder.pid if role == "decode_child" else reader.inference.pid
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        assert reading_rig.read_all(reader) == 2
        made = box.reading(film)
        assert 1.4 < time.monotonic() - begun < 20
        assert not psutil.pid_exists(pid)
    assert made.status is ReadingStatus.READ


def test_a_child_that_is_killed_while_idle_costs_no_image_a_try(tmp_path: Path) -> None:
    with reading_rig.rig(reading_rig.config(tmp_path)) as box, reading_rig.reader(box) as reader:
        reader.warm()
        for pid in (reader.decoder.pid, reader.inference.pid):
            os.kill(pid, signal.SIGKILL)
            # Waits for its death without reaping it, which is the reader's to do.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        film = box.admit(reading_rig.tiny_film(1))
        assert reading_rig.read_all(reader) == 1
        made = box.reading(film)
    assert made.status is ReadingStatus.READ
