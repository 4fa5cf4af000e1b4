"""A task from another package goes from a recipe to a lesion in a case, by one module on each side and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters import cli, tasks
from converters.failures import RecipeInvalid
from converters.recipe import load_recipe
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.tasks import registry
from tests.converters.conftest import QUICK, SIDE, WORDS

ROOT = Path(__file__).parents[2]
RECIPE = """
pack = "toy-boxes"
version = "0.0.1"
seed = 3
describe = "words.toml"
task = "toy-boxes"
[toy-boxes]
box_weight = 2.0
[data]
reader = "masks"
positive = "disc"
folds = 2
test = 0.25
[input]
size = 64
[net]
build = "tests.converters.toy_boxes:network"
random = true
[train]
start = "random"
epochs = 12
batch = {batch}
learning_rate = 0.02
average_steps = {average_steps}
warmup_steps = {warmup_steps}
[export]
runtimes = ["onnxruntime"]
precisions = ["fp32"]
[operating_point]
rule = "sensitivity"
at_least = 0.9
[gate]
auc_loss = 1.0
sensitivity_loss = 1.0
most_lost = 100
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which both halves of the task are named by entry points, on the path of this and of new processes."""
    folder = tmp_path / "site"
    about = folder / "toy_boxes-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-boxes\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[lantern.tasks]\ntoy-boxes = tests.toy_task\n"
        "[lantern.converter_tasks]\ntoy-boxes = tests.converters.toy_boxes:task\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT))))
    for known in (tasks.list_tasks, tasks.get, registry.list_task_modules):
        known.cache_clear()
    return folder


def draw(folder: Path, count: int) -> dict[str, tuple[float, float]]:
    """``count`` films in ``folder``, every other one with a disc, whose outline is its mask.

    Returns each such film's name with the middle of its disc, (x, y).
    """
    rng, (y, x), middles = np.random.default_rng(1), np.mgrid[0:SIDE, 0:SIDE], {}
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    lines = ["file,class,patient"]
    for number in range(count):
        grey = 90.0 + 8.0 * rng.standard_normal((SIDE, SIDE))
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        name = f"film{number:02}.png"
        if number % 2:
            down, across = rng.uniform(16, 48, 2)
            mask = (y - down) ** 2 + (x - across) ** 2 < 100.0
            middles[name] = (float(across), float(down))
        Image.fromarray(np.clip(grey + 110.0 * mask, 0, 255).astype(np.uint8)).save(folder / "images" / name)
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / name)
        lines.append(f"{name},{'disc' if number % 2 else 'clear'},p{number}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return middles


def cases(packs: Path, folder: Path, film: Path) -> list[dict[str, Any]]:
    """What ``lantern read --json`` says of a film, on a box whose packs are in ``packs``."""
    config = folder / "lantern.toml"
    config.write_text(f'[state]\ndir = "{folder / "state"}"\n[packs]\ndir = "{packs}"\n', encoding="utf-8")
    command = [sys.executable, "-m", "firmware_app", "read", str(film), "--pack", "toy-boxes", "--json"]
    done = subprocess.run([*command, "--config", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_task_of_another_package_goes_from_a_recipe_to_a_lesion_in_a_case(installed: Path, tmp_path: Path) -> None:
    middles = draw(tmp_path / "films", 48)
    (tmp_path / "words.toml").write_text(WORDS, encoding="utf-8")
    recipe = tmp_path / "toy-boxes.toml"
    recipe.write_text(RECIPE.format(**QUICK), encoding="utf-8")
    out = tmp_path / "out"
    assert cli.main(["run", str(recipe), "--data", str(tmp_path / "films"), "--out", str(out)]) == 0

    pack = Pack.load(out / "toy-boxes")
    assert pack.manifest.section.output.mask == "mask"
    [row] = [one for one in pack.manifest.measured if one.runtime == "onnxruntime"]
    assert row.dice is not None
    assert row.dice > 0.5
    said = {gate.runtime: gate.said for gate in pack.manifest.gates}
    assert "Dice" in said["onnxruntime"]

    # The operating point lets one disc in ten pass: of the first films the first that has a lesion is looked at.
    read = (
        (case["lesions"], middle)
        for name, middle in list(middles.items())[:5]
        for case in cases(out, tmp_path, tmp_path / "films" / "images" / name)
    )
    [lesion], (across, down) = next((lesions, middle) for lesions, middle in read if lesions)
    x0, y0, x1, y1 = lesion["box"]
    assert x0 < across < x1
    assert y0 < down < y1
    assert lesion["tags"]["finding"] == "disc"

    recipe.write_text(RECIPE.format(**QUICK).replace("box_weight", "box_wait"), encoding="utf-8")
    with pytest.raises(RecipeInvalid, match="box_wait"):
        load_recipe(recipe)
