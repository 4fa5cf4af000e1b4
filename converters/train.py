"""Fit a :class:`~converters.nets.lite0_cam.Lite0Cam` to films, resumable after every epoch.

Weighted binary cross-entropy, AdamW with warm-up and cosine decay, bfloat16 where it helps, an exponential average of
the weights as the result. Channel 0 is the finding; further channels, when a recipe weighs them, are auxiliary targets.
"""

import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from converters import statistics
from converters.augment import Strength, augmented
from converters.distil import Targets
from converters.nets.lite0_cam import Lite0Cam, imagenet_weights, load_imagenet
from converters.recipe import Recipe, Train


@dataclass(frozen=True, slots=True)
class Part:
    """Films ready for training: (N, H, W) uint8, labels (N,) 0 or 1, and what training aims at."""

    films: NDArray[np.uint8]
    labels: NDArray[np.int64]
    targets: Targets


def fit(recipe: Recipe, train: Part, val: Part, work: Path, start: Path | None = None) -> Path:
    """Train and return the checkpoint, ``work/<pack>.pt``; goes on where a stopped run of the same recipe was.

    ``start`` is the checkpoint to begin from when the recipe's start names another pack. A line per epoch with loss,
    validation AUC and time left goes to stderr.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{recipe.pack}.pt"
    plan = recipe.train
    torch.manual_seed(recipe.seed)
    channels = 1 + (train.targets.auxiliary.shape[1] if plan.auxiliary_weight > 0.0 else 0)
    net = beginning(plan, channels, start).to(memory_format=torch.channels_last)
    average = Lite0Cam(channels, plan.dropout)
    average.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(parameter_groups(net, plan), lr=plan.learning_rate)
    per_epoch = len(train.films) // plan.batch
    first = 0
    identity = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    if path.exists():
        saved = torch.load(path, map_location="cpu", weights_only=True)
        if saved["recipe"] == identity:
            first = int(saved["epoch"])
            net.load_state_dict(saved["net"])
            average.load_state_dict(saved["average"])
            optimiser.load_state_dict(saved["optimiser"])
            print(f"{recipe.pack}: going on after epoch {first}", file=sys.stderr, flush=True)
    began = time.monotonic()
    for epoch in range(first, plan.epochs):
        loss = one_epoch(net, average, optimiser, train, recipe, epoch, per_epoch)
        scores = predicted(average, val.films)
        area = statistics.auc(val.labels, scores)
        state = {
            "recipe": identity, "epoch": epoch + 1, "net": net.state_dict(), "average": average.state_dict(),
            "optimiser": optimiser.state_dict(), "val_auc": area,
        }  # fmt: skip
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
        left = (time.monotonic() - began) / (epoch + 1 - first) * (plan.epochs - epoch - 1)
        line = f"{recipe.pack}: epoch {epoch + 1}/{plan.epochs} loss {loss:.4f} val AUC {area or math.nan:.4f}"
        print(f"{line}, {left / 60:.1f} min left", file=sys.stderr, flush=True)
    return path


def beginning(plan: Train, channels: int, start: Path | None) -> Lite0Cam:
    """The network before the first step: ImageNet's, a pack's (all but its classifier), or random weights."""
    net = Lite0Cam(channels, plan.dropout)
    if start is not None:
        weights = torch.load(start, map_location="cpu", weights_only=True)["average"]
        trunk = {name: value for name, value in weights.items() if not name.startswith(("cam.", "bias"))}
        net.load_state_dict(trunk, strict=False)
    elif plan.start == "imagenet":
        load_imagenet(net, imagenet_weights())
    return net


def parameter_groups(net: Lite0Cam, plan: Train) -> list[dict[str, object]]:
    """Convolution weights decay; biases and normalisation do not."""
    decayed = [value for value in net.parameters() if value.ndim > 1]
    plain = [value for value in net.parameters() if value.ndim <= 1]
    return [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": plain, "weight_decay": 0.0}]


def one_epoch(
    net: Lite0Cam, average: Lite0Cam, optimiser: torch.optim.Optimizer, part: Part, recipe: Recipe, epoch: int,
    per_epoch: int,
) -> float:  # fmt: skip
    """One pass over the films; returns the mean loss."""
    plan = recipe.train
    strength = Strength(rotation=plan.rotation, zoom_in=plan.zoom_in, gamma=plan.gamma, flip=plan.flip)
    rng = torch.Generator().manual_seed(recipe.seed + epoch)
    order = torch.randperm(len(part.films), generator=rng)[: per_epoch * plan.batch].reshape(per_epoch, plan.batch)
    net.train()
    total, began = 0.0, time.monotonic()
    for number, index in enumerate(order):
        step = epoch * per_epoch + number
        rate = learning_rate(plan, step, plan.epochs * per_epoch)
        for group in optimiser.param_groups:
            group["lr"] = rate
        films = torch.from_numpy(part.films[index.numpy()]).float().unsqueeze(1) / 255.0
        films = augmented(films, strength, rng).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            maps = net(films)
        logits = maps.float().mean(dim=(2, 3)) + net.bias
        loss = loss_of(logits, part.targets, index.numpy(), plan)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        blend(average, net, min(1.0 - 1.0 / plan.average_steps, step / (step + 10.0)))
        total += float(loss.detach())
        if number % 20 == 19:
            left = (time.monotonic() - began) / (number + 1) * (per_epoch - number - 1)
            mean = total / (number + 1)
            print(f"  step {number + 1}/{per_epoch} loss {mean:.4f}, {left:.0f} s left", file=sys.stderr, flush=True)
    return total / per_epoch


def loss_of(logits: Tensor, targets: Targets, index: NDArray[np.int64], plan: Train) -> Tensor:
    """Weighted cross-entropy of channel 0, plus the recipe's share of the auxiliary channels'."""
    target = torch.from_numpy(targets.main[index]) * (1.0 - 2.0 * plan.label_smoothing) + plan.label_smoothing
    weight = torch.from_numpy(targets.weights[index])
    loss = functional.binary_cross_entropy_with_logits(logits[:, 0], target, weight=weight)
    if logits.shape[1] > 1:
        beside = torch.from_numpy(targets.auxiliary[index])
        loss = loss + plan.auxiliary_weight * functional.binary_cross_entropy_with_logits(logits[:, 1:], beside)
    return loss


def learning_rate(plan: Train, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to 2 % of the recipe's rate."""
    if step < plan.warmup_steps:
        return plan.learning_rate * (step + 1) / plan.warmup_steps
    passed = (step - plan.warmup_steps) / max(1, steps - plan.warmup_steps)
    return plan.learning_rate * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * passed)))


def blend(average: Lite0Cam, net: Lite0Cam, keep: float) -> None:
    """Move ``average`` towards ``net``: keep this share of it (Polyak & Juditsky 1992, exponential form)."""
    current = net.state_dict()
    with torch.no_grad():
        for name, value in average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name].to(value.dtype), 1.0 - keep)
            else:
                value.copy_(current[name])


def predicted(net: Lite0Cam, films: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float64]:
    """(N, H, W) uint8 → (N,) float64 logits, without augmentation."""
    net.eval()
    out: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(films), batch):
            x = torch.from_numpy(films[start : start + batch]).float().unsqueeze(1) / 255.0
            out.append(net.logits(x.contiguous(memory_format=torch.channels_last))[:, 0])
    return np.asarray(torch.cat(out).double().numpy(), dtype=np.float64)


def trained(checkpoint: Path) -> Lite0Cam:
    """The averaged network of a checkpoint, in evaluation mode, without auxiliary channels."""
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
    net = Lite0Cam(1)
    net.load_state_dict({**weights, "cam.weight": weights["cam.weight"][:1], "bias": weights["bias"][:1]})
    net.eval()
    return net
