"""A recipe means what it says of a network that was brought: its classes, its probabilities, its input, its file."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.formats import foreign_onnx
from converters.recipe import Recipe
from firmware_app.imaging.model_input import InputSpec
from firmware_app.packs.runtimes import registry

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


def save_onnx(
    path: Path, ending: tuple[tuple[str, dict[str, Any]], ...] = (), channels: int = 1, opset: int = 17
) -> Path:
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


def run_file(source: Path, wanted: Recipe, film: np.ndarray[Any, Any] = FILM, channels: int = 1) -> float:
    spec = InputSpec("film", 8, 8, channels=3 if channels == 3 else 1)
    made = foreign_onnx.adapt(source, source.with_suffix(".made.onnx"), spec, wanted)
    given = registry.get_runtime("onnxruntime").load(made).infer({"film": film})["map"]
    return float(given.reshape(-1)[0])


def odds(channel: int) -> float:
    """ln(p / (1 - p)) of a softmax over the three classes."""
    chances = np.exp(SCORES - SCORES.max())
    share = chances[channel] / chances.sum()
    return float(np.log(share / (1.0 - share)))


@pytest.mark.parametrize("opset", [13, 18])
def test_one_of_three_classes_that_share_a_softmax_has_its_own_odds(tmp_path: Path, opset: int) -> None:
    source = save_onnx(tmp_path / "own.onnx", opset=opset)
    wanted = recipe({"onnx": "own.onnx", "channel": 2, "softmax": True})
    assert run_file(source, wanted) == pytest.approx(odds(2), abs=1e-4)


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
    source = save_onnx(tmp_path / "own.onnx", ending)
    assert run_file(source, recipe({"onnx": "own.onnx", "channel": 2})) == pytest.approx(wanted, abs=1e-4)
    assert f"ends in {ending[0][0]}" in capsys.readouterr().err


def test_colours_in_their_order_and_the_range_reach_an_onnx_file(tmp_path: Path) -> None:
    source = save_onnx(tmp_path / "own.onnx", channels=3)
    film = np.stack([np.full((8, 8), share, np.float32) for share in (1.0, 0.5, 0.0)])[np.newaxis]
    net = {"onnx": "own.onnx", "colours": 3, "mean": [100.0, 10.0, 1.0], "std": [2.0, 2.0, 2.0]}
    for channel, wanted in enumerate(((0.0 - 100.0) / 2.0, (127.5 - 10.0) / 2.0, (255.0 - 1.0) / 2.0)):
        told = recipe({**net, "channel": channel, "answer": "logit"}, {"colour": "bgr", "range": [0, 255]})
        assert run_file(source, told, film, 3) == pytest.approx(wanted, abs=1e-3)
