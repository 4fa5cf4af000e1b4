"""A pack is judged on films of other places as the box would read them: what it refuses there counts, and is named."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters import cli
from converters.data.datasets import Film, FilmSet
from converters.elsewhere import figures, sets
from converters.elsewhere.box import BoxAnswer
from converters.elsewhere.sets import External
from converters.failures import DataUnreadable
from converters.statistics import intervals
from firmware_app.packs.evidence import ExternalValidation
from firmware_app.packs.manifest import Manifest
from tests import toy_pack
from tests.unit.converters.test_evaluate import FINDING, grey

pytestmark = pytest.mark.usefixtures("few_resamples")

FRONTAL, LATERAL = "PA", "LL"


def films(labels: Sequence[int]) -> FilmSet:
    return FilmSet(
        "there",
        "bright",
        tuple(
            Film(f"f{number}", Path(f"f{number}.png"), label, f"p{number // 2}") for number, label in enumerate(labels)
        ),
    )


def draw_data_set(folder: Path, rows: Sequence[tuple[bool, int, str]], first_seed: int = 100) -> Path:
    """A set with ``labels.csv``: whether the film is bright, the patient's age, and the view."""
    (folder / "images").mkdir(parents=True)
    lines = ["file,class,patient,age,view"]
    for number, (bright, age, view) in enumerate(rows):
        Image.fromarray(grey(bright, first_seed + number)).save(folder / "images" / f"{number}.png")
        lines.append(f"{number}.png,{'bright' if bright else 'dark'},p{number},{age},{view}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return toy_pack.write(tmp_path / "packs", "toy", "adult", 18, None, threshold=0.6)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return draw_data_set(tmp_path / "home", [(index % 2 == 0, 40, FRONTAL) for index in range(8)], first_seed=0)


def read_rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert cli.main(["evaluate", *arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n"] == 8  # the documented object stays that of --data
    rows = told["elsewhere"]
    assert isinstance(rows, list)
    return rows


def test_every_film_counts_and_those_without_a_number_are_told_apart() -> None:
    """Four positives, three of them found; six others, of which one is called positive; three films get no number."""
    scores = [2.0, 1.0, 0.5, -1.0, -2.0, -2.0, -2.0, -2.0, -2.0, 3.0]
    refused = [None, "age", None, "reading.unfamiliar", None, None, None, None, None, "age"]
    said = [BoxAnswer(score, why) for score, why in zip(scores, refused, strict=True)]
    there = films([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    row = figures.row(there, said, FINDING, "onnxruntime", "fp32")
    assert (row.n, row.positives, row.scored, row.passed) == (10, 4, 10, 0.7)
    assert (row.n_passed, row.positives_passed) == (7, 2)
    assert (row.sensitivity, row.specificity, row.auc) == (0.75, round(5 / 6, 4), round((3 * 5 + 5) / 24, 4))
    assert (row.sensitivity_passed, row.specificity_passed, row.auc_passed) == (1.0, 1.0, 1.0)
    assert (row.wrong, row.wrong_passed) == (0.2, 0.0)  # one missed, one false alarm, and neither gets a number
    assert (row.refused, row.why) == ({"age": 2, "reading.unfamiliar": 1}, {})
    people = [film.patient for film in there.films]
    read = np.array([why is None for why in refused])
    labels = np.array([film.label for film in there.films])
    chances = 1 / (1 + np.exp(-np.array(scores)))
    for given, wanted in (
        (row.passed_ci, intervals.rate_interval(read, people)),
        (row.auc_ci, intervals.auc_interval(labels, chances, people)),
        (row.sensitivity_ci, intervals.rate_interval(chances[:4] >= 0.5, people[:4])),
        (row.specificity_passed_ci, intervals.rate_interval(np.ones(5, bool), people[4:9])),
    ):
        assert given == pytest.approx(wanted, abs=5e-5)


def test_the_box_refuses_other_ages_other_views_and_films_that_show_nothing(
    pack: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(True, 40, FRONTAL), (False, 50, FRONTAL), (True, 12, FRONTAL), (False, 60, LATERAL), (False, 70, FRONTAL)]
    there = draw_data_set(tmp_path / "there", rows)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(there / "images" / "4.png")
    (row,) = read_rows(capsys, str(pack), "--data", str(home), "--external", f"{there}=county")
    assert (row["source"], row["n"], row["positives"], row["passed"]) == ("county", 5, 2, 0.4)
    assert row["refused"] == {"age": 1, "quality.blank": 1, "reading.view": 1}
    assert (row["scored"], row["auc"], row["auc_passed"], row["set_aside"]) == (5, 1.0, 1.0, 0)


def test_a_film_unlike_those_of_home_is_refused_elsewhere_too(
    pack: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_pack.add_typicality(pack, [grey(True, seed) for seed in range(8)], limit=1.0)
    there = draw_data_set(tmp_path / "there", [(True, 40, FRONTAL), (True, 40, FRONTAL), (False, 40, FRONTAL)])
    (row,) = read_rows(capsys, str(pack), "--data", str(home), "--external", str(there))
    assert (row["source"], row["refused"], row["passed"]) == ("there", {"reading.unfamiliar": 1}, round(2 / 3, 4))


def test_a_patient_or_a_copy_of_home_judges_nothing_elsewhere(
    pack: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = draw_data_set(tmp_path / "there", [(True, 40, FRONTAL), (False, 40, FRONTAL), (True, 40, FRONTAL)])
    (there / "images" / "2.png").write_bytes((home / "images" / "4.png").read_bytes())
    (row,) = read_rows(capsys, str(pack), "--data", str(home), "--external", str(there))
    assert (row["n"], row["set_aside"]) == (2, 1)
    assert cli.main(["evaluate", str(pack), "--data", str(home), "--external", str(home)]) == 1
    assert "it is no other place" in capsys.readouterr().err
    child = Film("a", there / "images" / "0.png", 1, "p1")
    older = Film("b", there / "images" / "1.png", 0, "p1")  # one folder, so p1 is one person
    with pytest.raises(DataUnreadable, match="no other place"):
        sets.strangers(FilmSet("there", "bright", (child,)), FilmSet("home", "bright", (older,)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("films/nih", External(Path("films/nih"), "nih")),
        ("films/nih=county", External(Path("films/nih"), "county")),
        ("films/nih:under-18", External(Path("films/nih"), "nih-under-18", "under-18")),
        ("films/nih:under-18=county", External(Path("films/nih"), "county", "under-18")),
        ("films/a=b/nih", External(Path("films/a=b/nih"), "nih")),
    ],
)
def test_a_set_is_named_by_its_folder_its_part_and_a_name(text: str, expected: External) -> None:
    assert External.parse(text) == expected


def test_the_rows_stand_in_the_manifest_and_a_second_look_replaces_them(
    pack: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = draw_data_set(tmp_path / "there", [(True, 40, FRONTAL), (False, 40, FRONTAL)])
    for _ in range(2):
        assert cli.main(["elsewhere", str(pack), "--data", str(home), "--external", f"{there}=county"]) == 0
    (row,) = Manifest.load(pack).measured_elsewhere
    assert isinstance(row, ExternalValidation)
    assert (row.source, row.n, row.runtime, row.precision) == ("county", 2, "onnxruntime", "fp32")
    wanted = "evaluate OUT/toy --data DATA --external EXTERNAL=county --runtime onnxruntime --precision fp32 --json"
    assert row.command == f"lantern-convert {wanted}"
    assert "elsewhere: county" in capsys.readouterr().out


def test_a_set_that_the_recipe_names_is_read_in_its_own_words(
    pack: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There the finding is called otherwise, and films of a third class are none of the two."""
    there = draw_data_set(tmp_path / "there", [(True, 40, FRONTAL), (False, 40, FRONTAL), (True, 40, FRONTAL)])
    table = (there / "labels.csv").read_text().replace("bright", "tuberculosis").splitlines()
    table[-1] = table[-1].replace("tuberculosis", "lateral only")
    (there / "labels.csv").write_text("\n".join(table))
    (tmp_path / "toy.toml").write_text(
        'pack = "toy"\nversion = "0.0.1"\ndescribe = "w.toml"\nnet = { student = "plain" }\ntrain = {}\n'
        '[data]\nreader = "masks"\npositive = "bright"\n[[elsewhere]]\npath = "there"\ntitle = "New Delhi"\n'
        'reader = "masks"\npositive = "tuberculosis"\nnegative = "dark"\n'
    )
    (row,) = read_rows(
        capsys,
        str(pack),
        "--data",
        str(home),
        "--recipe",
        str(tmp_path / "toy.toml"),
        "--external",
        f"{there}=New Delhi",
    )
    assert (row["source"], row["n"], row["positives"]) == ("New Delhi", 2, 1)
