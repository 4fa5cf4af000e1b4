"""Installing a pack on a disk that is full or read-only, and on a box without a clock."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from converters.publishing import repository
from firmware_app.packs import installer
from firmware_app.packs.pack_store import PackStore
from tests.faults.loopfs import loop_file_system
from tests.faults.shifted_clock import EPOCH, ShiftedClock
from tests.publishing_rig import NAME, PackPublisher, fill, pack
from tests.unit.packs.test_pack_repository import trusting as trusting
from tests.unit.packs.test_pack_repository import world as world

ROOT = Path(__file__).parents[2]


def test_a_box_without_a_clock_does_not_judge_age_but_still_refuses_what_is_older(
    trusting: PackPublisher, tmp_path: Path
) -> None:
    shutil.copytree(trusting.repository, tmp_path / "stick")
    repository.publish(pack(tmp_path, "1.2.0"), trusting.repository, trusting.keys, days=-1)

    def install(place: Path) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            **ShiftedClock(tmp_path, EPOCH).environment,
            "LANTERN_BOX__LANGUAGE": "en",
            "LANTERN_STATE__DIR": str(tmp_path / "state"),
            "LANTERN_PACKS__DIR": str(tmp_path / "shipped"),
            "LANTERN_PACKS__TRIAL_IMAGES": "0",
        }
        return subprocess.run(
            [sys.executable, "-m", "firmware_app", "pack", "install", NAME, "--repository", str(place)],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    done = install(trusting.repository)
    assert done.returncode == 0, done.stderr
    assert "clock is not confirmed" in done.stderr
    assert trusting.versions() == ["1.2.0"]
    assert "pack.rolled_back" in install(tmp_path / "stick").stderr


@pytest.mark.parametrize("leave_kb", [0, 40, 600])
def test_a_full_disk_leaves_the_old_version_in_use_and_nothing_half_installed(
    world: PackPublisher, tmp_path: Path, leave_kb: int
) -> None:
    world.install(root=world.root)
    world.publish("1.1.0", ballast=1 << 20)
    with loop_file_system(tmp_path, megabytes=32) as disk:
        shutil.copytree(world.store.installed, disk.mount / "packs", symlinks=True)
        world.store = PackStore(disk.mount / "packs", world.store.shipped)
        fill(disk.mount, leave_kb)
        assert world.expect_refusal().code == "pack.disk_full"
        installer.verify_pack(world.store.find(NAME), world.store)
        disk.free()
        assert world.install().pack.manifest.version == "1.1.0"
