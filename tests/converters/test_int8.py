"""INT8 files are INT8 in deed: layers are fused, none overflows, and what rounding would ruin stays in float."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import old_processor

SIDE = 64
FILMS = 24
ASKED = """
import json, sys
import numpy as np, onnxruntime
from pathlib import Path
from firmware_app.packs.runtimes import registry as choice
film = {"film": np.ones((1, 1, 64, 64), np.float32)}
ours = choice.get_runtime("onnxruntime").load(Path(sys.argv[1])).infer(film)["map"]
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
plain = session.run(output_names=["map"], input_feed=film)[0]
print(json.dumps([float(ours.mean()), float(plain.mean())]))
"""


def discs(count: int = FILMS) -> NDArray[np.float32]:
    """(N, 1, H, W): noise, and a bright disc on every other film."""
    rng = np.random.default_rng(0)
    films = rng.random((count, 1, SIDE, SIDE), dtype=np.float32) * np.float32(0.5)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for film in films[::2]:
        row, column = rng.uniform(16, 48, 2)
        film[0, (y - row) ** 2 + (x - column) ** 2 < 100.0] += 0.4
    return films


def export_float(net: object, folder: Path) -> Path:
    """The float files of a network, in ``folder``."""
    from converters.formats import artefacts
    from firmware_app.imaging.model_input import InputSpec

    artefacts.export(net, InputSpec("film", SIDE, SIDE), folder, list(artefacts.NAMES))  # type: ignore[arg-type]
    return folder


def logits(outputs: object) -> NDArray[np.float64]:
    cells = outputs["map"]  # type: ignore[index]
    return np.asarray(cells.reshape(len(cells), -1).mean(axis=1), dtype=np.float64)


def answers(runtime: str, path: Path, films: NDArray[np.float32]) -> NDArray[np.float64]:
    from firmware_app.packs.runtimes import registry

    session = registry.get_runtime(runtime).load(path)
    return np.concatenate([logits(session.infer({"film": film[np.newaxis]})) for film in films])


def test_every_convolution_of_a_depthwise_network_is_computed_in_int8_by_onnx_runtime(tmp_path: Path) -> None:
    import torch

    from converters.formats import onnx_file
    from converters.nets import build

    torch.manual_seed(0)
    folder, films = export_float(build("lite0-cut"), tmp_path), discs()
    rounded, layers = onnx_file.int8_layers(folder / "model.fp32.onnx")
    assert rounded == 0
    assert layers > 30
    path = onnx_file.quantize(folder / "model.fp32.onnx", folder / "minmax.onnx", films, "minmax", logits)
    assert onnx_file.int8_layers(path) == (layers, layers)


def quantize_per_channel(source: Path, path: Path, films: NDArray[np.float32], _method: str) -> Path:
    """INT8 by NNCF as it comes: a range for each channel of what a depthwise convolution is given."""
    import nncf
    import onnx

    fed = nncf.Dataset([{"film": film[np.newaxis]} for film in films])
    path.parent.mkdir(parents=True)
    onnx.save(nncf.quantize(onnx.load(str(source)), fed, subset_size=len(films)), str(path))
    return path


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_file_whose_depthwise_convolutions_stay_in_float_is_refused_with_the_share(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both files are made as they once were, and each runtime passed the depthwise convolutions by."""
    import torch

    from converters.formats import artefacts, onnx_file, openvino_ir
    from converters.nets import build
    from converters.quantizing import ptq_search
    from converters.recipe_tables import Gate
    from firmware_app.imaging.model_input import InputSpec
    from firmware_app.packs.runtimes.openvino import shared_core

    torch.manual_seed(0)
    folder, films = export_float(build("lite0-cut"), tmp_path / "fold0"), discs(4)
    monkeypatch.setattr(onnx_file, "quantize_static_qdq", quantize_per_channel)
    monkeypatch.setattr(onnx_file, "_recentre", lambda _source, path, _films: path)  # it cannot run such a file
    monkeypatch.setattr(openvino_ir, "fold", shared_core().read_model)
    files = artefacts.Int8Candidates(runtime, InputSpec("film", SIDE, SIDE), [folder], [films], logits)
    near = np.arange(4.0)
    found = ptq_search.search(files, tmp_path / "tries", near, lambda _: near, lambda _: [], Gate(), control=False)
    assert found.chosen is None
    for one in found.tried:
        rounded, every = one.layers
        assert 0 < rounded <= 24
        assert every == 35  # 11 of them depthwise
        share = f"({rounded / every:.0%}), at least 90% wanted"
        assert one.why_not == f"{rounded} of 35 convolutions and products are computed in INT8 {share}"


def test_eight_bit_weights_overflow_on_no_processor(tmp_path: Path) -> None:
    import torch
    from torch import nn

    from converters.formats import onnx_file
    from converters.nets.foreign import ForeignNet
    from converters.recipe_tables import Input, Net

    network = nn.Sequential(nn.Conv2d(1, 32, 1, bias=False), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, 1, bias=False))
    with torch.no_grad():
        for layer in (network[0], network[2]):
            layer.weight.fill_(1.0)
    folder = export_float(
        ForeignNet(network, Net(build="made.here:net", random=True), Input(size=SIDE), outlines=False), tmp_path
    )
    source, films = folder / "model.fp32.onnx", np.ones((4, 1, SIDE, SIDE), np.float32)
    path = onnx_file.quantize(source, folder / "overflows.onnx", films, "minmax", logits)
    wanted = float(answers("onnxruntime", source, films)[0])
    environment = {**old_processor.environment(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", ASKED, str(path)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    ours, plain = json.loads(told)
    assert abs(ours - wanted) < 0.01 * wanted
    assert abs(plain - wanted) > 0.3 * wanted  # what the library does unasked, on such a processor
