"""A backup on the clinic's disk: only the paper opens it, and a damaged one is never taken for a whole one."""

from __future__ import annotations

import io
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from firmware_app.appliance import backup_ring, locked_backup, locked_restore
from firmware_app.appliance.errors import (
    BACKUP_CODE_MISSING,
    BACKUP_CODE_THERE,
    BACKUP_FOLDER_OTHER,
    LOCKED_FAILED,
    RESTORE_CUT,
    RESTORE_NOTHING,
)
from firmware_app.appliance.locked_backup import RestoredSettings
from firmware_app.appliance.locked_folder import LockedFolder
from firmware_app.cli import command_line, restore
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs import pack_folder
from firmware_app.packs.pack_store import KEPT_FOLDER, PUBLISHER_FOLDER
from firmware_app.uplink.errors import RECOVERY_CODE_INVALID, BackupDamaged, RecoveryCodeOther
from firmware_app.uplink.messages import encrypted_files
from tests import toy_pack
from tests.local_films import create_database as clinic
from tests.refusals import raises_refusal

IMAGE = secrets.token_bytes(300_000)


def backed_up(folder: Path) -> tuple[StateDir, Path, str]:
    """A box with a database and an image, its locked backup, and the code."""
    state, disk = StateDir(folder / "box"), folder / "disk"
    state.prepare()
    disk.mkdir(parents=True)
    clinical = clinic(state.root)
    clinical.admit(path="1", file="images/ab/abcd.dcm", sha256="ab", size=1, header=None, association=None)
    clinical.database.close()
    film = state.images / "ab" / "abcd.dcm"
    film.parent.mkdir()
    film.write_bytes(IMAGE)
    code = locked_backup.make_recovery_code(state)
    locked_backup.make_locked_backup(state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 3)
    return state, disk, code


def test_a_code_is_read_as_people_type_it_and_a_slip_is_told() -> None:
    code = encrypted_files.make_recovery_code()
    wanted = encrypted_files.derive_recovery_key(code).public_key()
    assert encrypted_files.derive_recovery_key(code.lower().replace("-", " ").replace("o", "0")).public_key() == wanted
    slip = ("B" if code[0] != "B" else "C") + code[1:]
    for wrong in (slip, code[:-1], "", "?" * 36):
        with raises_refusal(RECOVERY_CODE_INVALID):
            encrypted_files.derive_recovery_key(wrong)


@pytest.mark.parametrize("length", [0, encrypted_files.PIECE_BYTES, 2 * encrypted_files.PIECE_BYTES + 5])
def test_a_file_that_was_cut_or_changed_is_refused(length: int) -> None:
    key, content, file = (
        encrypted_files.derive_recovery_key(encrypted_files.make_recovery_code()),
        secrets.token_bytes(length),
        io.BytesIO(),
    )
    locker = encrypted_files.LockedFileWriter(file, key.public_key())
    locker.write(content)
    locker.finish()
    whole = file.getvalue()
    assert b"".join(encrypted_files.read_locked_file(io.BytesIO(whole), key, "f")) == content
    changed = bytearray(whole)
    changed[-1] ^= 1
    cut_at_a_piece = (
        whole[: encrypted_files.LOCKED_HEAD_BYTES + encrypted_files.PIECE_BYTES + 16]
        if length > encrypted_files.PIECE_BYTES
        else whole[:-1]
    )
    for bad in (bytes(changed), cut_at_a_piece, whole[:50], b""):
        with pytest.raises(BackupDamaged):
            list(encrypted_files.read_locked_file(io.BytesIO(bad), key, "f"))
    with pytest.raises(RecoveryCodeOther):
        list(
            encrypted_files.read_locked_file(
                io.BytesIO(whole), encrypted_files.derive_recovery_key(encrypted_files.make_recovery_code()), "f"
            )
        )


def test_the_disk_shows_neither_names_nor_pixels_nor_which_images_there_are(tmp_path: Path) -> None:
    state, disk, _ = backed_up(tmp_path)
    for path in (one for one in disk.rglob("*") if one.is_file()):
        assert IMAGE[:64] not in path.read_bytes()
        assert b"SQLite format 3" not in path.read_bytes()
        assert "abcd" not in path.name
    with raises_refusal(BACKUP_CODE_THERE):
        locked_backup.make_recovery_code(state)


def test_an_image_is_locked_once_and_old_sets_go(tmp_path: Path) -> None:
    state, disk, _ = backed_up(tmp_path)
    (image,) = (disk / "files").rglob("*.lnb")
    before = image.stat().st_mtime_ns
    for _ in range(3):
        locked_backup.make_locked_backup(
            state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 2
        )
    assert [path.name for path in sorted((disk / "sets").iterdir())] == [
        "000003.list",
        "000003.lnb",
        "000004.list",
        "000004.lnb",
    ]
    assert image.stat().st_mtime_ns == before


def test_after_a_new_code_everything_is_there_under_it(tmp_path: Path) -> None:
    state, disk, old = backed_up(tmp_path)
    new = locked_backup.make_recovery_code(state, new=True)
    locked_backup.make_locked_backup(state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 3)
    with pytest.raises(RecoveryCodeOther):
        locked_restore.restore_backup(StateDir(tmp_path / "other"), disk, old)
    assert locked_restore.restore_backup(StateDir(tmp_path / "other"), disk, new).images == 1
    assert (tmp_path / "other" / "images" / "ab" / "abcd.dcm").read_bytes() == IMAGE


def test_an_image_whose_case_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    state, disk, code = backed_up(tmp_path)
    (state.images / "ab" / "gone.dcm").write_bytes(IMAGE)
    locked_backup.make_locked_backup(state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 3)
    other = StateDir(tmp_path / "other")
    assert locked_restore.restore_backup(other, disk, code).images == 1
    assert [path.name for path in (other.images / "ab").iterdir()] == ["abcd.dcm"]


def test_a_replacement_counts_on_from_the_sets_of_the_box_before_it(tmp_path: Path) -> None:
    _, disk, _ = backed_up(tmp_path)
    assert LockedFolder(disk).find_newest_number() == 1


def test_a_restoring_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    _, disk, code = backed_up(tmp_path)
    other = StateDir(tmp_path / "other")

    def cut(_done: int, _of: int) -> None:
        raise OSError(5, "Input/output error")

    with raises_refusal(RESTORE_CUT, match="Input/output error"):
        locked_restore.restore_backup(other, disk, code, tell=cut)
    assert not other.clinical_db.exists(), "the databases come last"
    assert locked_restore.restore_backup(other, disk, code).images == 1
    assert other.clinical_db.exists()
    assert (other.images / "ab" / "abcd.dcm").read_bytes() == IMAGE


def test_a_damaged_image_is_counted_and_keeps_nothing_else_back(tmp_path: Path) -> None:
    _, disk, code = backed_up(tmp_path)
    (image,) = (disk / "files").rglob("*.lnb")
    image.write_bytes(image.read_bytes()[:-100])
    other = StateDir(tmp_path / "other")
    restored = locked_restore.restore_backup(other, disk, code)
    assert (restored.images, restored.missing) == (0, 1)
    assert other.clinical_db.exists()
    assert list(other.images.rglob("*")) == [other.images / "ab"]


def test_of_a_damaged_set_the_one_before_it_is_taken_and_it_says_so(tmp_path: Path) -> None:
    state, disk, code = backed_up(tmp_path)
    locked_backup.make_locked_backup(state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 3)
    newest = disk / "sets" / "000002.lnb"
    newest.write_bytes(newest.read_bytes()[:-1])
    restored = locked_restore.restore_backup(StateDir(tmp_path / "other"), disk, code)
    assert (restored.set, restored.damaged_sets) == ("000001.lnb", ("000002.lnb",))


def test_settings_and_packs_come_back_and_the_identity_does_not(tmp_path: Path) -> None:
    state, disk, code = backed_up(tmp_path)
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "county-ca.pem").write_text("a certificate")
    former = Config.model_validate(
        {
            "box": {"id": "clinic-7", "name": "West", "language": "en"},
            "state": {"dir": str(state.root)},
            "uplink": {"enabled": True, "host": "10.0.0.1", "identity": "/old/identity.pem"},
            "dicom": {"allowed_calling": ["CT1"], "tls_key": str(etc / "dicom.key")},
            "pacs": {"host": "10.0.0.9", "tls_ca": str(etc / "county-ca.pem")},
            "packs": {"dir": str(tmp_path / "none")},
        }
    )
    pack = state.packs / KEPT_FOLDER / "0.0.1" / "toy"
    toy_pack.write(pack.parent, "toy", "adult", 18, None)
    (pack / "fp32.bin").write_bytes(b"beside fp32.onnx, in the same batch")
    pack_folder.write_sums(pack)
    (state.packs / "toy").symlink_to(pack.relative_to(state.packs))
    (state.packs / PUBLISHER_FOLDER).mkdir()
    (state.packs / PUBLISHER_FOLDER / "trusted-root.json").write_text("{}")
    locked_backup.make_locked_backup(
        state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 3, former
    )

    (etc / "county-ca.pem").unlink()
    other = StateDir(tmp_path / "other")
    own = Config.model_validate({"box": {"id": "new-3"}, "state": {"dir": str(other.root)}})
    restored = locked_restore.restore_backup(other, disk, code, own, etc / "lantern.toml")
    config = load_config(etc / "lantern.toml", {})
    assert (config.box.id, config.box.name, config.state.dir) == ("new-3", "West", other.root)
    assert (config.uplink, config.dicom, config.pacs) == (own.uplink, former.dicom, former.pacs)
    assert (etc / "county-ca.pem").read_text() == "a certificate"
    assert restored.settings == RestoredSettings("clinic-7", (etc / "dicom.key",)), "a key is in no backup"
    assert (restored.packs, restored.broken_packs) == (("toy 0.0.1",), ())
    assert (other.packs / "toy").readlink() == (state.packs / "toy").readlink()
    assert (other.packs / PUBLISHER_FOLDER / "trusted-root.json").exists()
    assert not (other.root / "settings").exists()


def test_the_same_paper_opens_what_the_replacement_locks(tmp_path: Path) -> None:
    state, disk, code = backed_up(tmp_path)
    other = StateDir(tmp_path / "other")
    locked_restore.restore_backup(other, disk, code)
    assert locked_backup.load_public_key(other) == locked_backup.load_public_key(state)
    copy = backup_ring.BackupRing(other.backup).make(other.databases, 3, 0, LockedFolder(disk).find_newest_number())
    locked_backup.make_locked_backup(other, disk, copy, 1)
    assert [one.name for one in LockedFolder(disk).list_sets()] == ["000002.lnb"]
    assert locked_restore.restore_backup(StateDir(tmp_path / "third"), disk, code).images == 1


def test_a_folder_of_another_box_is_left_as_it_is(tmp_path: Path) -> None:
    _, disk, _ = backed_up(tmp_path / "one")
    state, _, _ = backed_up(tmp_path / "two")
    before = sorted(disk.rglob("*"))
    with raises_refusal(BACKUP_FOLDER_OTHER):
        locked_backup.make_locked_backup(
            state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 1
        )
    assert sorted(disk.rglob("*")) == before


def test_what_no_night_needs_any_more_goes_and_not_before_a_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, disk, _ = backed_up(tmp_path)
    (image,) = (disk / "files").rglob("*.lnb")
    (state.images / "ab" / "abcd.dcm").unlink()  # cleared, with its row
    with closing(sqlite3.connect(state.clinical_db)) as connection, connection:
        connection.execute("DELETE FROM instances")
    copy = backup_ring.BackupRing(state.backup).make(state.databases, 3, 0)
    monkeypatch.setattr(LockedFolder, "complete", _fail)
    with raises_refusal(LOCKED_FAILED, match="gone"):
        locked_backup.make_locked_backup(state, disk, copy, 1)
    assert image.exists(), "the night that needs it is the only one that is whole"
    assert (disk / "sets" / "000001.lnb").exists()
    monkeypatch.undo()
    locked_backup.make_locked_backup(state, disk, copy, 1)
    assert [one.name for one in LockedFolder(disk).list_sets()] == ["000002.lnb"]
    assert not image.exists()


def _fail(*_: object) -> None:
    raise OSError(5, "gone")


def test_a_film_that_the_box_has_lost_stays_where_an_earlier_night_has_it(tmp_path: Path) -> None:
    state, disk, code = backed_up(tmp_path)
    (state.images / "ab" / "abcd.dcm").unlink()
    for _ in range(3):
        locked_backup.make_locked_backup(
            state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 1
        )
    assert locked_restore.restore_backup(StateDir(tmp_path / "other"), disk, code).images == 1
    assert (tmp_path / "other" / "images" / "ab" / "abcd.dcm").read_bytes() == IMAGE


def test_a_night_of_an_earlier_version_stays_among_those_that_are_kept(tmp_path: Path) -> None:
    state, disk, _ = backed_up(tmp_path)
    (disk / "sets" / "000001.list").unlink()  # it wrote none
    (disk / "files").rename(disk / "images")
    for kept in (3, 3, 2):
        locked_backup.make_locked_backup(
            state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), kept
        )
    assert [one.name for one in LockedFolder(disk).list_sets()] == ["000004.lnb", "000003.lnb"]
    assert len(list((disk / "images").rglob("*.lnb"))) == 1, "and its images are not locked again"
    assert not list((disk / "files").rglob("*.lnb"))


def test_a_name_without_its_content_is_written_again(tmp_path: Path) -> None:
    state, disk, code = backed_up(tmp_path)
    (image,) = (disk / "files").rglob("*.lnb")
    image.write_bytes(b"")  # as after a pulled plug
    locked_backup.make_locked_backup(state, disk, backup_ring.BackupRing(state.backup).make(state.databases, 3, 0), 3)
    assert locked_restore.restore_backup(StateDir(tmp_path / "other"), disk, code).images == 1


def test_the_folder_is_looked_at_before_the_code_is_asked_for_and_a_missing_one_of_the_settings_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "etc" / "lantern.toml"
    settings.parent.mkdir()
    settings.write_text(f'[state]\ndir = "{tmp_path / "box"}"\n')
    assert (
        command_line.main(["restore", str(tmp_path), "--config", str(settings)]) == 1
    )  # pytest's stdin refuses to be read
    assert "care.restore_nothing" in capsys.readouterr().err
    restore._make_writable(tmp_path / "new" / "lantern.toml")
    assert (tmp_path / "new").is_dir()


def test_without_a_code_or_a_backup_nothing_is_done(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "box")
    state.prepare()
    with raises_refusal(BACKUP_CODE_MISSING):
        locked_backup.load_public_key(state)
    with raises_refusal(RESTORE_NOTHING):
        locked_restore.restore_backup(state, tmp_path, encrypted_files.make_recovery_code())
