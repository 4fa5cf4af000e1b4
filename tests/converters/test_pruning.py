"""Pruning reaches its target, keeps widths that kernels like, and leaves a network that its plan alone rebuilds."""

from pathlib import Path

import pytest

from converters.nets import CamNet
from converters.recipe_tables import Prune


def kept(net: CamNet, _step: int) -> CamNet:
    return net


@pytest.mark.parametrize("name", ["plain-small", "lite0-cut"])
@pytest.mark.parametrize("keep", [0.7, 0.4])
def test_pruning_reaches_its_target_and_the_plan_rebuilds_the_net(name: str, keep: float, tmp_path: Path) -> None:
    import torch

    from converters.nets import build, multiplications
    from converters.training import checkpoint, prune
    from converters.training.train import restore

    torch.manual_seed(0)
    net, example = build(name), torch.rand(2, 1, 64, 64)
    made = prune.prune(net, Prune(keep=keep, steps=2), example, kept, lambda _net: 0.0)
    assert 0.5 * keep < made.kept <= keep
    assert made.multiplications == multiplications(made.net, example) < multiplications(net, example)
    assert all(layer.after % 8 == 0 for layer in made.layers if layer.name != "cam")
    path = tmp_path / "pruned.pt"
    checkpoint.save(path, checkpoint.Checkpoint(made.net.name, made.net.plan, made.net.state_dict()))
    assert prune.same_answer(restore(path), made.net, example) == 0.0


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
