"""A locked backup on a disk or share that is full, goes in the middle, or is not there: the last whole one stays."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.appliance import backup_ring, locked_backup, locked_folder, locked_restore
from firmware_app.appliance.errors import LOCKED_FAILED, LOCKED_NO_ROOM
from firmware_app.core.state_dir import StateDir
from tests.faults.loopfs import LoopFileSystem, loop_file_system
from tests.local_films import create_database as clinic
from tests.refusals import raises_refusal
from tests.small_disk import small_disk

IMAGES = 12


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "box")
    made.prepare()
    for number in range(IMAGES):
        admit(made, f"{number:02d}", 100_000)
    return made


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopFileSystem]:
    monkeypatch.setattr(locked_folder, "_MOST_FILES", 4)
    with loop_file_system(tmp_path, megabytes=64) as made:
        yield made


def admit(state: StateDir, name: str, size: int) -> None:
    clinical = clinic(state.root)
    file = f"images/{name}/{name}.dcm"
    clinical.admit(path=name, file=file, sha256=name, size=size, header=None, association=None)
    clinical.database.close()
    (state.root / file).parent.mkdir()
    (state.root / file).write_bytes(secrets.token_bytes(size))


def copy_databases(state: StateDir) -> backup_ring.BackupCopy:
    return backup_ring.BackupRing(state.backup).make(state.databases, 3, 0)


def images(state: StateDir) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in state.images.rglob("*.dcm")}


def test_a_full_disk_keeps_the_last_whole_night_and_goes_on_when_there_is_room(state: StateDir, tmp_path: Path) -> None:
    code, before = locked_backup.make_recovery_code(state), images(state)
    with small_disk(tmp_path / "disk", "size=24m") as disk:
        locked_backup.make_locked_backup(state, disk, copy_databases(state), 1)
        filler = disk / "films-of-a-wedding"
        filler.write_bytes(bytes(4_000_000))
        admit(state, "new", 3_000_000)
        newer = copy_databases(state)
        with raises_refusal(LOCKED_NO_ROOM, match="locked_keep"):
            locked_backup.make_locked_backup(state, disk, newer, 1)
        assert (disk / "sets" / "000001.list").exists(), "the oldest goes only when a later one is whole"
        assert not locked_backup.is_locked(disk, newer)
        first = StateDir(tmp_path / "first")
        assert locked_restore.restore_backup(first, disk, code).images == IMAGES
        assert images(first) == before
        filler.unlink()
        locked_backup.make_locked_backup(state, disk, newer, 1)
        assert [path.name for path in sorted((disk / "sets").iterdir())] == ["000002.list", "000002.lnb"]
        assert locked_restore.restore_backup(StateDir(tmp_path / "second"), disk, code).images == IMAGES + 1


def test_a_share_that_goes_in_the_middle_keeps_what_it_had_and_the_next_run_goes_on(
    state: StateDir, share: LoopFileSystem, tmp_path: Path
) -> None:
    code = locked_backup.make_recovery_code(state)
    copy = copy_databases(state)

    def cut(done: int, of: int) -> None:
        assert (done, of) == (4, IMAGES)
        share.cut_power()

    with raises_refusal(LOCKED_FAILED, match="next run goes on"):
        locked_backup.make_locked_backup(state, share.mount, copy, 1, tell=cut)
    share.restore_power()
    there = [path for path in (share.mount / "files").rglob("*.lnb") if path.stat().st_size]
    assert len(there) == 4
    assert not locked_backup.is_locked(share.mount, copy)
    told: list[int] = []
    locked_backup.make_locked_backup(state, share.mount, copy, 1, tell=lambda _done, of: told.append(of))
    assert set(told) == {IMAGES - 4}
    other = StateDir(tmp_path / "other")
    assert locked_restore.restore_backup(other, share.mount, code).images == IMAGES
    assert images(other) == images(state)
