"""Pruning reaches its target, keeps widths that kernels like, and leaves a network that its plan alone rebuilds."""

from pathlib import Path

import pytest

from converters.failures import ToolFailed
from converters.nets import CamNet
from converters.recipe_tables import Prune
from tests.converters.conftest import write_recipe


def kept(net: CamNet, _step: int) -> CamNet:
    return net


@pytest.mark.parametrize("name", ["plain-small", "lite0-cut"])
@pytest.mark.parametrize("keep", [0.7, 0.4])
def test_pruning_reaches_its_target_and_the_plan_rebuilds_the_net(name: str, keep: float, tmp_path: Path) -> None:
    import torch

    from converters.nets import build, multiplications
    from converters.training import checkpoint, prune
    from converters.training.train import restored

    torch.manual_seed(0)
    net, example = build(name), torch.rand(2, 1, 64, 64)
    made = prune.prune(net, Prune(keep=keep, steps=2), example, kept, lambda _net: 0.0)
    assert 0.5 * keep < made.kept <= keep
    assert made.multiplications == multiplications(made.net, example) < multiplications(net, example)
    assert all(layer.after % 8 == 0 for layer in made.layers if layer.name != "cam")
    path = tmp_path / "pruned.pt"
    checkpoint.save(path, checkpoint.Checkpoint(made.net.name, made.net.plan, made.net.state_dict()))
    assert prune.same_answer(restored(path), made.net, example) == 0.0


def test_pruning_to_a_latency_stops_when_it_is_reached() -> None:
    import torch

    from converters.nets import build, multiplications
    from converters.training import prune

    net, example = build("plain-small"), torch.rand(2, 1, 64, 64)
    work = multiplications(net, example)

    def latency(one: CamNet) -> float:
        return 10.0 * multiplications(one, example) / work

    made = prune.prune(net, Prune(latency_ms=6.0, steps=4), example, kept, latency)
    assert latency(made.net) <= 6.0
    assert prune.prune(net, Prune(latency_ms=20.0, steps=4), example, kept, latency).kept == 1.0


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "litert"])
def test_a_latency_is_measured_in_the_runtime_of_the_recipe(films: Path, tmp_path: Path, runtime: str) -> None:
    from converters.nets import build
    from converters.recipe import load_recipe
    from converters.training import steps
    from firmware_app.packs.runtimes import registry
    from firmware_app.packs.runtimes.interface import Session

    path = write_recipe(tmp_path, prune={"keep": None, "latency_ms": 1e-3, "runtime": runtime, "steps": 1})
    recipe = load_recipe(path)
    run = steps.RecipeRun(recipe, tmp_path, films, tmp_path / "work")
    asked: list[Path] = []
    module = registry.get_runtime(runtime)
    load = module.load

    def noted(path: Path, config: object) -> Session:
        asked.append(path)
        return load(path, config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load", noted)
        assert steps.latency_ms(run, build("plain-small"), runtime) > 0.0
    assert [one.suffix for one in asked] == [".tflite" if runtime == "litert" else ".onnx"]


def test_what_a_pruned_network_takes_is_noted_even_above_its_target() -> None:
    import torch

    from converters.nets import build
    from converters.training import prune

    net, example = build("plain-small"), torch.rand(2, 1, 64, 64)
    made = prune.prune(net, Prune(latency_ms=7.0, steps=2), example, kept, lambda _net: 10.0)
    assert made.kept < 1.0
    assert made.as_dict()["latency_ms"] == 10.0
    assert prune.prune(net, Prune(keep=1.0, steps=1), example, kept, lambda _net: 10.0).as_dict()["latency_ms"] is None


def test_a_target_that_cannot_be_reached_is_one_sentence() -> None:
    import torch

    from converters.nets import build
    from converters.training import prune

    with pytest.raises(ToolFailed, match="torch-pruning could not narrow plain-small"):
        prune.prune(build("plain-small"), Prune(keep=0.001, steps=1), torch.rand(2, 1, 64, 64), kept, lambda _net: 0.0)
