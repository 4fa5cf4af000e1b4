"""Where films have dates, a card shows how good a model is from the oldest to the newest."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.data import readers
from converters.data.predictions import Predictions
from converters.evaluation.metrics import in_order, subgroups


def folder_of(path: Path, dates: list[str], column: str = "date") -> Path:
    path.mkdir()
    lines = [f"file,class,{column}"]
    for number, date in enumerate(dates):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(path / f"film{number}.png")
        lines.append(f"film{number}.png,{('clear', 'disc')[number % 2]},{date}")
    (path / "labels.csv").write_text("\n".join(lines) + "\n")
    return path


def slices_of(path: Path) -> list[str]:
    return [dict(film.traits).get("slice", "none") for film in readers.read_labels(path, "disc").films]


@pytest.mark.parametrize(
    ("column", "dates", "wanted"),
    [
        ("date", ["2019-05-31", "20210101", "2021", ""], ["2019", "2021", "2021", "none"]),
        ("year", ["2019", "2020"], ["2019", "2020"]),
        ("study_date", ["2024-05-31", "2024-05-01", "20241224"], ["2024-05", "2024-05", "2024-12"]),
        ("date", ["2024-05-31", "2024"], ["2024", "2024"]),
    ],
)
def test_a_date_becomes_a_slice_of_time(tmp_path: Path, column: str, dates: list[str], wanted: list[str]) -> None:
    assert slices_of(folder_of(tmp_path / "films", dates, column)) == wanted


def test_slices_stand_behind_the_other_groups_from_the_oldest_to_the_newest() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 2
    years = np.array(["2021", "2019", "2020"])[np.arange(240) % 3]
    logits = rng.standard_normal(240) + 2.0 * labels * (years != "2020")
    traits = tuple({"slice": str(year), "sex": "FM"[int(rng.random() < 0.5)]} for year in years)
    names = tuple(str(number) for number in range(240))
    groups = subgroups(Predictions(names, labels, names, logits, traits), 1.0 / (1.0 + np.exp(-logits)), 0.5)
    assert (groups[0].trait, groups[0].value) == ("slice", "2020")
    shown = [(one.trait, one.value) for one in in_order(groups)]
    assert shown[2:] == [("slice", "2019"), ("slice", "2020"), ("slice", "2021")]
    assert {trait for trait, _ in shown[:2]} == {"sex"}
