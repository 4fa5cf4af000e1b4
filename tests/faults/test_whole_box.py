"""The whole line under attack: a real sender, `lantern serve`, a hospital; the short form of `make torture`.

LANTERN_SEED repeats the instants of another run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import toy_pack
from tests.faults import report
from tests.faults.campaign import ATTACKS, dose
from tests.faults.ledger import audit
from tests.faults.loopfs import loop_file_system
from tests.faults.scene import Scene, run_attack
from tests.peers import REPOSITORY, need_root, needed
from tests.reading_rig import wait_until
from tests.wire.line_rig import run_hospital

CUT_IMAGES = 50
_STUDIES = 20
"""How many the kills fall upon here; `make torture` sends a thousand."""
_ROUND = ("cuts", "kills", "lines", "store", "read-only")
"""What `make test` does of it; a test of its own holds each of the others on one flat."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    need_root()
    needed("storescu", "xfs_io", "mkfs.xfs", "mkfs.ext4")
    folder = tmp_path_factory.mktemp("torture")
    seed = int(os.environ.get("LANTERN_SEED") or random.SystemRandom().randrange(10**6))
    print(f"LANTERN_SEED={seed}")
    (folder / "hospital").mkdir()
    with run_hospital(folder / "hospital") as site:
        yield Scene(folder, toy_pack.write_both(folder / "packs"), site, seed, print)


@pytest.mark.slow  # test_power_cut.py has the door alone
def test_fifty_of_fifty_acknowledged_images_are_read_after_a_power_cut(scene: Scene) -> None:
    room = scene.room("fifty")
    with (
        loop_file_system(room) as disk,
        run_attack(scene, "fifty", disk.mount / "state", line=False, room=room) as play,
    ):
        play.clinic.start()
        play.clinic.ready("gateway", "reader", "viewer")
        play.send(CUT_IMAGES)
        disk.cut_power()
        play.clinic.kill()
        disk.restore_power()
        play.wait_settled()
        play.conclude()
        audited = audit(play.clinic.state.root)
        assert set(audited.present) == set(play.ledger.acknowledged)
        assert len(audited.present) == CUT_IMAGES
        assert list(audited.readings.values()) == [1] * CUT_IMAGES
        assert play.outcome.holds, report.line(play.outcome)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name", [name if name in _ROUND else pytest.param(name, marks=pytest.mark.slow) for name in ATTACKS]
)
def test_whatever_is_done_to_the_box_it_keeps_its_promises(scene: Scene, name: str) -> None:
    attack = ATTACKS[name]
    outcome = attack.run(scene, _STUDIES if name == "kills" else dose(attack, 0))
    assert outcome.acknowledged > 0, "nothing was put to the test"
    assert outcome.holds, f"LANTERN_SEED={scene.seed}\n{report.line(outcome)}"


@pytest.mark.slow
def test_ctrl_c_leaves_no_mount_and_no_process_of_the_campaign(tmp_path: Path, scene: Scene) -> None:
    del scene  # which has skipped this where a campaign cannot run
    command = [sys.executable, "-m", "tests.faults.campaign", "--minutes", "60", "--only", "cuts"]
    campaign = subprocess.Popen(
        command, cwd=REPOSITORY, env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: any(tmp_path.glob("*/cuts/xfs/mnt/state/run/gateway.json")))
    family = psutil.Process(campaign.pid).children(recursive=True)
    campaign.send_signal(signal.SIGINT)
    _, said = campaign.communicate(timeout=60)
    assert campaign.returncode == 130, said
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert list(tmp_path.iterdir()) == []
