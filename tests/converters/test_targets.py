"""Every kind of target goes from films with labels to a pack whose own numbers say that it was learnt."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from converters import cli
from converters.evaluation import evaluate
from firmware_app.packs.pack_folder import Pack
from tests.converters.conftest import WORDS

SIDE = 64

RECIPE = """
pack = "toy"
version = "0.0.1"
seed = 3
describe = "words.toml"
{head}
[data]
reader = "{reader}"
{positive}
folds = 2
test = 0.25
[input]
size = {size}
{depth}
[net]
{net}
[train]
start = "random"
epochs = {epochs}
batch = 8
learning_rate = {rate}
warmup_steps = 4
average_steps = 4
{loss}
[train.change]
erase = 0.0
blur = 0.0
rotation = 0.0
noise = 0.0
gamma = 0.0
zoom_in = 0.0
zoom_out = 0.0
aspect = 0.0
shift = 0.0
[export]
runtimes = ["onnxruntime"]
precisions = ["fp32"]
[operating_point]
rule = "sensitivity"
at_least = 0.8
[gate]
auc_loss = 1.0
sensitivity_loss = 1.0
most_lost = 100
speed_at_least = 0.0
"""

USUAL: Mapping[str, Any] = {
    "head": "",
    "reader": "masks",
    "positive": "",
    "depth": "",
    "net": 'backbone = "resnet10-small"',
    "epochs": 10,
    "rate": 5e-3,
    "loss": "",
    "size": SIDE,
}
SEGMENTER = """
from torch import nn

def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, 2, 2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 5, 1, 2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, {channels}, 3, 1, 1),
    )
"""


def disc(rng: np.random.Generator, radius: float, grey: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Draw a bright disc into ``grey``; returns where it lies."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    row, column = rng.uniform(radius, SIDE - radius, 2)
    inside = np.asarray((y - row) ** 2 + (x - column) ** 2 < radius**2)
    grey[inside] += 110.0
    return inside


def background(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(70.0 + 6.0 * rng.standard_normal((SIDE, SIDE)))


def bars(grey: NDArray[np.float64]) -> None:
    """Two broad bright bars down the film: narrow ones are no film to the box, but a test pattern."""
    grey[:, 8:20] += 90.0
    grey[:, 42:54] += 90.0


def write_data_set(
    folder: Path, rows: Sequence[tuple[str, NDArray[np.float64], NDArray[np.bool_] | None]], column: str
) -> Path:
    """``labels.csv`` with films and, where there are some, masks."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    lines = [f"file,{column},patient"]
    for number, (word, grey, mask) in enumerate(rows):
        name = f"film{number:02}.png"
        Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(folder / "images" / name)
        if mask is not None:
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / name)
        lines.append(f"{name},{word},p{number}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def format_words(*codes: str, unit: str = "") -> str:
    """The words of a pack with these findings."""
    head, _, tail = WORDS.partition("[finding]")
    end = tail[tail.index("[[data]]") :]
    told = f'unit = {{ en = "{unit}", zh = "{unit}" }}\n' if unit else ""
    each = "".join(
        f'[[findings]]\ncode = "{code}"\nlabel = {{ en = "{code}", zh = "{code}" }}\npriority = "soon"\n{told}'
        for code in codes
    )
    return head + each + end


def run_recipe(folder: Path, data: Path, words: str, **parts: Any) -> Pack:
    """The recipe, run; what ``parts`` do not say is that of classes on a small ResNet."""
    recipe = folder / "toy.toml"
    recipe.write_text(RECIPE.format(**{**USUAL, **parts}), encoding="utf-8")
    (folder / "words.toml").write_text(words, encoding="utf-8")
    assert cli.main(["run", str(recipe), "--data", str(data), "--out", str(folder / "out")]) == 0
    return Pack.load(folder / "out" / "toy")


def numbers(pack: Pack) -> dict[tuple[str, str], Any]:
    """(name, of) → the statistic of the test part; each interval holds its value."""
    row = next(one for one in pack.manifest.measured if one.split == "test")
    for statistic in row.statistics:
        assert (
            statistic.interval is None
            or statistic.value is None
            or statistic.interval[0] <= statistic.value <= statistic.interval[1]
        )
    return {(statistic.name, statistic.of): statistic.value for statistic in row.statistics}


def draw_data_set(
    folder: Path, count: int, scene: Callable[[np.random.Generator, int], tuple[str, Any, Any]], column: str
) -> Path:
    rng = np.random.default_rng(1)
    return write_data_set(folder, [scene(rng, number) for number in range(count)], column)


def test_classes_that_exclude_each_other_are_learnt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def scene(rng: np.random.Generator, number: int) -> tuple[str, Any, Any]:
        grey, word = background(rng), ("clear", "disc", "bars")[number % 3]
        if word == "disc":
            disc(rng, 10.0, grey)
        elif word == "bars":
            bars(grey)
        return word, grey, None

    head = '[classify]\nkind = "classes"\nlabels = ["clear", "disc", "bars"]\nnone = ["clear"]'
    data = draw_data_set(tmp_path / "films", 60, scene, "class")
    pack = run_recipe(tmp_path, data, format_words("bars", "disc"), head=head)
    told = numbers(pack)
    assert min(told["auc", "disc"], told["auc", "bars"], told["macro_auc", ""]) > 0.8
    assert [finding.code for finding in pack.manifest.findings] == ["disc", "bars"]
    assert {"auc of bars", "sensitivity of bars"} <= {
        gate["gate"]
        for one in json.loads((tmp_path / "out" / "work" / "toy" / "gates.json").read_text())["results"]["artefacts"]
        for gate in one["gates"]
    }
    assert "| macro_auc | all |" in (pack.folder / "CARD.md").read_text()
    capsys.readouterr()
    assert cli.main(["evaluate", str(pack.folder), "--data", str(data), "--json"]) == 0
    again = {(one["name"], one["of"]) for one in json.loads(capsys.readouterr().out)["statistics"]}
    assert again == set(told)


def test_labels_that_stand_together_are_learnt_by_a_named_loss(tmp_path: Path) -> None:
    def scene(rng: np.random.Generator, number: int) -> tuple[str, Any, Any]:
        grey, words = background(rng), []
        if number % 2:
            disc(rng, 10.0, grey)
            words.append("disc")
        if number // 2 % 2:
            bars(grey)
            words.append("bars")
        return "|".join(words) or "none", grey, None

    head = '[classify]\nkind = "labels"\nlabels = ["disc", "bars"]'
    net, data = 'backbone = "densenet-small"', draw_data_set(tmp_path / "films", 64, scene, "labels")
    pack = run_recipe(tmp_path, data, format_words("disc", "bars"), head=head, net=net, loss='loss = "focal"')
    told = numbers(pack)
    assert min(told["auc", "disc"], told["auc", "bars"]) > 0.8
    thresholds = [finding.threshold for finding in pack.manifest.findings]
    assert thresholds[0] != thresholds[1]


def test_grades_are_learnt_in_their_order(tmp_path: Path) -> None:
    def scene(rng: np.random.Generator, number: int) -> tuple[str, Any, Any]:
        grey, grade = background(rng), number % 4
        for _ in range(grade):
            disc(rng, 8.0, grey)
        return str(grade), grey, None

    head = '[classify]\nkind = "grades"\ngrades = 4\nat_least = 2'
    data = draw_data_set(tmp_path / "films", 64, scene, "grade")
    pack = run_recipe(tmp_path, data, format_words("many", unit="discs"), head=head, epochs=14)
    assert numbers(pack)["kappa", ""] > 0.5
    assert "kappa" in next(gate.said for gate in pack.manifest.gates)
    assert pack.manifest.section.findings[0].measure.at_least == 2.0


def test_a_number_is_measured_in_its_own_unit(tmp_path: Path) -> None:
    def scene(rng: np.random.Generator, number: int) -> tuple[str, Any, Any]:
        grey, width = background(rng), float(rng.uniform(8.0, 40.0))
        disc(rng, width / 2.0, grey)
        return f"{width:.1f}", grey, None

    head = '[classify]\nkind = "number"\nat_least = 24.0'
    data = draw_data_set(tmp_path / "films", 64, scene, "value")
    pack = run_recipe(tmp_path, data, format_words("wide", unit="px"), head=head, epochs=14, loss='loss = "l1"')
    assert numbers(pack)["mae", ""] < 6.0, "guessing the mean is 8 px off"
    assert "absolute error" in next(gate.said for gate in pack.manifest.gates)
    shown = evaluate.predict(pack, evaluate.choose_films(pack, data, None, None)[0], "onnxruntime", "fp32")
    assert shown.labels.tolist() == [
        int(float(row.split(",")[1]) >= 24.0) for row in (data / "labels.csv").read_text().splitlines()[1:]
    ]


def lesions(rng: np.random.Generator, number: int) -> tuple[str, Any, Any]:
    """A film with two discs and its mask, every other one without any."""
    grey, mask = background(rng), np.zeros((SIDE, SIDE), dtype=bool)
    for _ in range(2 if number % 2 else 0):
        mask |= disc(rng, 8.0, grey)
    return ("disc" if number % 2 else "clear"), grey, mask


@pytest.mark.parametrize(("task", "channels"), [("boxes", 5), ("segment", 1)])
def test_lesions_of_films_are_found_by_boxes_and_by_masks(tmp_path: Path, task: str, channels: int) -> None:
    (tmp_path / f"net_of_{task}.py").write_text(SEGMENTER.format(channels=channels))
    data = draw_data_set(tmp_path / "films", 48, lesions, "class")
    parts = {"net": f'build = "net_of_{task}:network"\nrandom = true', "positive": 'positive = "disc"'}
    pack = run_recipe(tmp_path, data, format_words("disc"), head=f'task = "{task}"', rate=1e-2, epochs=16, **parts)
    row = next(one for one in pack.manifest.measured if one.split == "test")
    assert row.lesion_sensitivity is not None
    assert row.lesion_sensitivity > 0.6
    assert row.lesion_sensitivity_ci is not None
    assert row.false_positives_per_image is not None
    assert row.false_positives_per_image < 1.0
    assert (row.dice is None) == (task == "boxes")
    assert ("F1 of boxes" if task == "boxes" else "Dice") in next(gate.said for gate in pack.manifest.gates)


def test_lesions_are_outlined_beside_the_finding_of_the_film(tmp_path: Path) -> None:
    data = draw_data_set(tmp_path / "films", 48, lesions, "class")
    one = format_words("disc", "spot")
    parts = {"net": 'student = "pyramid"', "positive": 'positive = "disc"', "head": 'task = "lesions"'}
    pack = run_recipe(tmp_path, data, one, rate=3e-3, epochs=16, **parts)
    row = next(one for one in pack.manifest.measured if one.split == "test")
    assert row.dice is not None
    assert row.dice > 0.4
    assert row.lesion_sensitivity is not None
    assert row.lesion_sensitivity > 0.5
    said = next(gate.said for gate in pack.manifest.gates)
    assert "Dice" in said
    assert "lesions found" in said


def test_a_volume_is_classified_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "scans" / "volumes").mkdir(parents=True)
    rng, lines = np.random.default_rng(2), ["file,class,patient"]
    place = np.stack(np.meshgrid(*(np.arange(side) for side in (8, 24, 24)), indexing="ij"))
    for number in range(32):
        grey, word = 70.0 + 6.0 * rng.standard_normal((8, 24, 24)), ("clear", "ball")[number % 2]
        if word == "ball":
            middle = np.array([4.0, *rng.uniform(7, 17, 2)]).reshape(3, 1, 1, 1)
            grey[((place - middle) ** 2).sum(axis=0) < 16.0] += 110.0
        np.save(tmp_path / "scans" / "volumes" / f"v{number:02}.npy", grey.astype(np.float32))
        lines.append(f"v{number:02}.npy,{word},p{number}")
    (tmp_path / "scans" / "labels.csv").write_text("\n".join(lines) + "\n")
    words = format_words("ball").replace('drawn_as = "child"', 'drawn_as = "volume"')
    head = '[classify]\nkind = "classes"\nlabels = ["ball", "clear"]\nnone = ["clear"]'
    parts = {"depth": "depth = 8", "size": 24, "reader": "volumes", "net": 'student = "meshnet-small"'}
    pack = run_recipe(tmp_path, tmp_path / "scans", words, head=head, epochs=8, rate=1e-2, **parts)
    row = next(one for one in pack.manifest.measured if one.split == "test")
    assert row.auc is not None
    assert row.auc > 0.8
    assert pack.manifest.input.depth == 8
