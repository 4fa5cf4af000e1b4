"""ChestX-ray14: the word of the recipe is the finding that is positive, or it is refused."""

from pathlib import Path

import pytest

from converters.data import datasets

HEADING = "file,Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position"
FINDINGS = ("No Finding", "Effusion", "Effusion|Mass", "Nodule", "No Finding")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"{number}.png,{number}.png,{word},{number},40,F,PA" for number, word in enumerate(FINDINGS, 1)]
    (tmp_path / "labels.csv").write_text("\n".join([HEADING, *rows]) + "\n")
    (tmp_path / "images512").mkdir()
    return tmp_path


def test_one_finding_is_positive_where_it_is_named(folder: Path) -> None:
    films = datasets.nih(folder, positive="effusion")
    assert films.positive == "Effusion"
    assert [film.label for film in films.films] == [0, 1, 1, 0, 0]
    assert [film.label for film in datasets.nih(folder, positive="abnormal").films] == [0, 1, 1, 1, 0]
