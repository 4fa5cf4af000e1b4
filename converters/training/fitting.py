"""One fit of one network: the loop that training, distillation, fine-tuning after pruning and after rounding share.

AdamW with warm-up and cosine decay, bfloat16 where it helps, an exponential average of the weights as the result,
resumable after every epoch.  Early epochs may see smaller films (progressive resizing, Tan & Le 2021).  What is learnt
is the caller's :class:`Objective`; what is seen is its :class:`Films`.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from converters.data.preprocessing import inputs
from converters.failures import TrainingDiverged
from converters.nets import CamNet
from converters.recipe import Fit
from converters.statistics import intervals
from converters.training import checkpoint
from converters.training.augment import augmented
from converters.training.checkpoint import Checkpoint
from converters.training.copy_paste import Lesions, pasted
from converters.workflow.device import device

LARGEST_GRADIENT = 5.0
LAST_RATE = 0.02
VOLUMES_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Films:
    """Films ready for training, (N, H, W) uint8, and for judging, with labels (M,) 0 or 1; ``lesions`` to paste.

    ``scores`` gives the log odds, (M,), that films show the first finding; by default those of the first channel.
    """

    seen: NDArray[np.uint8]
    judged: NDArray[np.uint8]
    labels: NDArray[np.int64]
    lesions: Lesions | None = None
    scores: Callable[[CamNet, NDArray[np.uint8]], NDArray[np.float64]] | None = None


class Objective(Protocol):
    """What a fit makes small.  ``beside`` holds what is learnt with the network and thrown away afterwards.

    ``changes_films``: it varies the films itself, together with their masks or boxes; else the fit does.
    """

    @property
    def beside(self) -> nn.Module | None: ...
    @property
    def changes_films(self) -> bool: ...

    def __call__(self, net: CamNet, films: Tensor, index: NDArray[np.int64]) -> Tensor:
        """(B,) losses of the changed ``films`` (B, 1, H, W) in [0, 1], which have the targets of rows ``index``."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """Where a fit is kept and what it is called; a fit of the same identity and content goes on where it stopped.

    ``content`` is one word for what the identity does not hold: the films' pictures, costs, the network it began from.
    A checkpoint of an older converter has none; its identity alone is compared.
    """

    path: Path
    name: str
    identity: str
    seed: int
    content: str = ""


def fit(net: CamNet, films: Films, objective: Objective, plan: Fit, run: Run) -> CamNet:
    """Fit ``net`` and return the average of its weights; the checkpoint stays at ``run.path``.

    A line per epoch with loss, AUC on the judged films and time left goes to stderr.  Raises
    :class:`~converters.failures.TrainingDiverged`; the last good epoch is kept.
    """
    torch.manual_seed(run.seed)
    if films.seen.ndim == 3:  # the layout of volumes is another, and no quicker
        net = net.to(memory_format=torch.channels_last)
    net = net.to(device())
    average = net.copy()
    beside = (objective.beside or nn.Identity()).to(device())
    groups = [*parameter_groups(net, plan), *parameter_groups(beside, plan)]
    optimiser = torch.optim.AdamW(groups, lr=plan.learning_rate)
    state = _State(run, {"net": net, "average": average, "beside": beside}, optimiser)
    first = state.resume()
    losses = np.full(len(films.seen), np.inf)
    began = time.monotonic()
    for epoch in range(first, plan.epochs):
        loss = _epoch(net, average, optimiser, films, objective, plan, run, epoch, losses)
        if not math.isfinite(loss):
            raise TrainingDiverged(run.name, epoch + 1)
        area = intervals.auc(films.labels, (films.scores or predicted)(average, films.judged))
        state.keep(epoch + 1, area)
        left = (time.monotonic() - began) / (epoch + 1 - first) * (plan.epochs - epoch - 1)
        shown = "–" if area is None else f"{area:.4f}"
        line = f"{run.name}: epoch {epoch + 1}/{plan.epochs} loss {loss:.4f} AUC {shown}, {left / 60:.1f} min left"
        print(line, file=sys.stderr, flush=True)
    return average.cpu().eval()


class _State:
    """A fit on disk: the network, its average, what is learnt beside it, the optimiser and the epochs done."""

    def __init__(self, run: Run, parts: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> None:
        self.run, self.parts, self.optimiser = run, parts, optimiser
        self.resumable = run.path.with_suffix(".resume.pt")

    def resume(self) -> int:
        if not self.resumable.exists():
            return 0
        saved = checkpoint.load(self.resumable)
        content = saved.facts.get("content", self.run.content)
        if (saved.facts["identity"], content) != (self.run.identity, self.run.content):
            return 0
        for word, part in self.parts.items():
            cut = len(word) + 1
            part.load_state_dict({key[cut:]: value for key, value in saved.state.items() if key.startswith(f"{word}.")})
        self.optimiser.load_state_dict(saved.facts["optimiser"])
        print(f"{self.run.name}: going on after epoch {saved.facts['epoch']}", file=sys.stderr, flush=True)
        return int(saved.facts["epoch"])

    def keep(self, epoch: int, area: float | None) -> None:
        net = cast(CamNet, self.parts["net"])
        facts = {"epoch": epoch, "identity": self.run.identity, "content": self.run.content, "auc": area}
        every = {f"{word}.{key}": one for word, part in self.parts.items() for key, one in part.state_dict().items()}
        all_of_it = {**facts, "optimiser": self.optimiser.state_dict()}
        checkpoint.save(self.resumable, Checkpoint(net.name, net.plan, every, all_of_it))
        checkpoint.save(self.run.path, Checkpoint(net.name, net.plan, self.parts["average"].state_dict(), facts))


def identity(*parts: object) -> str:
    """One word for what a fit is made from; recipes' tables and digests go in."""
    plain = [
        part.model_dump(mode="json", exclude_defaults=True) if hasattr(part, "model_dump") else part for part in parts
    ]
    return json.dumps(plain, sort_keys=True)


def parameter_groups(net: nn.Module, plan: Fit) -> list[dict[str, object]]:
    """Convolution weights decay; biases and normalisation do not."""
    decayed = [value for value in net.parameters() if value.ndim > 1]
    plain = [value for value in net.parameters() if value.ndim <= 1]
    return [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": plain, "weight_decay": 0.0}]


def _epoch(
    net: CamNet, average: CamNet, optimiser: torch.optim.Optimizer, films: Films, objective: Objective, plan: Fit,
    run: Run, epoch: int, losses: NDArray[np.float64],
) -> float:  # fmt: skip
    """One pass over the films; returns the mean loss and remembers each film's in ``losses``."""
    rng = torch.Generator().manual_seed(run.seed * 1000 + epoch)
    order = drawn(len(films.seen), losses, plan.hard_examples if epoch else 0.0, rng)
    batches = [order[start : start + plan.batch] for start in range(0, len(order), plan.batch)]
    batches = [batch for batch in batches if len(batch) >= 2]  # batch normalisation cannot learn from one film
    net.train()
    total, count, began, reported = 0.0, 0, time.monotonic(), time.monotonic()
    for number, index in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(plan, epoch * len(batches) + number, plan.epochs * len(batches))
        seen, told_of = torch.from_numpy(inputs(films.seen[index])), index
        if films.lesions is not None:
            seen, told_of = pasted(seen, index, films.seen, films.lesions, plan.change.paste, rng)
        if epoch < plan.early_epochs:
            seen = functional.interpolate(seen, plan.early_size, mode="bilinear", antialias=True, align_corners=False)
        if not objective.changes_films:
            seen = laid_out(augmented(seen, plan.change, rng))
        each = objective(net, seen.to(device()), told_of)
        losses[index] = each.detach().double().cpu().numpy()
        loss = each.mean()
        if not bool(torch.isfinite(loss)):
            return math.nan
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        step = epoch * len(batches) + number
        blend(average, net, min(1.0 - 1.0 / plan.average_steps, step / (step + 10.0)))
        total, count = total + float(each.detach().sum()), count + len(index)
        if time.monotonic() - reported > 5.0:
            reported = time.monotonic()
            left = (reported - began) / (number + 1) * (len(batches) - number - 1)
            line = f"  step {number + 1}/{len(batches)} loss {total / count:.4f}, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)
    return total / max(1, count)


def drawn(count: int, losses: NDArray[np.float64], hard: float, rng: torch.Generator) -> NDArray[np.int64]:
    """The order of one epoch: every film once, and a share ``hard`` of them replaced by those of largest loss."""
    order = torch.randperm(count, generator=rng).numpy().astype(np.int64)
    again = round(hard * count)
    if again and np.isfinite(losses).all():
        worst = np.argsort(losses)[::-1][:again]
        easiest = set(np.argsort(losses)[:again].tolist())
        kept = [film for film in order if film not in easiest]
        order = np.concatenate([np.array(kept, dtype=np.int64), worst.astype(np.int64)])
        order = order[torch.randperm(len(order), generator=rng).numpy()]
    return order


def learning_rate(plan: Fit, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to 2 % of the recipe's rate."""
    if step < plan.warmup_steps:
        return plan.learning_rate * (step + 1) / plan.warmup_steps
    passed = (step - plan.warmup_steps) / max(1, steps - plan.warmup_steps)
    return plan.learning_rate * (LAST_RATE + (1.0 - LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * passed)))


def blend(average: nn.Module, net: nn.Module, keep: float) -> None:
    """Move ``average`` towards ``net``: keep this share of it (Polyak & Juditsky 1992, exponential form)."""
    current = net.state_dict()
    with torch.no_grad():
        for name, value in average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name].to(value.dtype), 1.0 - keep)
            else:
                value.copy_(current[name])


def laid_out(films: Tensor) -> Tensor:
    """Films with their channels last in memory, which convolutions want; volumes as they are."""
    return films.contiguous(memory_format=torch.channels_last) if films.ndim == 4 else films


def predicted(net: CamNet, films: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float64]:
    """(N, H, W) uint8 → (N,) float64 logits of the first finding, without augmentation."""
    return over(net, films, lambda one, seen: one.logits(seen)[:, 0], batch)


def over(
    net: CamNet, films: NDArray[np.uint8], ask: Callable[[CamNet, Tensor], Tensor], batch: int = 64
) -> NDArray[np.float64]:
    """What ``ask`` gives for every film, in evaluation mode and without gradients."""
    parts = [one[0] for one in _asked(net, films, lambda own, seen: (ask(own, seen),), batch)]
    return np.asarray(torch.cat(parts).double().numpy(), dtype=np.float64)


def outputs(net: CamNet, films: NDArray[np.uint8], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """(N, H, W) uint8 → the network's outputs of these names, (N, …), in PyTorch."""
    parts = list(_asked(net, films, lambda one, seen: one(seen)))
    places = [net.outputs.index(name) for name in names]
    return {
        name: np.asarray(torch.cat([part[place] for part in parts]).float().numpy(), dtype=np.float32)
        for name, place in zip(names, places, strict=True)
    }


def _asked(
    net: CamNet, films: NDArray[np.uint8], ask: Callable[[CamNet, Tensor], tuple[Tensor, ...]], batch: int = 64
) -> Iterator[tuple[Tensor, ...]]:
    net.eval()
    there = next(net.parameters(), net.bias).device
    batch = VOLUMES_AT_ONCE if films.ndim == 4 and films.shape[-1] != 3 else batch
    for start in range(0, len(films), batch):
        seen = torch.from_numpy(inputs(films[start : start + batch]))
        with torch.no_grad():
            answer = ask(net, laid_out(seen).to(there))
        yield tuple(one.cpu() for one in answer)
