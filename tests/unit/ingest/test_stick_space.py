"""Space in use against what is listed, where no stick is needed: a folder, and what `statvfs` says of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from firmware_app.ingest import stick_space
from firmware_app.ingest.stick_mounting import FileSystem

KB = 1024


def volume(cluster: int, used: int, fuse: bool = False) -> os.statvfs_result:
    """A volume of a thousand clusters; *fuse*: as fusefat says it."""
    blocks, files = (1000 * cluster // KB, 1000) if fuse else (1000, 0)
    size = KB if fuse else cluster
    return os.statvfs_result((size, size, blocks, 1000 - used, 0, files, files - used if fuse else 0, 0, 0, 255))


@pytest.mark.parametrize("fuse", [False, True])
def test_more_than_an_image_in_use_that_nobody_lists_is_a_loss(tmp_path: Path, fuse: bool) -> None:
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "one").write_bytes(bytes(10 * KB))
    os.link(tmp_path / ".hidden" / "one", tmp_path / "second name")
    account = stick_space.SpaceAccount(FileSystem.FAT, volume(4 * KB, 3, fuse))
    account.add_below(tmp_path)
    folders = account.listed - 12 * KB  # the file counts once, as three clusters
    assert 0 < folders < 64 * KB
    clusters = account.listed // (4 * KB)
    account.volume = volume(4 * KB, clusters, fuse)
    assert (account.unexplained, account.has_lost) == (0, False)
    account.volume = volume(4 * KB, clusters + 17, fuse)
    assert (account.unexplained, account.has_lost) == (68 * KB, True)


def test_ntfs_counts_its_records_too() -> None:
    said = os.statvfs_result((4 * KB, 4 * KB, 1000, 999, 0, 500, 500 - 60, 0, 0, 255))
    account = stick_space.SpaceAccount(FileSystem.NTFS, said)
    account.inodes = {(1, number) for number in range(27)}
    assert not account.has_lost
    account.inodes.pop()
    assert account.has_lost


def test_nothing_is_said_of_a_kind_or_a_driver_that_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not stick_space.has_lost(tmp_path, "")
    assert not stick_space.is_all_listed(tmp_path, "")
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((2048, 2048, 0, 0, 0, 0, 0, 0, 0, 255)))
    assert not stick_space.has_lost(tmp_path, "iso9660")  # fuseiso


def test_nothing_is_said_where_the_root_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: volume(4 * KB, 500))
    assert stick_space.has_lost(tmp_path, FileSystem.FAT)

    def fail(path: Path) -> None:
        raise OSError

    monkeypatch.setattr(os, "scandir", fail)
    assert not stick_space.has_lost(tmp_path, FileSystem.FAT)
