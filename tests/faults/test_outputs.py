"""A finished folder takes the place of another: one of the two is whole there at any time."""

from pathlib import Path
from shutil import rmtree

import pytest

from converters.workflow import atomic
from tests.small_disk import small_disk


def make_folder(folder: Path, text: str) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text(text)
    return folder


def test_a_folder_takes_its_place_and_nothing_of_the_one_before_is_left(tmp_path: Path) -> None:
    place = tmp_path / "pack"
    for text in ("old", "new"):
        atomic.put_in_place(make_folder(tmp_path / "fresh", text), place)
        assert (place / "deep" / "file").read_text() == text
        assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_when_the_new_one_cannot_take_the_name_the_old_one_has_it_again(tmp_path: Path) -> None:
    place = make_folder(tmp_path / "pack", "old")
    with small_disk(tmp_path / "elsewhere", "size=1m") as disk:
        fresh = make_folder(disk / "pack", "new")
        with pytest.raises(OSError, match="cross-device"):
            atomic.put_in_place(fresh, place)
    assert (place / "deep" / "file").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "pack"]


def test_an_old_one_that_cannot_be_removed_is_told_and_the_new_one_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make_folder(tmp_path / "pack", "old")
    with small_disk(place / "mounted", "size=1m"):
        atomic.put_in_place(make_folder(tmp_path / "fresh", "new"), place)
        assert (place / "deep" / "file").read_text() == "new"
        (left,) = tmp_path.glob(f"{atomic.ASIDE}*")
        assert f"{left}: what stood at {place} before could not be removed" in capsys.readouterr().err
        rmtree(place)
        (left / "pack").rename(place)  # so that it can be unmounted
