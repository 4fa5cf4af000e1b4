"""What only points somewhere, or holds other files, is never followed: it gets a code and a sentence instead."""

from __future__ import annotations

import io
import os
import socket
import tarfile
import zipfile
from pathlib import Path

import pytest
from pydicom import DataElement, config
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from firmware_app.cases.errors import NOT_A_REGULAR_FILE, PACKED_ARCHIVE
from firmware_app.cases.quarantine import Quarantine
from firmware_app.dicom.errors import DirectoryRecord, IntakeError
from firmware_app.ingest.input_files import count_skipped
from firmware_app.ingest.intake import ImageIntake
from firmware_app.ingest.watched_folder import WatchedFolder
from tests import films
from tests.refusals import raises_refusal


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A stick on which nothing is a film, and everything leads to one that lies outside."""
    folder, outside = tmp_path / "stick", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    secret = films.save(outside, "secret.dcm", films.film(films.shapes(1, 96, 80)))
    (folder / "link.dcm").symlink_to(secret)
    (folder / "relative.dcm").symlink_to(Path("..", "outside", "secret.dcm"))
    (folder / "folder").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere").symlink_to("/no/such/thing")
    os.mkfifo(folder / "pipe.dcm")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
    if os.geteuid() == 0:
        os.mknod(folder / "zero.dcm", 0o600 | 0o020000, os.makedev(1, 5))  # a character device, as /dev/zero
    return folder


def codes(door: ImageIntake) -> list[str]:
    return [entry.reason.code for entry in Quarantine(door.clinical.database).list_entries(99)]


def images(door: ImageIntake) -> list[Path]:
    return [path for path in door.state.images.rglob("*") if path.is_file()]


def test_links_pipes_sockets_and_devices_are_refused_one_by_one_and_none_is_opened(
    door: ImageIntake, stick: Path
) -> None:
    given = sorted(stick.iterdir())
    for path in given:
        with raises_refusal(NOT_A_REGULAR_FILE):
            door.accept_file(path)
    assert codes(door) == ["intake.not_regular"] * len(given)
    assert images(door) == []


def test_a_watched_folder_follows_none_of_them_and_says_so_once(door: ImageIntake, stick: Path) -> None:
    watched = WatchedFolder(stick, door)
    for _ in range(4):
        watched.poll()
    assert codes(door) == ["intake.not_regular"] * len(list(stick.iterdir()))
    assert images(door) == []


def test_lantern_read_names_how_many_it_did_not_follow(stick: Path) -> None:
    films.save(stick, "film.dcm", films.film(films.shapes(2, 96, 80)))
    assert count_skipped([stick]) == len(list(stick.iterdir())) - 1
    assert count_skipped([stick / "link.dcm"]) == 0  # given by name, it has a line of its own


def make_archive(kind: str) -> bytes:
    """A film, and a path that leaves the folder, in an archive."""
    out, film = io.BytesIO(), io.BytesIO()
    films.film(films.shapes(1, 96, 80)).save_as(film, enforce_file_format=True)
    names = ("film.dcm", "../../escaped.dcm", "/tmp/escaped.dcm")
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            for name in names:
                archive.writestr(name, film.getvalue())
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(film.getvalue())
                archive.addfile(member, io.BytesIO(film.getvalue()))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("suffix", [".dcm", ".zip"])
def test_no_archive_is_opened_whatever_it_is_called(door: ImageIntake, tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"images{suffix}"
    path.write_bytes(make_archive(kind))
    with raises_refusal(PACKED_ARCHIVE) as refused:
        door.accept_file(path)
    assert "Unpack it" in refused.value.text("en")
    assert images(door) == []
    assert list(tmp_path.rglob("escaped*")) == []


def test_an_archive_behind_a_dicom_preamble_loses_what_made_it_one(door: ImageIntake, tmp_path: Path) -> None:
    """A film that is a program or an archive as well: its first 128 bytes are zeroed on acceptance."""
    for number, magic in enumerate((b"PK\3\4", b"MZ", b"\x7fELF", b"#!/bin/sh\n", b"II*\0")):
        film = films.save(tmp_path, "film.dcm", films.film(films.shapes(number, 96, 80)))
        film.write_bytes(magic + bytes(128 - len(magic)) + film.read_bytes()[128:])
        door.accept_file(film)
    kept = images(door)
    assert len(kept) == 5
    assert all(path.read_bytes()[:132] == bytes(128) + b"DICM" for path in kept)


def test_a_dicomdir_that_points_out_of_the_stick_is_not_followed(door: ImageIntake, tmp_path: Path) -> None:
    stick = tmp_path / "disc"
    stick.mkdir()
    films.save(tmp_path, "secret.dcm", films.film(films.shapes(1, 96, 80)))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MediaStorageDirectoryStorage, UID("2.25.1")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    directory.FileSetID = "X"
    record = FileDataset("", {})
    record.DirectoryRecordType = "IMAGE"
    record[0x00041500] = DataElement(0x00041500, "CS", ["..", "SECRET.DCM"], validation_mode=config.IGNORE)
    directory.DirectoryRecordSequence = [record]
    directory.save_as(stick / "DICOMDIR", enforce_file_format=True)
    with pytest.raises(DirectoryRecord):
        door.accept_file(stick / "DICOMDIR")
    assert images(door) == []


def test_a_name_with_backslashes_and_dots_is_a_name_and_no_path(door: ImageIntake, tmp_path: Path) -> None:
    path = tmp_path / "..\\..\\etc\\passwd.dcm"
    path.write_bytes(b"no image at all, but long enough to be looked at")
    with pytest.raises(IntakeError) as refused:
        door.accept_file(path)
    assert refused.value.code == "intake.not_an_image"
    assert images(door) == []
