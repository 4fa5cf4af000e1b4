"""What a film's label can be: words become numbers, recipes that contradict themselves are refused, and what is
measured agrees with arithmetic that a person can check."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from converters.data import readers
from converters.data.datasets import Film, FilmSet
from converters.failures import DataUnreadable
from converters.recipe import Recipe
from converters.statistics import agreement
from converters.tasks import boxes, kinds
from converters.tasks.classify import Classify

THREE = {"kind": "classes", "labels": ("clear", "disc", "ring"), "none": ("clear",)}


def kind(**wanted: Any) -> kinds.Kind:
    made = kinds.parse_settings(kinds.Settings(**wanted), 0)
    assert made is not None
    return made


def recipe(**tables: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "pack": "toy",
            "version": "0.0.1",
            "describe": "words.toml",
            "data": {"reader": "folder"},
            "net": {"backbone": "resnet10-small"},
            "train": {"start": "random"},
            **tables,
        }
    )


def test_classes_are_put_in_the_findings_order_whatever_the_networks_is() -> None:
    three = kind(**THREE)
    assert (three.names, three.order, three.findings) == (("disc", "ring", "clear"), (1, 2, 0), 2)
    targets = np.array([three.target(word) for word in ("Ring", "clear", "disc")])
    assert three.shows(targets).tolist() == [[0, 1], [0, 0], [1, 0]]
    odds = three.logits(np.log([[0.2, 0.3, 0.5]]))
    assert (1 / (1 + np.exp(-odds))).ravel().tolist() == pytest.approx([0.2, 0.3])


def test_labels_stand_together_and_a_word_that_the_recipe_leaves_out_counts_for_nothing() -> None:
    two = kind(kind="labels", labels=("Mass", "Effusion"), none=("Hernia",))
    assert [two.target(word) for word in ("Effusion|Mass", "Hernia", "No Finding", "mass; hernia")] == [
        (1.0, 1.0),
        (0.0, 0.0),
        (0.0, 0.0),
        (1.0, 0.0),
    ]


def test_each_channel_of_grades_learns_whether_the_grade_is_above_it() -> None:
    graded = kind(kind="grades", grades=4, at_least=2)
    targets = np.array([graded.target(word) for word in "0123"])
    assert graded.learn(targets, (0.0, 1.0)).tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert graded.shows(targets).ravel().tolist() == [0, 0, 1, 1]
    assert graded.logits(np.array([[5.0, 1.5, -3.0]])).tolist() == [[1.5]]


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (THREE, "square"),
        ({"kind": "labels", "labels": ("mass",)}, "mass|tube"),
        ({"kind": "grades", "grades": 3, "at_least": 1}, "3"),
        ({"kind": "number", "at_least": 1}, "wide"),
    ],
)
def test_a_label_that_is_none_is_refused_with_the_films_name(wanted: dict[str, Any], word: str) -> None:
    films = FilmSet("toy", "", (Film("a.png", Path("a.png"), 0, "a", said=word),))
    with pytest.raises(DataUnreadable, match=r"a\.png"):
        Classify(kind(**wanted)).aim(films)


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"classify": {"kind": "classes", "labels": ["disc"]}}, "two or more"),
        ({"classify": {"kind": "classes", "labels": ["a", "b"], "none": ["a", "b"]}}, "at least is a finding"),
        ({"classify": {"kind": "grades", "grades": 4}}, "at_least"),
        ({"classify": {"kind": "labels", "labels": ["a"]}, "data": {"reader": "folder", "positive": "a"}}, "positive"),
        ({}, "positive"),
        ({"classify": THREE, "train": {"start": "random", "loss": "huber"}}, "there is no loss huber for classes"),
        ({"classify": THREE, "net": {"student": "plain-small", "softmax": True}}, "softmax"),
        ({"classify": THREE, "net": {"backbone": "resnet18"}, "train": None}, "weights are missing"),
        ({"task": "boxes", "data": {"reader": "folder", "positive": "disc"}}, "reader"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(tables: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        recipe(**tables)


def test_kappa_is_one_for_the_same_grades_and_nothing_for_those_of_chance() -> None:
    truth = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    assert agreement.quadratic_kappa(truth, truth, 4) == 1.0
    assert agreement.quadratic_kappa(truth, np.array([0, 0, 0, 0, 3, 3, 3, 3]), 4) == pytest.approx(0.0)
    # by hand: the mean squared distance is 0.5, and 1.5 by chance
    assert agreement.quadratic_kappa(truth, np.array([1, 1, 2, 2, 1, 1, 2, 2]), 4) == pytest.approx(1 - 0.5 / 1.5)
    assert agreement.quadratic_kappa(np.zeros(4, np.int64), np.zeros(4, np.int64), 4) is None


def test_boxes_stand_beside_the_films_or_around_their_outlines(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((20, 40), np.uint8)).save(tmp_path / "images" / name)
    (tmp_path / "labels.csv").write_text("file,class\na.png,disc\nb.png,clear\n")
    (tmp_path / "boxes.csv").write_text("file,x0,y0,x1,y1\na.png,4,5,12,10\na.png,20,0,40,20\n")
    first, second = readers.read_labels(tmp_path, "disc").films
    assert boxes.fractions(first) == ((0.1, 0.25, 0.3, 0.5), (0.5, 0.0, 1.0, 1.0))
    assert boxes.fractions(second) == ()
    (tmp_path / "boxes.csv").write_text("file,x0,y0,x1,y1\na.png,4,5,4,10\n")
    with pytest.raises(DataUnreadable, match="row 1"):
        readers.read_labels(tmp_path, "disc")
    (tmp_path / "boxes.csv").unlink()
    (tmp_path / "masks").mkdir()
    mask = np.zeros((20, 40), np.uint8)
    mask[5:10, 4:12] = 255
    for name in ("a.png", "b.png"):
        Image.fromarray(mask if name == "a.png" else 0 * mask).save(tmp_path / "masks" / name)
    first, second = readers.read_labels(tmp_path, "disc").films
    assert boxes.fractions(first) == ((0.1, 0.25, 0.3, 0.5),)
    assert boxes.fractions(second) == ()


def test_what_a_network_is_to_learn_of_a_box_is_the_box_that_is_decoded() -> None:
    from firmware_app.packs.tasks import boxes as box

    wanted = (0.1, 0.2, 0.4, 0.5)
    middles, sides, _ = boxes.aim((wanted,), (8, 8))
    cells = np.concatenate([8.0 * middles[np.newaxis] - 4.0, sides]).astype(np.float32)
    (found,) = box.decode_boxes(cells, 0.0, boxes.OWN, 0.5)
    assert found[:4] == pytest.approx(wanted, abs=1e-6)
