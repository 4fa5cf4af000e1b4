"""Whatever is killed or hangs, every image ends with exactly one final reading, and nothing is left running."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from firmware_app.records import ReadingStatus
from tests import films, reading_rig
from tests.reading_rig import Rig

IMAGES = 100
KILLS = 24
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
        reading_rig.until(lambda: self._announced() or self._process.poll() is not None)
        assert self._process.poll() is None

    def _announced(self) -> bool:
        from firmware_app.care import presence

        told = presence.announcement(self._box.state, "reader")
        return told is not None and told["pid"] == self._process.pid

    def children(self) -> dict[str, psutil.Process]:
        """The living children by role."""
        found = {}
        for child in psutil.Process(self._process.pid).children():
            try:
                words = child.cmdline()
            except psutil.Error:
                continue
            found.update({role: child for role in ROLES if f"firmware_app.reading.children.{role}" in words})
        return found

    def kill(self) -> None:
        """kill -9, and see that its children go with it."""
        family = list(self.children().values())
        self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == [], "a child outlived the reader"


@contextmanager
def reading(box: Rig) -> Iterator[ReaderProcess]:
    process = ReaderProcess(box)
    try:
        yield process
    finally:
        process.kill()


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
                reading_rig.until(lambda left=left: box.clinical.counts().waiting <= left)  # type: ignore[misc]
                time.sleep(chance.random() * 0.03)  # any instant within two images, not only the one after a commit
                process = _strike(process, chance.choice(ROLES), box)
            reading_rig.until(lambda: box.clinical.counts().waiting == 0)
        finally:
            process.kill()
        found = [box.reading(instance) for instance in instances]
        rows = box.clinical.database.connection.execute("SELECT COUNT(*) FROM readings").fetchone()[0]
    assert rows == IMAGES
    judged = [made for made in found if made is not None]
    assert len(judged) == IMAGES
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
    assert made is not None
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
    assert made is not None
    assert made.status is ReadingStatus.READ


def test_a_bomb_is_refused_quickly_and_the_next_image_is_read_by_the_same_child(tmp_path: Path) -> None:
    header = np.array([1, 64] + [0] * 14, "<u4").tobytes()
    one = np.zeros((1, 1), np.uint8)
    with reading_rig.rig(reading_rig.config(tmp_path)) as box, reading_rig.reader(box) as reader:
        reader.warm()
        child = reader.decoder.pid
        for side in (65535, 5600):
            box.admit(
                films.film(
                    one, syntax=RLELossless, Rows=side, Columns=side, pixel_data=encapsulate([header + b"\x81\0" * 99])
                )
            )
        box.admit(
            films.film(
                one, syntax=JPEGBaseline8Bit, Rows=64, Columns=64, pixel_data=encapsulate([b"\xff\xd8\xff\xe0\0\x10"])
            )
        )
        film = box.admit(reading_rig.tiny_film(2))
        begun = time.monotonic()
        assert reading_rig.read_all(reader) == 4
        assert time.monotonic() - begun < 5
        assert reader.decoder.pid == child
        codes = [
            record.reason.code for case in box.clinical.cases() for made in case.readings if (record := made).reason
        ]
        made = box.reading(film)
        most = psutil.Process(child).memory_info().rss
    assert sorted(codes) == ["imaging.too_large", "imaging.undecodable", "imaging.undecodable"]
    assert made is not None
    assert made.status is ReadingStatus.READ
    assert most < 300_000_000


def test_a_file_that_needs_more_memory_than_one_image_may_take_hurts_only_itself(tmp_path: Path) -> None:
    """5600 × 5600 real pixels under a limit that has no room for them."""
    noise = np.random.default_rng(1).integers(0, 4000, (5600, 5600), np.uint16)
    with reading_rig.rig(reading_rig.config(tmp_path, memory_mb=256)) as box, reading_rig.reader(box) as reader:
        large = box.admit(films.film(noise))
        small = box.admit(reading_rig.tiny_film(3))
        reading_rig.read_all(reader)
        refused, read = box.reading(large), box.reading(small)
    assert refused is not None
    assert refused.reason is not None
    assert refused.reason.code == "imaging.memory"
    assert read is not None
    assert read.status is ReadingStatus.READ


def test_a_reader_that_dies_leaves_no_child_behind(tmp_path: Path) -> None:
    with reading_rig.rig(reading_rig.config(tmp_path)) as box, reading(box) as process:
        assert process.children().keys() == {"decode_child", "inference_child"}
