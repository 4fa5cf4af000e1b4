"""Take out whole channels, a few at a time, and let the network recover in between.

torch-pruning (Fang et al. 2023, DepGraph) finds which channels must go together; their importance is the mean group L2
norm (Li et al. 2017). A fixed ratio in one go collapses a small network; so each step takes an equal share of what is
to go and is followed by fine-tuning (distillation from the unpruned network). Widths stay multiples of ``round_to``,
which INT8 kernels need.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from converters.failures import ToolFailed
from converters.nets import CamNet, build, multiplications
from converters.recipe_tables import Prune


@dataclass(frozen=True, slots=True)
class Layer:
    """What pruning left of one convolution."""

    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """A narrowed network and its account."""

    net: CamNet
    layers: tuple[Layer, ...]
    multiplications: int
    kept: float
    latency_ms: float | None = None
    """What the pruned network takes in the plan's runtime, where the target is a latency; it may lie above it."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON, without the network."""
        return {
            "multiplications": self.multiplications,
            "kept": round(self.kept, 4),
            "parameters": self.net.parameters_count,
            "layers": [asdict(layer) for layer in self.layers],
            "latency_ms": None if self.latency_ms is None else round(self.latency_ms, 3),
        }


def prune(
    net: CamNet,
    plan: Prune,
    example: Tensor,
    recover: Callable[[CamNet, int], CamNet],
    latency_ms: Callable[[CamNet], float],
) -> Pruned:
    """Prune ``net`` to the plan's target; ``recover`` fine-tunes after step n and returns the recovered network.

    ``latency_ms`` measures a network in the plan's runtime, where the target is a latency.  Raises
    :class:`~converters.failures.ToolFailed` when the library cannot follow the network.
    """
    whole, first = multiplications(net, example), widths(net)
    now: CamNet = net
    for step in range(plan.steps):
        share = (step + 1) / plan.steps
        if plan.keep is not None:
            now = narrow(now, whole * (1.0 - share * (1.0 - plan.keep)), plan.round_to, example)
        else:
            taken = latency_ms(now)
            if taken <= float(plan.latency_ms or 0.0):
                break
            wanted = (float(plan.latency_ms or 0.0) / taken) ** (1.0 / (plan.steps - step))
            now = narrow(now, multiplications(now, example) * wanted, plan.round_to, example)
        now = recover(now, step)
    last = widths(now)
    layers = tuple(Layer(name, before, last[name]) for name, before in first.items())
    left = multiplications(now, example)
    measured = None if plan.latency_ms is None else latency_ms(now)
    return Pruned(now, layers, left, left / whole, measured)


def narrow(net: CamNet, most: float, round_to: int, example: Tensor) -> CamNet:
    """A copy of ``net`` with at most ``most`` multiplications."""
    import torch_pruning

    logging.getLogger("torch_pruning").setLevel(logging.ERROR)
    pruned = net.copy().eval()
    whole = multiplications(pruned, example)
    try:
        pruner = torch_pruning.pruner.BasePruner(
            pruned,
            example[:1],
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            global_pruning=True,
            pruning_ratio=0.9,
            max_pruning_ratio=0.75,
            iterative_steps=200,
            ignored_layers=[pruned.cam],
            round_to=round_to,
            unwrapped_parameters=[(pruned.bias, 0)],
            output_transform=lambda outputs: outputs[0],  # the map alone: features only follow the layers behind them
        )
        for _ in range(200):
            if multiplications(pruned, example) <= most:
                break
            pruner.step()
    except (RuntimeError, ValueError, LookupError, AttributeError, AssertionError) as error:
        raise ToolFailed("torch-pruning", f"narrow {net.name}", str(error)) from error
    if multiplications(pruned, example) > most:
        raise ToolFailed("torch-pruning", f"narrow {net.name}", f"it stays above {most / whole:.0%} of its work")
    rebuilt = build(net.name, pruned.read_plan(), findings=len(pruned.bias), dropout=pruned.dropout.p)
    rebuilt.load_state_dict(pruned.state_dict())
    return rebuilt


def widths(net: nn.Module) -> dict[str, int]:
    """Output channels of every convolution, by name."""
    return {name: module.out_channels for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}


def same_answer(one: CamNet, other: CamNet, example: Tensor) -> float:
    """Largest difference between two networks' maps on ``example``: pruning nothing must change nothing."""
    with torch.no_grad():
        return float((one.eval()(example)[0] - other.eval()(example)[0]).abs().max())
