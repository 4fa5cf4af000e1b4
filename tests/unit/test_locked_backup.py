"""A backup on the clinic's disk: only the paper opens it, and a damaged one is never taken for a whole one."""

from __future__ import annotations

import io
import secrets
from pathlib import Path

import pytest

from firmware_app.care import locked_backup
from firmware_app.errors import (
    BackupCodeMissing,
    BackupCodeThere,
    BackupDamaged,
    RecoveryCodeInvalid,
    RecoveryCodeOther,
    RestoreNothing,
)
from firmware_app.sealed import locked_file
from firmware_app.store.disk.layout import StateDir
from firmware_app.store.rescue import ring
from tests.local_films import opened as clinic

IMAGE = secrets.token_bytes(300_000)


def backed_up(folder: Path) -> tuple[StateDir, Path, str]:
    """A box with a database and an image, its locked backup, and the code."""
    state, disk = StateDir(folder / "box"), folder / "disk"
    state.prepare()
    disk.mkdir()
    clinical = clinic(state.root)
    clinical.admit(path="1", file="images/ab/abcd.dcm", sha256="ab", size=1, header=None, association=None)
    clinical.database.close()
    film = state.images / "ab" / "abcd.dcm"
    film.parent.mkdir()
    film.write_bytes(IMAGE)
    code = locked_backup.make_code(state)
    locked_backup.make(state, disk, ring.Ring(state.backup).make(state.databases, 3, 0), 3)
    return state, disk, code


def test_a_code_is_read_as_people_type_it_and_a_slip_is_told() -> None:
    code = locked_file.new_code()
    wanted = locked_file.key_of(code).public_key()
    assert locked_file.key_of(code.lower().replace("-", " ").replace("o", "0")).public_key() == wanted
    slip = ("B" if code[0] != "B" else "C") + code[1:]
    for wrong in (slip, code[:-1], "", "?" * 36):
        with pytest.raises(RecoveryCodeInvalid):
            locked_file.key_of(wrong)


@pytest.mark.parametrize("length", [0, locked_file.PIECE, 2 * locked_file.PIECE + 5])
def test_a_file_that_was_cut_or_changed_is_refused(length: int) -> None:
    key, content, file = locked_file.key_of(locked_file.new_code()), secrets.token_bytes(length), io.BytesIO()
    locker = locked_file.Locker(file, key.public_key())
    locker.write(content)
    locker.finish()
    whole = file.getvalue()
    assert b"".join(locked_file.opened(io.BytesIO(whole), key, "f")) == content
    changed = bytearray(whole)
    changed[-1] ^= 1
    cut_at_a_piece = whole[: locked_file.HEAD + locked_file.PIECE + 16] if length > locked_file.PIECE else whole[:-1]
    for bad in (bytes(changed), cut_at_a_piece, whole[:50], b""):
        with pytest.raises(BackupDamaged):
            list(locked_file.opened(io.BytesIO(bad), key, "f"))
    with pytest.raises(RecoveryCodeOther):
        list(locked_file.opened(io.BytesIO(whole), locked_file.key_of(locked_file.new_code()), "f"))


def test_the_disk_shows_neither_names_nor_pixels_nor_which_images_there_are(tmp_path: Path) -> None:
    state, disk, _ = backed_up(tmp_path)
    for path in (one for one in disk.rglob("*") if one.is_file()):
        assert IMAGE[:64] not in path.read_bytes()
        assert b"SQLite format 3" not in path.read_bytes()
        assert "abcd" not in path.name
    with pytest.raises(BackupCodeThere):
        locked_backup.make_code(state)


def test_an_image_is_locked_once_and_old_sets_go(tmp_path: Path) -> None:
    state, disk, _ = backed_up(tmp_path)
    (image,) = (disk / "images").rglob("*.lnb")
    before = image.stat().st_mtime_ns
    for _ in range(3):
        locked_backup.make(state, disk, ring.Ring(state.backup).make(state.databases, 3, 0), 2)
    assert [one.name for one in sorted((disk / "sets").iterdir())] == ["000003.lnb", "000004.lnb"]
    assert image.stat().st_mtime_ns == before


def test_after_a_new_code_everything_is_there_under_it(tmp_path: Path) -> None:
    state, disk, old = backed_up(tmp_path)
    new = locked_backup.make_code(state, new=True)
    locked_backup.make(state, disk, ring.Ring(state.backup).make(state.databases, 3, 0), 3)
    with pytest.raises(RecoveryCodeOther):
        locked_backup.restore(StateDir(tmp_path / "other"), disk, old)
    assert locked_backup.restore(StateDir(tmp_path / "other"), disk, new) == 1
    assert (tmp_path / "other" / "images" / "ab" / "abcd.dcm").read_bytes() == IMAGE


def test_an_image_whose_case_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    state, disk, code = backed_up(tmp_path)
    (state.images / "ab" / "gone.dcm").write_bytes(IMAGE)
    locked_backup.make(state, disk, ring.Ring(state.backup).make(state.databases, 3, 0), 3)
    other = StateDir(tmp_path / "other")
    assert locked_backup.restore(other, disk, code) == 1
    assert [one.name for one in (other.images / "ab").iterdir()] == ["abcd.dcm"]


def test_a_replacement_counts_on_from_the_sets_of_the_box_before_it(tmp_path: Path) -> None:
    _, disk, _ = backed_up(tmp_path)
    assert locked_backup.newest_number(disk) == 1


def test_a_restoring_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    _, disk, code = backed_up(tmp_path)
    (image,) = (disk / "images").rglob("*.lnb")
    whole, other = image.read_bytes(), StateDir(tmp_path / "other")
    image.write_bytes(whole[:-100])
    with pytest.raises(BackupDamaged):
        locked_backup.restore(other, disk, code)
    assert not other.clinical_db.exists(), "the databases come last"
    image.write_bytes(whole)
    assert locked_backup.restore(other, disk, code) == 1
    assert other.clinical_db.exists()
    assert (other.images / "ab" / "abcd.dcm").read_bytes() == IMAGE


def test_without_a_code_or_a_backup_nothing_is_done(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "box")
    state.prepare()
    with pytest.raises(BackupCodeMissing):
        locked_backup.public_key(state)
    with pytest.raises(RestoreNothing):
        locked_backup.restore(state, tmp_path, locked_file.new_code())
