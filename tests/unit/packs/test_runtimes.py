"""Every runtime is asked in the same words, and says in the same words what is wrong."""

from pathlib import Path

import numpy as np
import pytest

from firmware_app.core.errors import RuntimeUnavailable
from firmware_app.packs.errors import InferenceFailed
from firmware_app.packs.runtimes import registry
from firmware_app.packs.runtimes.interface import Session, check_finite
from firmware_app.packs.runtimes.openvino import shared_core
from tests import toy_pack


@pytest.fixture(params=tuple(registry.list_runtimes()))
def runtime(request: pytest.FixtureRequest) -> str:
    key = str(request.param)
    actual = registry.get_runtime(key).probe()
    if not actual.available:
        pytest.skip(f"{key} cannot be used here: {actual.detail}")
    return key


@pytest.fixture
def model(runtime: str, tmp_path: Path) -> Path:
    """The toy pack's float file in the form that the runtime reads."""
    folder = toy_pack.write(tmp_path, "toy", "adult", 18, None)
    if runtime != "litert":
        return folder / "fp32.onnx"
    toy_tflite = pytest.importorskip("tests.toy_tflite", exc_type=ImportError)
    (folder / "fp32.tflite").write_bytes(toy_tflite.tflite())
    return folder / "fp32.tflite"


@pytest.fixture
def session(runtime: str, model: Path) -> Session:
    return registry.get_runtime(runtime).load(model)


def test_a_model_answers_with_its_named_output(session: Session) -> None:
    film = np.zeros((1, 1, toy_pack.SIDE, toy_pack.SIDE), np.float32)
    film[..., : toy_pack.POOL, : toy_pack.POOL] = 0.5
    answer = session.infer({"image": film})["map"]
    assert answer.dtype == np.float32
    assert answer.shape == (1, 1, toy_pack.SIDE // toy_pack.POOL, toy_pack.SIDE // toy_pack.POOL)
    assert answer[0, 0, 0, 0] == pytest.approx(0.5)
    assert answer.sum() == pytest.approx(0.5)


def test_a_wrong_input_is_one_of_our_errors_naming_pack_and_runtime(session: Session, runtime: str) -> None:
    with pytest.raises(InferenceFailed) as failed:
        session.infer({"image": np.zeros((1, 3, 5, 5), np.float32)})
    assert failed.value.pack == "toy"
    assert failed.value.runtime == runtime


def test_a_file_that_is_no_model_is_one_of_our_errors(runtime: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(InferenceFailed):
        registry.get_runtime(runtime).load(broken)
    with pytest.raises(InferenceFailed):
        registry.get_runtime(runtime).load(tmp_path / "absent.onnx")


def test_threads_can_be_set_and_an_unknown_setting_is_refused(runtime: str, model: Path) -> None:
    module = registry.get_runtime(runtime)
    module.load(model, module.Config(threads=1))
    with pytest.raises(ValueError, match="treads"):
        module.Config.model_validate({"treads": 1})


def test_an_eight_bit_litert_file_takes_and_gives_float_numbers(tmp_path: Path) -> None:
    toy_tflite = pytest.importorskip("tests.toy_tflite", exc_type=ImportError)
    path = tmp_path / "int8.tflite"
    path.write_bytes(toy_tflite.tflite(int8=True))
    film = np.zeros((1, 1, toy_pack.SIDE, toy_pack.SIDE), np.float32)
    film[..., : toy_pack.POOL, : toy_pack.POOL] = 0.5
    film[..., toy_pack.POOL :, toy_pack.POOL :] = 9.0
    answer = registry.get_runtime("litert").load(path).infer({"image": film})["map"]
    assert answer.dtype == np.float32
    assert answer[0, 0, 0, 0] == pytest.approx(0.5)
    assert answer[0, 0, 1, 1] == pytest.approx(127 * toy_tflite.SCALE)  # clipped at the end of the range, not wrapped


def test_openvino_reads_its_own_two_files(tmp_path: Path) -> None:
    registry.get_runtime("openvino").probe()  # imports it without its telemetry
    openvino = pytest.importorskip("openvino")
    folder = toy_pack.write(tmp_path, "toy", "adult", 18, None)
    openvino.save_model(shared_core().read_model(folder / "fp32.onnx"), folder / "fp32.xml")
    film = np.full((1, 1, toy_pack.SIDE, toy_pack.SIDE), 0.25, np.float32)
    assert registry.get_runtime("openvino").load(folder / "fp32.xml").infer({"image": film})[
        "map"
    ].mean() == pytest.approx(0.25)
    (folder / "fp32.bin").unlink()
    (folder / "fp32.xml").write_text("<net")
    with pytest.raises(InferenceFailed):
        registry.get_runtime("openvino").load(folder / "fp32.xml")


def test_an_output_that_is_not_finite_never_leaves_a_runtime() -> None:
    with pytest.raises(InferenceFailed, match="finite"):
        check_finite({"map": np.array([np.nan], np.float32)}, "toy", "onnxruntime")


def test_an_unknown_runtime_is_refused_by_name() -> None:
    with pytest.raises(RuntimeUnavailable, match="abacus"):
        registry.get_runtime("abacus")
