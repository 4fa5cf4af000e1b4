"""INT8 files: a film's mean logit keeps the centre and spread of the float file's, and the ends may stay in float."""

from pathlib import Path

import numpy as np
import pytest

SIDE, COUNT = 224, 24


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "litert"])
def test_film_means_keep_centre_and_spread(runtime: str, tmp_path: Path) -> None:
    from converters.formats import onnx_file, openvino_ir, tflite_file
    from firmware_app.packs.runtimes import registry

    source = Path("models/chest-xray-adult/model.fp32.onnx")  # of a network that has learnt, so that its logits differ
    chance = np.random.default_rng(7)
    small = chance.random((COUNT, 1, 14, 14)) * chance.uniform(0.2, 1.0, (COUNT, 1, 1, 1))
    images = np.kron(small, np.ones((SIDE // 14, SIDE // 14))).astype(np.float32)
    if runtime == "openvino":
        made = openvino_ir.quantize(source, tmp_path / "model.int8.xml", images, "minmax", lambda out: out["map"])
    elif runtime == "litert":
        floats, method = source.with_suffix(".tflite"), tflite_file.FLOAT_ENDS
        made = tflite_file.quantize(floats, tmp_path / "model.int8.tflite", images, method, lambda out: out["map"])
    else:
        made = onnx_file.quantize(source, tmp_path / "model.int8.onnx", images, "minmax", lambda out: out["map"])
    sessions = registry.get_runtime("onnxruntime").load(source), registry.get_runtime(runtime).load(made)
    wanted, given = (
        np.array([session.infer({"film": image[np.newaxis]})["map"].mean() for image in images], np.float64)
        for session in sessions
    )
    assert given.mean() == pytest.approx(wanted.mean(), abs=0.01 * wanted.std())
    assert given.std() == pytest.approx(wanted.std(), rel=0.01)
