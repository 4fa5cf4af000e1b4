"""Each source and class is drawn equally often, and a source of one class does not become the label."""

from pathlib import Path

import numpy as np
import pytest

from converters.data.datasets import Film, FilmSet
from converters.failures import RecipeInvalid
from converters.recipe import Recipe, load_recipe
from converters.training import even_draws, targets
from converters.training.even_draws import Shares, shares

BATCH = 32


def draw_epoch(counts: dict[tuple[str, int], int], **weights: float) -> tuple[list[tuple[str, int]], Shares]:
    """The source and label of every film of an epoch, in their order; ``counts``: how many films there are of each."""
    cells = [cell for cell, count in counts.items() for _ in range(count)]
    labels, values = np.array([label for _, label in cells]), [source for source, _ in cells]
    made = shares("own", labels, values, {source: weights.get(source, 1.0) for source in values})
    return [cells[row] for row in made.order(7)], made


def test_every_batch_holds_each_source_and_class_equally_often() -> None:
    """Of 11 to 900 films a cell."""
    order, _ = draw_epoch({("a", 0): 900, ("a", 1): 700, ("b", 0): 11, ("b", 1): 40})
    assert len(order) == 1651
    for start in range(0, len(order) - BATCH, BATCH):
        batch = order[start : start + BATCH]
        for cell in (("a", 0), ("a", 1), ("b", 0), ("b", 1)):
            assert abs(batch.count(cell) - BATCH / 4) <= 1, (start, cell)


def test_no_film_comes_again_before_the_others_of_its_cell() -> None:
    _, made = draw_epoch({("a", 0): 300, ("a", 1): 300, ("b", 0): 20, ("b", 1): 20})
    order = [int(row) for row in made.order(7)]
    small = [row for row in order if 600 <= row < 620]
    assert sorted(small[:20]) == list(range(600, 620))
    large = [row for row in order if row < 300]
    assert len(large) == len(set(large))
    assert order != [int(row) for row in made.order(8)]


def test_a_set_with_its_own_head_is_drawn_by_its_weight_and_leaves_the_findings_classes_even() -> None:
    """Beside a source of one class, which would have to be filled up by it if it taught the finding."""
    counts = {("a", 0): 300, ("a", 1): 500, ("hannover", 1): 200, ("nih", 0): 500, ("nih", 1): 100}
    cells = [cell for cell, count in counts.items() for _ in range(count)]
    labels, values = np.array([label for _, label in cells]), [source for source, _ in cells]
    heads = [int(source == "nih") for source in values]
    made = shares("own", labels, values, {"a": 1.0, "hannover": 1.0, "nih": 0.5}, heads=heads)
    order = [cells[row] for row in made.order(7)]
    count = {cell: order.count(cell) for cell in counts}
    assert abs(count["a", 0] - count["a", 1] - count["hannover", 1]) <= 2
    assert abs(count["nih", 0] - count["nih", 1]) <= 1
    assert (count["nih", 0] + count["nih", 1]) / len(order) == pytest.approx(1.0 / 3.25, abs=0.01)


def test_sources_of_one_class_each_are_refused() -> None:
    with pytest.raises(RecipeInvalid, match="the label would be the source"):
        draw_epoch({("a", 0): 30, ("hannover", 1): 30})
    with pytest.raises(RecipeInvalid, match="the label would be the source"):  # another head's films change nothing
        shares(
            "own",
            np.array([0, 1, 0, 1]),
            ["a", "b", "nih", "nih"],
            dict.fromkeys(("a", "b", "nih"), 1.0),
            heads=[0, 0, 1, 1],
        )


def recipe(folder: Path, train: str, beside: str = "") -> Recipe:
    net = "" if "[net]" in beside else 'net = { student = "plain" }'
    (folder / "own.toml").write_text(
        f'pack = "own"\nversion = "0.0.1"\ndescribe = "w.toml"\n{net}\ntrain = {{ {train} }}\n'
        f'cost = {{ miss = 5.0, prevalence = 0.5 }}\n[data]\nreader = "folder"\npositive = "x"\n{beside}'
    )
    return load_recipe(folder / "own.toml")


@pytest.mark.parametrize("even", ["", 'even = "source"'])
def test_the_cost_of_a_miss_weighs_the_finding_alone(tmp_path: Path, even: str) -> None:
    """Films of a set with its own head teach channel 1, and both of its labels weigh the same there."""
    films = [("a", 1)] * 5 + [("a", 0)] * 40 + [("nih", 1)] * 10 + [("nih", 0)] * 20
    made = FilmSet(
        "own",
        "x",
        tuple(
            Film(str(number), Path(f"{number}.png"), label, str(number), traits=(("source", source),))
            for number, (source, label) in enumerate(films)
        ),
    )
    beside = '[[data.beside]]\npath = "y/nih"\nreader = "folder"\nown_head = true\n'
    aim = targets.weigh_by_cost(made, recipe(tmp_path, even, beside))
    assert aim.channel.tolist() == [0] * 45 + [1] * 30
    once = even_draws.plan_shares(made, recipe(tmp_path, even, beside))
    often = np.ones(75) if once is None else once.frequency
    sums = {
        cell: sum(w * o for w, o, one in zip(aim.weights, often, films, strict=True) if one == cell)
        for cell in set(films)
    }
    assert sums["a", 1] / sums["a", 0] == pytest.approx(5.0, rel=1e-4)
    assert sums["nih", 1] / sums["nih", 0] == pytest.approx(1.0, rel=1e-4)
    student, counts = targets.make_student_targets(aim, 2)
    assert counts.tolist() == [True] * 45 + [False] * 32
    assert len(student.main) == len(student.weights) == len(student.channel) == 77
    assert not student.channel.any()


OWN_HEAD = '[[data.beside]]\npath = "y"\nreader = "folder"\nown_head = true\n'


@pytest.mark.parametrize(
    ("train", "beside", "why"),
    [
        ('even = "source", hard_examples = 0.1', "", "hard_examples does not go with it"),
        ("", '[[data.beside]]\npath = "y"\nreader = "folder"\nweight = 0.5\n', "weight needs"),
        ('loss = "focal"', OWN_HEAD, "own_head is for task"),
        ("", OWN_HEAD.replace("folder", "hannover"), "own_head needs films of both classes"),
        ("", OWN_HEAD + '[net]\nbuild = "a:b"\nrandom = true\n', "own_head needs one network of converters.nets"),
        ('even = "view"', '[[data.beside]]\npath = "y"\nreader = "folder"\nweight = 0.5\n', "weight needs"),
    ],
)
def test_what_does_not_go_with_even_draws_or_a_head_of_its_own_is_refused(
    tmp_path: Path, train: str, beside: str, why: str
) -> None:
    with pytest.raises(RecipeInvalid, match=why):
        recipe(tmp_path, train, beside)
