"""A toy task for tests that train: bright discs are the positive class, and a recipe that takes seconds."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters import cli

if importlib.util.find_spec("torch") is None:  # `make test` installs no PyTorch; these run by `make test-convert`
    collect_ignore_glob = ["test_*.py"]

SIDE = 64
FILMS_PER_CLASS = 24
WORDS = """
drawn_as = "child"
title = { en = "Discs", zh = "圆盘" }
intended_use = { en = "Tests.", zh = "测试。" }
not_for = { en = "People.", zh = "人。" }
weak_points = [{ en = "It is a toy.", zh = "仅为玩具。" }]
[route]
modalities = ["DX"]
body_parts = ["CHEST"]
views = ["AP"]
age_years = {}
population = "adult"
[finding]
code = "disc"
label = { en = "Disc", zh = "圆盘" }
priority = "soon"
[[data]]
name = "made by the test"
licence = "CC0"
citation = "none"
use = "all"
counted = true
"""
QUICK = {"batch": 8, "learning_rate": 3e-3, "average_steps": 4, "warmup_steps": 2}
TABLES: dict[str, dict[str, Any]] = {
    "data": {"reader": "folder", "positive": "disc", "folds": 2, "test": 0.25},
    "input": {"size": SIDE},
    "net": {"teacher": "lite0-cut", "student": "plain-small"},
    "train": {"start": "random", "epochs": 12, **QUICK},
    "distill": {"epochs": 12, **QUICK},
    "prune": {"keep": 0.7, "steps": 2, "epochs": 0, "final_epochs": 4, **QUICK},
    "quantize": {"films": 16, "accuracy_control": False},
    "operating_point": {"rule": "sensitivity", "at_least": 0.9},
    "gate": {"auc_loss": 1.0, "sensitivity_loss": 1.0, "most_lost": 100, "auc_at_least": 0.0, "speed_at_least": 0.0},
}
"""The gates of the task are open: with this little training, what rounding changes is more than they allow.  Nor must a
toy's INT8 file be faster: on films this small there is little to gain."""

PLAIN: dict[str, Any] = {"net": {"student": "plain-small"}, "distill": None, "prune": None}
"""Changes that leave one small network, trained on its own."""

ONE_FOLD: dict[str, Any] = {**PLAIN, "data": {"folds": 1}, "train": {"epochs": 36}}
"""The same with one fold, trained until it has learnt the task on every processor: after twelve epochs it may not."""

Made = Callable[..., Path]
Ran = Callable[..., int]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here trains or exports: it is asked for by its marker, and has the time that it takes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.convert)
            item.add_marker(pytest.mark.timeout(600))
            # The export libraries warn of their own future, and fork where JAX has threads.
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            if importlib.util.find_spec("torch") is None:
                item.add_marker(pytest.mark.skip(reason="PyTorch (extra convert) is not installed"))


def draw(folder: Path, count: int, seed: int = 0) -> Path:
    """An image folder ``clear/`` and ``disc/`` of ``count`` films each, every film its own patient."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for name in ("clear", "disc"):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            coarse = rng.standard_normal((8, 8)).repeat(8, 0).repeat(8, 1)
            grey = 90.0 + 25.0 * coarse + 8.0 * rng.standard_normal((SIDE, SIDE))
            if name == "disc":
                middle = rng.uniform(16, 48, 2)
                grey[(y - middle[0]) ** 2 + (x - middle[1]) ** 2 < 100.0] += 110.0
            Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(folder / name / f"{name}{index:02}.png")
    return folder


def write_recipe(folder: Path, **changes: dict[str, Any] | None) -> Path:
    """The toy recipe in ``folder``; ``changes`` are put over its tables, ``None`` takes a table away."""
    tables = {name: {**TABLES.get(name, {}), **(changes.get(name) or {})} for name in {**TABLES, **changes}}
    tables |= {name: change for name, change in changes.items() if name == "net" and change}
    lines = ['pack = "toy-disc"', 'version = "0.0.1"', "seed = 3", 'describe = "words.toml"']
    for name, table in tables.items():
        if name in changes and changes[name] is None:
            continue
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items() if value is not None)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.toml").write_text(WORDS, encoding="utf-8")
    (folder / "toy-disc.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "toy-disc.toml"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return str(value)


def measure_on_box(packs: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """``lantern pack measure --json`` on the toy pack in ``packs``, on a box that keeps its state in ``folder``."""
    config = folder / "lantern.toml"
    config.write_text(f'[state]\ndir = "{folder / "state"}"\n[packs]\ndir = "{packs}"\n', encoding="utf-8")
    command = [sys.executable, "-m", "firmware_app", "pack", "measure", "toy-disc", "--json"]
    return subprocess.run([*command, "--config", str(config)], capture_output=True, text=True, check=False)


def read_on_box(pack: Path, image: Path, folder: Path) -> dict[str, Any]:
    """What a box says of a DICOM file, once the finished ``pack`` was signed, published and installed there."""
    keys, place, config = folder / "keys", folder / "repository", folder / "lantern.toml"
    assert cli.main(["keys", "--out", str(keys)]) == 0
    assert cli.main(["publish", str(pack), "--repository", str(place), "--keys", str(keys)]) == 0
    (folder / "shipped").mkdir()
    config.write_text(
        f'[box]\nlanguage = "en"\n[state]\ndir = "{folder / "state"}"\n[packs]\ndir = "{folder / "shipped"}"\n',
        encoding="utf-8",
    )
    install = ["pack", "install", pack.name, "--repository", str(place), "--root", str(keys / "root.json"), "--json"]
    for command in (install, ["read", str(image), "--pack", pack.name, "--json"]):
        words = [sys.executable, "-m", "firmware_app", *command, "--config", str(config)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    case: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    assert case["readings"][0]["status"] == "read", case
    assert case["readings"][0]["pack"]["name"] == pack.name
    return case


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 films of each class."""
    return draw(tmp_path_factory.mktemp("films") / "discs", FILMS_PER_CLASS)


@pytest.fixture(scope="session", autouse=True)
def few_repeats() -> None:
    """Files are timed once and shortly, intervals and golden films are sought with fewer draws: no test here asks how
    long a file takes, how wide an interval is or how sure a drawn film."""
    from converters.formats import artefacts
    from converters.quantizing import speed
    from converters.statistics import intervals
    from converters.synthetic_images import golden_images

    artefacts.ROUNDS, artefacts.TIMES = 1, 3
    speed.ROUNDS, speed.TIMES = 1, 3
    intervals.RESAMPLES = 200
    golden_images.DRAWS, golden_images.STEPS, golden_images.PHANTOM_TRIES = 8, 40, 5


@pytest.fixture
def fresh_lists(tmp_path: Path) -> Path:
    """Where the test list of this test's recipe is frozen: beside it."""
    return tmp_path


@pytest.fixture(scope="session")
def chain(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the whole toy recipe has run once: ``toy-disc.toml``, ``out/toy-disc``, ``out/work``."""
    folder = tmp_path_factory.mktemp("chain")
    recipe = write_recipe(folder, abstain={"error": 0.2}, operating_point={"standardise": True})
    draw(films.parent / "there", 4, seed=9)
    with recipe.open("a") as file:
        file.write('[[elsewhere]]\npath = "there"\n[[elsewhere]]\npath = "nowhere"\n')
    assert cli.main(["run", str(recipe), "--data", str(films), "--out", str(folder / "out")]) == 0
    return folder
