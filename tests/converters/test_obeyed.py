"""A recipe means what it says of a network that was brought: its classes, its probabilities, its input, its file."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import cli
from converters.failures import RecipeInvalid
from converters.formats import foreign_onnx
from converters.recipe import Recipe
from firmware_app.imaging.model_input import InputSpec
from firmware_app.packs.runtimes import registry
from tests.converters.conftest import WORDS

FILM = np.random.default_rng(0).random((1, 1, 8, 8), dtype=np.float32)
WEIGHTS = np.random.default_rng(1).standard_normal((64, 3)).astype(np.float32)
SCORES = (FILM.reshape(1, 64) @ WEIGHTS)[0]


def recipe(net: dict[str, Any], shown: dict[str, Any] | None = None) -> Recipe:
    return Recipe.model_validate(
        {
            "pack": "own",
            "version": "0.0.1",
            "describe": "words.toml",
            "data": {"reader": "folder", "positive": "disc"},
            "input": {"size": 16, **(shown or {})},
            "net": net,
        }
    )


def saved(path: Path, ending: tuple[tuple[str, dict[str, Any]], ...] = (), channels: int = 1, opset: int = 17) -> Path:
    """Film → scores of three classes → ``ending``, as an ONNX file of others; of more channels the mean of each."""
    side = 8
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", channels, side, side])
    if channels == 1:
        nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["now0"])]
        values = [numpy_helper.from_array(WEIGHTS, "w")]
    else:
        nodes, values = [helper.make_node("ReduceMean", ["image"], ["now0"], axes=[2, 3], keepdims=0)], []
    for number, (kind, settings) in enumerate(ending):
        nodes.append(helper.make_node(kind, [f"now{number}"], [f"now{number + 1}"], **settings))
    out = helper.make_tensor_value_info(f"now{len(ending)}", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "own", [given], [out], values)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))
    return path


def answered(source: Path, wanted: Recipe, film: np.ndarray[Any, Any] = FILM, channels: int = 1) -> float:
    spec = InputSpec("film", 8, 8, channels=3 if channels == 3 else 1)
    made = foreign_onnx.adapted(source, source.with_suffix(".made.onnx"), spec, wanted)
    given = registry.get_runtime("onnxruntime").load(made).infer({"film": film})["map"]
    return float(given.reshape(-1)[0])


def odds(channel: int) -> float:
    """ln(p / (1 - p)) of a softmax over the three classes."""
    chances = np.exp(SCORES - SCORES.max())
    share = chances[channel] / chances.sum()
    return float(np.log(share / (1.0 - share)))


@pytest.mark.parametrize("opset", [13, 18])
def test_one_of_three_classes_that_share_a_softmax_has_its_own_odds(tmp_path: Path, opset: int) -> None:
    source = saved(tmp_path / "own.onnx", opset=opset)
    wanted = recipe({"onnx": "own.onnx", "channel": 2, "softmax": True})
    assert answered(source, wanted) == pytest.approx(odds(2), abs=1e-4)


def test_a_module_of_three_classes_gives_the_same_odds_and_no_map_that_lies(tmp_path: Path) -> None:
    import torch

    from converters.nets import foreign

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3, bias=False))
    net[1].weight.data = torch.from_numpy(WEIGHTS.T.copy())
    wanted = recipe({"build": "own:net", "random": True, "channel": 1, "softmax": True})
    whole = foreign.with_map(net, wanted, InputSpec("film", 8, 8), tmp_path / "none", outlines=False)
    assert float(whole.logits(torch.from_numpy(FILM))) == pytest.approx(odds(1), abs=1e-4)
    mapped = {"build": "own:net", "random": True, "softmax": True, "features": "0", "classifier": "1"}
    with pytest.raises(RecipeInvalid, match="one of 3 classes"):
        foreign.with_map(net, recipe(mapped), InputSpec("film", 8, 8), tmp_path / "none", outlines=False)


@pytest.mark.parametrize(
    ("ending", "wanted"),
    [
        ((("Sigmoid", {}),), float(SCORES[2])),
        ((("Softmax", {"axis": 1}), ("Identity", {})), odds(2)),
        ((("LogSoftmax", {"axis": -1}),), odds(2)),
    ],
)
def test_a_probability_at_the_end_of_a_graph_is_not_made_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: Any, wanted: float
) -> None:
    source = saved(tmp_path / "own.onnx", ending)
    assert answered(source, recipe({"onnx": "own.onnx", "channel": 2})) == pytest.approx(wanted, abs=1e-4)
    assert f"ends in {ending[0][0]}" in capsys.readouterr().err


def test_a_softmax_made_of_other_operators_is_noticed_by_its_sum_or_told(tmp_path: Path) -> None:
    source = saved(tmp_path / "own.onnx", (("Softmax", {"axis": 1}), ("Abs", {})))
    with pytest.raises(RecipeInvalid, match="look like probabilities"):
        answered(source, recipe({"onnx": "own.onnx", "channel": 2, "softmax": True}))
    told = recipe({"onnx": "own.onnx", "channel": 2, "answer": "probability"})
    assert answered(source, told) == pytest.approx(odds(2), abs=1e-3)


MODULES = """
from torch import nn

class Formula(nn.Module):
    def forward(self, x):
        return 1 / (1 + (-x).exp())

def scores(classes, *ending):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, classes), *ending)

def sigmoid():
    return scores(1, nn.Sigmoid(), nn.Unflatten(1, (1, 1, 1)))

def softmax():
    return scores(2, nn.Softmax(dim=1))

def formula():
    return scores(1, Formula())
"""
LEARNS = "train = { epochs = 1, batch = 8 }"


@pytest.mark.parametrize(
    ("made_by", "train", "sentence"),
    [
        ("sigmoid", LEARNS, "its output ends in a sigmoid"),
        ("softmax", LEARNS, "its output ends in a softmax"),
        ("sigmoid", "", "its output ends in a sigmoid"),
        ("formula", "", "answers lie between"),
    ],
)
def test_probabilities_of_a_module_are_noticed_also_of_one_that_learns_here(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], made_by: str, train: str, sentence: str
) -> None:
    (tmp_path / "words.toml").write_text(WORDS, encoding="utf-8")
    (tmp_path / "own_probability.py").write_text(MODULES)
    text = f"""
pack = "own"
version = "0.0.1"
describe = "words.toml"
data = {{ reader = "folder", positive = "disc", folds = 2 }}
input = {{ size = 64 }}
net = {{ build = "own_probability:{made_by}", random = true }}
gate = {{ auc_at_least = 0.0 }}
{train}
"""
    (tmp_path / "own.toml").write_text(text)
    command = [str(tmp_path / "own.toml"), "--data", str(films), "--out", str(tmp_path / "out")]
    assert cli.main(["train" if train else "calibrate", *command]) == 1
    told = capfd.readouterr().err
    assert sentence in told
    assert "look like probabilities" in told
    assert "epoch" not in told


def test_a_sigmoid_that_the_recipe_names_is_undone(tmp_path: Path) -> None:
    import torch

    from converters.nets import foreign

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3, bias=False), torch.nn.Sigmoid())
    net[1].weight.data = torch.from_numpy(WEIGHTS.T.copy())
    named = recipe({"build": "own:net", "random": True, "channel": 1, "answer": "probability"})
    whole = foreign.with_map(net, named, InputSpec("film", 8, 8), tmp_path / "none", outlines=False)
    assert float(whole.logits(torch.from_numpy(FILM)).detach()) == pytest.approx(SCORES[1], abs=1e-3)


def test_colours_in_their_order_and_the_range_reach_an_onnx_file(tmp_path: Path) -> None:
    source = saved(tmp_path / "own.onnx", channels=3)
    film = np.stack([np.full((8, 8), share, np.float32) for share in (1.0, 0.5, 0.0)])[np.newaxis]
    net = {"onnx": "own.onnx", "colours": 3, "mean": [100.0, 10.0, 1.0], "std": [2.0, 2.0, 2.0]}
    for channel, wanted in enumerate(((0.0 - 100.0) / 2.0, (127.5 - 10.0) / 2.0, (255.0 - 1.0) / 2.0)):
        told = recipe({**net, "channel": channel, "answer": "logit"}, {"colour": "bgr", "range": [0, 255]})
        assert answered(source, told, film, 3) == pytest.approx(wanted, abs=1e-3)


def test_a_pth_that_is_in_truth_safetensors_is_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from converters.training import checkpoint

    save_file({"weight": torch.arange(6.0)}, tmp_path / "own.pth")
    assert checkpoint.foreign_state(tmp_path / "own.pth")["weight"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
