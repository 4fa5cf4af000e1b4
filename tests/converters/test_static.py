"""The files for other machines, one film at a time for an NPU and signed 8-bit for TensorRT, load and are right."""

from pathlib import Path

import numpy as np
import pytest

from converters import cli
from converters.explanation import occlusion
from firmware_app.packs.errors import InferenceFailed
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from tests.converters.conftest import ONE_FOLD, write_recipe


def test_the_static_and_the_signed_file_are_in_the_pack_and_answer_as_the_float_one(
    films: Path, tmp_path: Path
) -> None:
    export = {"runtimes": ["onnxruntime", "openvino"], "precisions": ["fp32", "int8"], "static": True}
    changes = {**ONE_FOLD, "export": export}
    recipe = write_recipe(tmp_path, **changes)
    assert cli.main(["run", str(recipe), "--data", str(films), "--out", str(tmp_path / "out")]) == 0
    pack = Pack.load(tmp_path / "out" / "toy-disc")
    pack.verify()
    files = {artefact.path: artefact for artefact in pack.manifest.artefacts}
    assert files["model.static.onnx"].batch == files["model.s8s8.onnx"].batch == 1
    assert files["model.npu.xml"].batch == 1
    assert (files["model.s8s8.onnx"].runtime, files["model.s8s8.onnx"].precision) == ("tensorrt", "int8")
    assert pack.find_artefact("onnxruntime", "fp32").path == "model.fp32.onnx"
    said = {(gate.runtime, gate.precision): gate.said for gate in pack.manifest.gates}
    assert "as shipped, largest difference from the original" in said["npu", "fp32"]
    assert pack.find_artefact("openvino", "int8").path == "model.int8.xml"
    for machine in ("tensorrt", "npu"):  # judged in ONNX Runtime and OpenVINO as every INT8 file
        assert "AUC changes by" in said[machine, "int8"]
        assert "as shipped, logits move by" in said[machine, "int8"]

    from converters.formats import tensorrt_file

    film = np.random.default_rng(0).random((1, 1, 64, 64), dtype=np.float32)
    sessions = {
        name: registry.get_runtime("onnxruntime").load(pack.folder / name) for name in files if name.endswith(".onnx")
    }
    told = {name: session.infer({"film": film})["map"] for name, session in sessions.items()}
    plain = told["model.fp32.onnx"]
    assert np.abs(told["model.static.onnx"] - plain).max() < 1e-4 * max(1.0, float(np.abs(plain).max()))
    assert tensorrt_file.unreadable(pack.folder / "model.s8s8.onnx") == []
    agreed = occlusion.spearman(told["model.s8s8.onnx"], plain)
    assert agreed is not None
    assert agreed > 0.9
    assert sessions["model.fp32.onnx"].infer({"film": film.repeat(2, 0)})["map"].shape[0] == 2
    with pytest.raises(InferenceFailed):
        sessions["model.static.onnx"].infer({"film": film.repeat(2, 0)})

    # ONNX Runtime's own form has what TensorRT does not read: zero points, rounded constants and INT32 biases.
    refused = " ".join(tensorrt_file.unreadable(pack.folder / "model.int8.onnx"))
    assert all(word in refused for word in ("a zero point that is not 0", "of INT32 numbers", "of constant numbers"))

    # The same recipe without them leaves none of an earlier run behind.
    again = write_recipe(tmp_path, **{**changes, "export": {**export, "static": False}})
    assert cli.main(["export", str(again), "--data", str(films), "--out", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out" / "work" / "toy-disc" / "artefacts" / "fold0"
    gone = ("model.static.onnx", "model.s8s8.onnx", "model.npu.xml", "model.npu.bin")
    assert not [name for name in gone if (folder / name).exists()]
