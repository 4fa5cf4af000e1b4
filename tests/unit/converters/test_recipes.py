"""Recipes: ours and the examples are whole, and one that cannot be followed says so before anything is done."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from converters.failures import RecipeInvalid
from converters.packing import licences
from converters.packing.words import load_words
from converters.recipe import Recipe, load_recipe
from converters.recipe_tables import Abstain, Cost, Data, Gate, Input, OperatingPoint, Quantize, Train

CONVERTERS = Path(__file__).parents[3] / "converters"
RECIPES = sorted(
    path
    for folder in ("recipes", "recipes/experiments", "examples")
    for path in (CONVERTERS / folder).glob("*.toml")
    if not path.name.endswith(".words.toml")
)
TABLES: dict[str, type[BaseModel]] = {
    "data": Data,
    "input": Input,
    "cost": Cost,
    "operating_point": OperatingPoint,
    "train": Train,
    "quantize": Quantize,
    "gate": Gate,
    "abstain": Abstain,
}
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


def test_the_page_on_own_models_tells_the_defaults_that_hold() -> None:
    page = (CONVERTERS.parent / "docs" / "your-own-model.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:`\[(\w+)\]`|–) \| `(\w+)` \| (?:`(.+?)`|–) \|", page, re.MULTILINE)
    assert len(rows) > 15
    for table, key, default in rows:
        described: type[BaseModel] = TABLES[table] if table else Recipe
        fields = described.model_fields
        assert (json.loads(default) if default else None) == fields[key].default, (table, key)


@pytest.mark.parametrize(
    ("name", "licence", "without"),
    [
        ("chest-xray-adult", "CC-BY-NC-4.0", set()),
        ("experiments/adult-without-new-delhi", "CC-BY-NC-4.0", {"chest-xray-nitrd"}),
        ("experiments/adult-free", "Apache-2.0", {"chest-xray-siim", "chest-xray-nitrd"}),
    ],
)
def test_an_opacity_recipe_says_whose_films_it_learns_from_and_what_its_weights_may_do(
    name: str, licence: str, without: set[str]
) -> None:
    path = CONVERTERS / "recipes" / f"{name}.toml"
    recipe = load_recipe(path)
    words = load_words(path.parent / recipe.describe)
    sources = [(one.name, one.licence) for one in words.data]
    assert licences.of_weights(words.weights_licence, sources) == licence
    learnt = {one.path for one in recipe.data.beside}
    assert not learnt & without
    assert {one.name for one in recipe.elsewhere} == {one.name for one in words.elsewhere}
    assert recipe.train is not None
    assert recipe.train.even == ("source" if recipe.data.beside else None)
    teaches = [one for one in recipe.data.beside if not one.own_head]
    assert recipe.data.leave_out == ("source" if teaches else None)
    for finding in words.named:
        assert finding.label.en == "Lung opacity (signs of pneumonia or tuberculosis)"


def test_the_breast_recipe_learns_from_two_hospitals_and_leaves_each_out_once() -> None:
    path = CONVERTERS / "recipes" / "breast-ultrasound.toml"
    recipe = load_recipe(path)
    words = load_words(path.parent / recipe.describe)
    assert [one.name for one in recipe.data.beside] == ["breast-ultrasound-uclm"]
    assert words.weights_licence == "CC-BY-NC-4.0"
    assert any("BUS-UCLM" in one.name and "NC" in one.licence for one in words.data)
    assert recipe.train is not None
    assert recipe.train.even == recipe.data.leave_out == "source"
