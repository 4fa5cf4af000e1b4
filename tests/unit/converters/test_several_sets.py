"""Several data sets in one recipe: each is read in its own form, and no test patient is learnt from through another."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.data import readers, recipe_data, splits
from converters.failures import DataUnreadable
from converters.recipe import Recipe, load_recipe

SIDE = 64
HANNOVER = "patient_id,image_id,sex,projection\np1,aa,m,ap\np1,bb,m,pa\np2,cc,f,ap\n"


def draw(path: Path, seed: int) -> Path:
    """A picture of coarse noise, another one for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).uniform(0, 255, (8, 8)).repeat(8, 0).repeat(8, 1)
    Image.fromarray(coarse.astype(np.uint8)).save(path)
    return path


def children(folder: Path, first_seed: int, *names: str) -> Path:
    """A folder NORMAL / PNEUMONIA; a name with "person" is of the second."""
    for number, name in enumerate(names):
        draw(folder / ("PNEUMONIA" if "person" in name else "NORMAL") / name, first_seed + number)
    return folder


def hannover(folder: Path) -> Path:
    for number, name in enumerate(("aa", "bb", "cc")):
        draw(folder / "images" / f"{name}.jpg", 500 + number)
    (folder / "labels.csv").write_text(HANNOVER)
    return folder


def recipe_with(folder: Path, *beside: str) -> Recipe:
    lines = "".join(f"[[data.beside]]\n{one}\n" for one in beside)
    (folder / "own.toml").write_text(
        'pack = "own"\nversion = "0.0.1"\ndescribe = "w.toml"\nnet = { student = "plain" }\ntrain = {}\n'
        f'[data]\nreader = "folder"\npositive = "PNEUMONIA"\nfolds = 2\nleave_out = "source"\n{lines}'
    )
    return load_recipe(folder / "own.toml")


def test_films_of_hannover_keep_patients_together_and_say_their_view(tmp_path: Path) -> None:
    films = readers.open_set(hannover(tmp_path / "hannover"), "abnormal").films
    assert [(film.name, film.patient, film.label) for film in films] == [
        ("aa.jpg", "p1", 1),
        ("bb.jpg", "p1", 1),
        ("cc.jpg", "p2", 1),
    ]
    assert dict(films[1].traits) == {"view": "PA", "sex": "M"}
    (tmp_path / "hannover" / "images" / "cc.jpg").unlink()
    with pytest.raises(DataUnreadable, match=r"1 of its films are absent, the first is cc\.jpg"):
        readers.open_set(tmp_path / "hannover", "abnormal")


def test_the_mass_of_a_polygon_file_is_the_mask_and_none_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,class\na.jpg,malignant\nb.jpg,normal\n")
    whole = [[0, 0], [63, 0], [63, 63], [0, 63]]
    outlines = {
        "a": {"liver": whole, "mass": [[10.0, 20.0], [29.0, 20.0], [29.0, 39.0], [10.0, 39.0]]},
        "b": {"liver": whole},
    }
    (tmp_path / "outlines").mkdir()
    for number, (name, parts) in enumerate(outlines.items()):
        draw(tmp_path / "images" / f"{name}.jpg", number)
        (tmp_path / "outlines" / f"{name}.json").write_text(json.dumps(parts))
    sick, well = (film.outline() for film in readers.read_labels(tmp_path, "malignant").films)
    assert sick is not None
    assert well is not None
    assert np.argwhere(sick).min(axis=0).tolist() == [20, 10]
    assert np.argwhere(sick).max(axis=0).tolist() == [39, 29]
    assert int(sick.sum()) == 20 * 20
    assert (well.shape, int(well.sum())) == ((SIDE, SIDE), 0)


@pytest.mark.parametrize("text", ["{", '{"mass": [[1, 2], [3, 4]]}', '{"mass": [[1, 2], [3, 4], [5, NaN]]}', "[]"])
def test_a_broken_polygon_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text("file,class\na.jpg,malignant\n")
    draw(tmp_path / "images" / "a.jpg", 0)
    (tmp_path / "outlines").mkdir()
    (tmp_path / "outlines" / "a.json").write_text(text)
    (film,) = readers.read_labels(tmp_path, "malignant").films
    with pytest.raises(DataUnreadable, match=r"a\.json"):
        film.outline()


def test_a_test_patient_is_not_learnt_from_in_another_size(tmp_path: Path) -> None:
    """The set beside holds a test patient under the same file name, and a copy of another test film."""
    own = children(
        tmp_path / "small",
        0,
        *(f"IM-{n:04}-0001.png" for n in range(8)),
        *(f"person{n}_virus_{n}.png" for n in range(8)),
    )
    beside = children(tmp_path / "native", 100, "person1_virus_9.png", "person70_virus_1.png", "IM-0900-0001.png")
    draw(beside / "NORMAL" / "another-name.png", 2)  # the picture of IM-0002
    (tmp_path / "own.test.txt").write_text(
        "NORMAL/IM-0001-0001.png\nNORMAL/IM-0002-0001.png\nPNEUMONIA/person1_virus_1.png\n"
    )
    recipe = recipe_with(tmp_path, 'path = "native"\nreader = "folder"')
    data = recipe_data.open_recipe_data(recipe, own, lists=tmp_path)
    seen = {name for fold in data.division.folds for name in (*fold.train, *fold.held) if name.startswith("native/")}
    assert seen == {"native/PNEUMONIA/person70_virus_1.png", "native/NORMAL/IM-0900-0001.png"}
    assert set(data.division.test) == set(splits.frozen_test("own", tmp_path))


def test_each_set_is_a_source_and_its_patients_are_nobody_elsewhere(tmp_path: Path) -> None:
    own = children(tmp_path / "small", 0, *(f"IM-{n:04}-0001.png" for n in range(4)), "person1_virus_1.png")
    hannover(tmp_path / "elsewhere" / "hannover")
    recipe = recipe_with(tmp_path, 'path = "elsewhere/hannover"\nreader = "hannover"')
    films = recipe_data.open_reader(recipe, own).films
    sources = {dict(film.traits)["source"] for film in films}
    assert sources == {"small", "hannover"}
    others = [film for film in films if film.name.startswith("hannover/")]
    assert next((film.name, film.patient) for film in others) == ("hannover/aa.jpg", "hannover/p1")
    assert [film.name for film in films[:5]] == [film.name for film in readers.open_set(own, "PNEUMONIA").films]


def many_findings(folder: Path) -> Path:
    """Films of ChestX-ray14's form, of a patient each: opacities, one of them beside a mass, a mass alone, and films
    without finding; the last two are of children."""
    said = ("Effusion", "Edema|Mass", "Mass", "No Finding", "No Finding", "Pneumonia", "Infiltration", "Consolidation")
    rows = [f"{n}.png,{n}.png,{word},{n},{40 if n < 7 else 9},F,PA" for n, word in enumerate((*said, "No Finding"))]
    (folder / "images512").mkdir(parents=True)
    (folder / "labels.csv").write_text(
        "\n".join(["file,Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position", *rows])
    )
    for number in range(len(rows)):
        draw(folder / "images512" / f"{number}.png", 700 + number)
    return folder


def test_films_of_neither_class_are_left_out_and_a_line_says_how_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = children(tmp_path / "small", 0, *(f"IM-{n:04}-0001.png" for n in range(4)), "person1_virus_1.png")
    many_findings(tmp_path / "many")
    words = 'positive = ["Effusion", "Edema", "Pneumonia", "Infiltration"]\nnegative = "No Finding"'
    recipe = recipe_with(tmp_path, f'path = "many"\nreader = "nih-adults"\n{words}')
    labels = {film.name: film.label for film in recipe_data.open_reader(recipe, own).films}
    assert {name: label for name, label in labels.items() if name.startswith("many/")} == {
        "many/0.png": 1,
        "many/1.png": 1,
        "many/3.png": 0,
        "many/4.png": 0,
        "many/5.png": 1,
        "many/6.png": 1,
    }
    assert "1 of 7 films left out" in capsys.readouterr().err


def opacities(folder: Path) -> Path:
    """Films without patients, two of one study; the table says where they were collected."""
    rows = [
        "aa.jpg,opacity,s1,,A long title",
        "bb.jpg,negative,s1,,A long title",
        "cc.jpg,negative,s2,,A long title",
        "person4_virus_2.jpg,opacity,,,A long title",
    ]
    (folder / "images").mkdir(parents=True)
    (folder / "labels.csv").write_text("\n".join(["file,class,study,patient,source", *rows]))
    for number, row in enumerate(rows):
        draw(folder / "images" / row.partition(",")[0], 900 + number)
    return folder


@pytest.mark.parametrize("frozen_before", [False, True])
def test_films_of_a_set_with_its_own_head_are_learnt_from_and_judge_nothing(
    tmp_path: Path, frozen_before: bool
) -> None:
    """A frozen list may name a film of such a set, where it was drawn earlier: it is neither judged nor learnt from."""
    own = children(
        tmp_path / "small",
        0,
        *(f"IM-{n:04}-0001.png" for n in range(8)),
        *(f"person{n}_virus_{n}.png" for n in range(8)),
    )
    beside = children(
        tmp_path / "reports",
        100,
        *(f"IM-{n:04}-0001.png" for n in range(900, 906)),
        *(f"person{n}_virus_1.png" for n in range(6)),
    )
    draw(beside / "NORMAL" / "copy.png", 2)  # the picture of IM-0002
    listed = ("NORMAL/IM-0002-0001.png", "PNEUMONIA/person1_virus_1.png", "reports/NORMAL/IM-0900-0001.png")
    if frozen_before:
        (tmp_path / "own.test.txt").write_text("\n".join(listed))
    recipe = recipe_with(tmp_path, 'path = "reports"\nreader = "folder"\nown_head = true')
    data = recipe_data.open_recipe_data(recipe, own, lists=tmp_path)
    division = data.division
    judging = {*division.test, *division.part("val")}
    assert judging
    assert not [name for name in judging if name.startswith("reports/")]
    learnt = {name for name in division.shipped.train if name.startswith("reports/")}
    assert learnt == data.own_heads
    test = {data.group_of[name] for name in division.test}
    assert not [name for name in learnt if data.group_of[name] in test]
    if frozen_before:
        assert set(division.test) == set(listed[:2])
        assert learnt.isdisjoint({listed[2], "reports/NORMAL/copy.png", "reports/PNEUMONIA/person1_virus_1.png"})
    for fold in division.folds:
        held = {data.group_of[name] for name in fold.held}
        assert not [name for name in fold.train if data.group_of[name] in held]
    again = recipe_data.open_recipe_data(recipe, own, lists=tmp_path).division
    assert (again.test, again.folds) == (division.test, division.folds)
