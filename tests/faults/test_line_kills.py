"""A dozen random kill -9 over broker, uplink, reader's side and hospital: every case revision counts exactly once."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from firmware_app.uplink.outbox import Outbox
from tests.wire.line_rig import run_hospital, wait_for

SUMMARIES, KILLS = 400, 12
SEED = int(os.environ.get("LANTERN_SEED", "20261121"))  # another one, to look for trouble


@pytest.mark.timeout(150)
def test_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with run_hospital(tmp_path) as site:
        box = site.box("clinic-7")
        uplink, reader = site.uplink(box).start(), site.reader(box, SUMMARIES, SEED).start()
        victims = {"broker": site.broker, "uplink": uplink, "reader": reader, "hospital": site.receiver}
        killed: Counter[str] = Counter()
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 1.2))  # the instant is what is random here; nothing is awaited
            name = chance.choice(sorted(victims))
            victims[name].kill()
            killed[name] += 1
            time.sleep(chance.uniform(0.0, 0.3))
            victims[name].start()
        assert min(killed[name] for name in victims) >= 1
        assert "all made" not in reader.log.read_text(), "the kills fell while summaries were made and sent"

        wait_for(lambda: "all made" in reader.log.read_text(), 90, "the box makes its cases")
        assert box.clinical.count_queue().cases == SUMMARIES
        expected = box.list_closed_revisions()
        wait_for(lambda: set(site.list_revisions()) >= expected, 60, "the hospital has every case revision")
        wait_for(lambda: box.exchange.read_status().outgoing == 0, 60, "outgoing is empty")
        counted = site.list_revisions()
        assert len(counted) == len(set(counted)) == len(expected)
        assert set(counted) == expected
        assert Outbox(box.clinical.database).count() == 0
        assert set(site.list_quarantine_codes()) <= {"hospital.outdated", "hospital.replayed"}, (
            "a kill is not an attack"
        )
        for process in (uplink, reader, site.receiver):
            assert process.alive()
        uplink.stop()
        reader.kill()
        box.close()
