"""Recipes: ours and the examples are whole, and one that cannot be followed says so before anything is done."""

from pathlib import Path

import pytest

from converters.failures import RecipeInvalid
from converters.packing.words import load_words
from converters.recipe import load_recipe

CONVERTERS = Path(__file__).parents[3] / "converters"
RECIPES = sorted(
    path
    for folder in ("recipes", "recipes/experiments", "examples")
    for path in (CONVERTERS / folder).glob("*.toml")
    if not path.name.endswith(".words.toml")
)
LEAST = """
pack = "own"
version = "0.0.1"
describe = "own.words.toml"
data = { reader = "folder", positive = "disc" }
"""


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_a_recipe_in_the_repository_is_whole_and_has_its_words(path: Path) -> None:
    recipe = load_recipe(path)
    assert all(one.code for one in load_words(path.parent / recipe.describe).named)
    assert recipe.pack == path.stem


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('net = { teacher = "lite0", student = "plain-small" }\ntrain = {}', "teacher needs"),
        ('net = { student = "plain-small" }\ntrain = {}\ndistill = {}', "needs [net] teacher"),
        ('net = { student = "plain-small" }', "[train] is missing"),
        ('net = { onnx = "own.onnx" }\ntrain = {}', "an ONNX file is not trained"),
        ('net = { build = "own:net", weights = "own.pt" }\nprune = { keep = 0.5 }', "narrow your own"),
        ('net = { build = "own:net" }', "build without weights is a network of random numbers"),
        ('net = { build = "own:net", random = true }\ninput = { colour = "rgb" }', "[net] colours = 3"),
        ('net = { student = "plain-small" }\ntrain = {}\ninput = { range = [-1, 1] }', "for a network of your own"),
        ('net = { onnx = "own.onnx" }\nreference = {}', "give function or scores"),
        ('net = { build = "own:net", onnx = "own.onnx" }', "exactly one of student, backbone, build and onnx"),
        ('net = { build = "own:net", features = "body" }', "features and classifier belong together"),
        (
            (
                'net = { student = "plain-small" }\ntrain = {}\noperating_point = { standardise = true }\n'
                'classify = { kind = "labels", labels = ["a"] }'
            ),
            "standardise is for",
        ),
        ('net = { build = "own:net", wieghts = "own.pt" }', "net.wieghts: Extra inputs are not permitted"),
    ],
)
def test_what_does_not_belong_together_is_one_sentence(tmp_path: Path, more: str, why: str) -> None:
    (tmp_path / "own.toml").write_text(LEAST + more)
    with pytest.raises(RecipeInvalid) as refused:
        load_recipe(tmp_path / "own.toml")
    assert why in str(refused.value)
