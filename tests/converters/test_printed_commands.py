"""The commands beside a card's figures: each reads the films that the figure is of."""

from pathlib import Path

import pytest

from converters.packing import measurement
from converters.recipe import load_recipe
from converters.training.steps import RecipeRun

RECIPES = Path(measurement.__file__).parents[1] / "recipes"
KEY = ("onnxruntime", "int8")


@pytest.mark.parametrize(
    ("file", "pack", "recipe"),
    [
        ("chest-xray-child.toml", "models/chest-xray-child", ""),
        ("chest-xray-adult.toml", "models/chest-xray-adult", " --recipe converters/recipes/chest-xray-adult.toml"),
        ("experiments/adult-free.toml", "OUT/adult-free", " --recipe adult-free.toml"),
    ],
)
def test_a_figure_of_films_of_several_sets_is_printed_with_the_recipe_that_names_them(
    tmp_path: Path, file: str, pack: str, recipe: str
) -> None:
    path = RECIPES / file
    run = RecipeRun(load_recipe(path), path.parent, Path("DATA"), tmp_path, file=path.name)
    printed = measurement.evaluate_command(run, "--split test", KEY)
    head = f"lantern-convert evaluate {pack} --data DATA --split test"
    assert printed == f"{head} --runtime onnxruntime --precision int8{recipe}"
