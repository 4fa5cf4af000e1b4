"""OpenVINO's INT8 files: every convolution runs in INT8, and a processor without VNNI answers the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

SIDE = 64
ASK = """
import sys
import numpy as np
from pathlib import Path
from firmware_app.packs.runtimes import openvino
films = np.load(sys.argv[2])
session = openvino.load(Path(sys.argv[1]))
np.save(sys.argv[3], np.concatenate([session.infer({"film": film[np.newaxis]})["map"] for film in films]))
"""


@pytest.fixture(scope="module")
def films() -> NDArray[np.float32]:
    """(24, 1, 64, 64) grey films with a disc of random size, place and brightness."""
    chance = np.random.default_rng(7)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    made = []
    for _ in range(24):
        row, column, radius = [*chance.uniform(16, 48, 2), chance.uniform(4, 14)]
        disc = ((rows - row) ** 2 + (columns - column) ** 2 < radius**2) * chance.uniform(0.3, 0.7)
        made.append(disc + chance.random((SIDE, SIDE)) * 0.3)
    return np.asarray(made, np.float32)[:, np.newaxis]


@pytest.fixture(scope="module")
def depthwise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with depthwise convolutions and random weights, as an ONNX file of any batch."""
    import torch

    from converters.formats import artefacts, onnx_file
    from converters.nets import build
    from firmware_app.imaging.model_input import InputSpec

    torch.manual_seed(3)
    net = build("lite0-cut").eval()
    with torch.no_grad():
        for weights in net.parameters():
            if not weights.any():  # the head begins at zero
                weights.normal_(std=0.1)
    path = tmp_path_factory.mktemp("depthwise") / "model.fp32.onnx"
    return onnx_file.export(net, artefacts.noise(InputSpec("film", SIDE, SIDE)), ("film", net.outputs), path)


@pytest.fixture(scope="module")
def int8(depthwise: Path, films: NDArray[np.float32]) -> Path:
    """The INT8 file that is made of it."""
    from converters.formats import openvino_ir

    return openvino_ir.quantize(
        depthwise, depthwise.with_name("model.int8.xml"), films, "minmax", lambda out: out["map"]
    )


def test_every_convolution_runs_in_int8_also_the_depthwise_ones(int8: Path) -> None:
    from converters.formats import openvino_ir

    rounded, layers = openvino_ir.int8_layers(int8)
    assert layers > 20
    assert rounded == layers


def test_a_processor_without_vnni_answers_as_one_with_it(
    int8: Path, films: NDArray[np.float32], tmp_path: Path
) -> None:
    np.save(tmp_path / "films.npy", films)
    answers = {}
    for instructions in ("ALL", "AVX2"):  # oneDNN reads it when it is loaded; on a processor without VNNI both are one
        out = tmp_path / f"{instructions}.npy"
        command = [sys.executable, "-c", ASK, str(int8), str(tmp_path / "films.npy"), str(out)]
        subprocess.run(command, check=True, env={**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}, timeout=120)
        answers[instructions] = np.load(out)
    spread = float(answers["ALL"].std())
    assert np.abs(answers["ALL"] - answers["AVX2"]).max() < 1e-3 * spread


def test_the_file_for_an_npu_has_fixed_shapes_and_no_zero_point(
    depthwise: Path, films: NDArray[np.float32], tmp_path: Path
) -> None:
    from converters.formats import npu_file
    from firmware_app.packs.runtimes.openvino import shared_core

    float_file = depthwise.with_name(npu_file.int8_from)  # of a fold: only the one with an open batch is there
    path = npu_file.quantize(float_file, tmp_path / "model.npu.xml", films, "minmax", lambda out: out["map"])
    model = shared_core().read_model(path)
    assert all(output.partial_shape.is_static for node in model.get_ops() for output in node.outputs())
    assert list(model.input().shape) == [1, 1, SIDE, SIDE]
    ranges = [node for node in model.get_ops() if node.get_type_name() == "FakeQuantize"]
    assert len(ranges) > 20
    for node in ranges:
        low, high = (node.input_value(place).get_node().data.astype(np.float64) for place in (1, 2))
        steps = node.get_attributes()["levels"] - 1
        zero = -low * steps / (high - low)  # the whole number that stands for 0
        symmetric = (np.abs(low) < 1e-6 * high) | (np.abs(zero - np.ceil(steps / 2)) < 1e-2)
        assert np.all(symmetric), node.get_friendly_name()
