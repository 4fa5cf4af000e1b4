"""A ring of backups on another disk: one that keeps no file modes gets none, since everybody could read it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_app.appliance import backup
from firmware_app.appliance.checks import maintenance
from firmware_app.appliance.errors import BACKUP_DISK_OPEN
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.stick_mounting import FileSystem
from tests.faults.loopfs import run
from tests.faults.sticks import await_true, need_sticks, users_of
from tests.peers import peer
from tests.refusals import raises_refusal
from tests.small_disk import unmount

MADE = {
    FileSystem.FAT: (("mkfs.vfat",), ("fusefat", "-o", "rw+,umask=0077")),
    FileSystem.EXFAT: (("mkfs.exfat",), ("mount.exfat-fuse",)),
    FileSystem.NTFS: (("mkfs.ntfs", "-F", "-Q", "-q"), ("ntfs-3g", "-o", "umask=0077")),
}


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.prepare()
    clinical = ClinicalDatabase(made.clinical_db)
    clinical.create()
    clinical.database.close()
    accounts = Accounts(made.accounts_db)
    accounts.create()
    accounts.redeem(accounts.add("li", Role.DOCTOR), "li", "a hash")
    accounts.database.close()
    return made


@contextmanager
def disk(folder: Path, kind: FileSystem) -> Iterator[Path]:
    """A disk as it is bought, to write on."""
    need_sticks(kind)
    (maker, *options), (driver, *given) = MADE[kind]
    image, place = folder / "disk.img", folder / "mnt"
    place.mkdir()
    with image.open("wb") as handle:
        handle.truncate(64 << 20)
    run(peer(maker), *options, str(image))
    attached = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=True)
    device = attached.stdout.strip()
    try:
        run(peer(driver), *given, device, str(place))
        try:
            yield place
        finally:
            unmount(place)
            await_true(lambda: not users_of(device))  # the daemon writes at its end
    finally:
        run("losetup", "--detach", device)


def config(state: StateDir, folder: Path) -> Config:
    return Config.model_validate(
        {
            "state": {"dir": state.root},
            "box": {"language": "en"},
            "backup": {"dir": folder},
            "retention": {"high_water_free_mb": 16},
        }
    )


@pytest.mark.parametrize("kind", MADE)
def test_a_disk_that_keeps_no_modes_gets_no_copy_and_the_doctor_says_why(
    state: StateDir, tmp_path: Path, kind: FileSystem
) -> None:
    with disk(tmp_path, kind) as place:
        settings = config(state, place)
        with raises_refusal(BACKUP_DISK_OPEN, match="ext4"):
            backup.run(settings)
        assert [path for path in place.rglob("[!.]*") if path.is_file()] == []
        assert next(maintenance.check_backup(settings, state)).reason.code == BACKUP_DISK_OPEN.code
