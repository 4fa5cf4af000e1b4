"""ChestX-ray14: the word of the recipe is the finding that is positive, or it is refused."""

from pathlib import Path

import numpy as np
import pytest

from converters.data import datasets, readers
from converters.failures import DataUnreadable
from converters.training import targets

HEADING = "file,Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position"
FINDINGS = ("No Finding", "Effusion", "Effusion|Mass", "Nodule", "No Finding")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"{number}.png,{number}.png,{word},{number},40,F,PA" for number, word in enumerate(FINDINGS, 1)]
    (tmp_path / "labels.csv").write_text("\n".join([HEADING, *rows]) + "\n")
    (tmp_path / "images512").mkdir()
    names = ",".join(f"prob_{name}" for name in datasets.NIH_FINDINGS)
    chances = [",".join(["0.9"] * 14), ",".join(["0.1", "0.1", "0.8", *["0.1"] * 11])]
    lines = [f"{number}.png,{chance}" for number, chance in enumerate(chances, 1)]
    (tmp_path / "densenet121_predictions.csv").write_text("\n".join([f"Image Index,{names}", *lines]) + "\n")
    return tmp_path


def test_one_finding_is_positive_where_it_is_named(folder: Path) -> None:
    films = datasets.nih(folder, positive="effusion")
    assert films.positive == "Effusion"
    assert [film.label for film in films.films] == [0, 1, 1, 0, 0]
    assert [film.label for film in datasets.nih(folder, positive="abnormal").films] == [0, 1, 1, 1, 0]


def test_a_finding_that_does_not_exist_is_refused_with_those_that_do(folder: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"no finding is called Tuberculosis \(there are: abnormal, Atelectasis"):
        datasets.nih(folder, positive="Tuberculosis")
    guessed = readers.opened(folder, "chest_abnormal")  # a pack's own word, which nobody named
    assert [film.label for film in guessed.films] == [0, 1, 1, 1, 0]


def test_a_published_network_speaks_of_the_finding_that_is_positive(folder: Path) -> None:
    """All its findings are likely on film 1, but only effusion on film 2."""
    aim = targets.targets(datasets.nih(folder, positive="Effusion"), 1.0, None).main
    whole = targets.any_finding(np.array([[0.9] * 14, [0.1, 0.1, 0.8, *[0.1] * 11]]))
    assert whole[0] - whole[1] > 5.0
    assert abs(aim[0] - aim[1]) < 0.9
