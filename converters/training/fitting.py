"""One fit of one network: the loop that training, distillation, fine-tuning after pruning and after rounding share.

AdamW with warm-up and cosine decay, bfloat16 where it helps, an exponential average of the weights as the result,
resumable after every epoch, and where Ctrl-C stopped it.  Early epochs may see smaller films (progressive resizing,
Tan & Le 2021).  What is learnt is the caller's :class:`Objective`; what is seen is its :class:`Films`.

Every batch has random numbers of its own, from the seed, the epoch and its place.  So neither a stop nor the number of
data workers changes what is learnt.
"""

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from converters.data.preprocessing import inputs
from converters.failures import TrainingDiverged
from converters.nets import CamNet
from converters.recipe_tables import Fit
from converters.statistics import intervals
from converters.training import checkpoint
from converters.training.augment import augment
from converters.training.checkpoint import Checkpoint
from converters.training.copy_paste import Lesions, paste
from converters.training.even_draws import Shares
from converters.workflow.device import current_device, device

LARGEST_GRADIENT = 5.0
LAST_RATE = 0.02
VOLUMES_AT_ONCE = 2
REPORT_S = 15.0
"""How often an epoch says how far it is."""


@dataclass(frozen=True, slots=True)
class Films:
    """Films ready for training, (N, H, W) uint8, and for judging, with labels (M,) 0 or 1; ``lesions`` to paste.

    ``even`` says how often each film is drawn, where that is not once an epoch. ``scores`` gives the log odds, (M,),
    that films show the first finding; by default those of the first channel.
    """

    seen: NDArray[np.uint8]
    judged: NDArray[np.uint8]
    labels: NDArray[np.int64]
    lesions: Lesions | None = None
    scores: Callable[[CamNet, NDArray[np.uint8]], NDArray[np.float64]] | None = None
    even: Shares | None = None


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
    """The path and name of a fit; a fit of the same identity and content resumes where it stopped.

    ``content`` is one word for what the identity does not hold: the films' pictures, costs, the network it began from,
    the code and the libraries.
    """

    path: Path
    name: str
    identity: str
    seed: int
    content: str = ""


def fit(net: CamNet, films: Films, objective: Objective, plan: Fit, run: Run) -> CamNet:
    """Fit ``net`` and return the average of its weights; the checkpoint stays at ``run.path``.

    A line per epoch with loss, AUC on the judged films and time left goes to stderr.  Raises
    :class:`~converters.failures.TrainingDiverged`; the last good epoch is kept.  Ctrl-C ends the batch, keeps the fit
    as it is then and raises :class:`KeyboardInterrupt`; a second one stops at once.
    """
    torch.manual_seed(run.seed)
    if films.seen.ndim == 3:  # the layout of volumes is another, and no quicker
        net = net.to(memory_format=torch.channels_last)
    net = net.to(device())
    average = net.copy()
    beside = (objective.beside or nn.Identity()).to(device())
    groups = [*parameter_groups(net, plan), *parameter_groups(beside, plan)]
    optimiser = torch.optim.AdamW(groups, lr=plan.learning_rate)
    state = _State(run, {"net": net, "average": average, "beside": beside}, optimiser, len(films.seen))
    place = state.resume(plan)
    began, first = time.monotonic(), place.share_done(plan)
    with _stopping() as stopped:
        while place.epoch < plan.epochs:
            loss = _epoch(
                net,
                average,
                optimiser,
                films=films,
                objective=objective,
                plan=plan,
                run=run,
                place=place,
                stopped=stopped,
            )
            if not math.isfinite(loss):
                raise TrainingDiverged(run.name, place.epoch + 1)
            if place.batch:
                state.keep(place)
                raise KeyboardInterrupt
            place.epoch, place.before = place.epoch + 1, place.losses.copy()
            area = intervals.auc(films.labels, (films.scores or predict)(average, films.judged))
            state.keep(place, area)
            state.ship(place.epoch, area)
            left = (time.monotonic() - began) / (place.share_done(plan) - first) * (1.0 - place.share_done(plan))
            shown = "–" if area is None else f"{area:.4f}"
            said = f"epoch {place.epoch}/{plan.epochs} loss {loss:.4f} AUC {shown}, {left / 60:.1f} min left"
            print(f"{run.name}: {said}", file=sys.stderr, flush=True)
            if stopped() and place.epoch < plan.epochs:
                raise KeyboardInterrupt
    return average.cpu().eval()


@dataclass(slots=True)
class _Progress:
    """How far a fit has come: whole epochs, batches of the next one, and each film's last loss, (N,).

    ``before`` are the losses when the epoch began: they say which films are drawn again in it.
    """

    losses: NDArray[np.float64]
    before: NDArray[np.float64]
    epoch: int = 0
    batch: int = 0
    batches: int = 1
    total: float = 0.0
    count: int = 0

    def share_done(self, plan: Fit) -> float:
        """The share of all epochs that is done."""
        return (self.epoch + self.batch / self.batches) / plan.epochs


class _State:
    """A fit on disk: the network, its average, what is learnt beside it, the optimiser and how far it has come."""

    def __init__(self, run: Run, parts: dict[str, nn.Module], optimiser: torch.optim.Optimizer, films: int) -> None:
        self.run, self.parts, self.optimiser, self.films = run, parts, optimiser, films
        self.resumable = run.path.with_suffix(".resume.pt")

    def resume(self, plan: Fit) -> _Progress:
        """Load the state to resume from; a fresh one where nothing of the same identity and content is stored."""
        none = np.full(self.films, np.inf)
        if not self.resumable.exists():
            return _Progress(none, none.copy())
        saved = checkpoint.load(self.resumable)
        facts = saved.facts
        if (facts["identity"], facts.get("content")) != (self.run.identity, self.run.content) or "losses" not in facts:
            return _Progress(none, none.copy())
        for word, part in self.parts.items():
            cut = len(word) + 1
            part.load_state_dict({key[cut:]: value for key, value in saved.state.items() if key.startswith(f"{word}.")})
        self.optimiser.load_state_dict(facts["optimiser"])
        losses, before = facts["losses"].numpy(), facts["before"].numpy()
        numbers = {name: facts[name] for name in ("epoch", "batch", "batches", "total", "count")}
        place = _Progress(losses, before, **numbers)
        also = f" and {place.batch} of {place.batches} batches" if place.batch else ""
        print(f"{self.run.name}: going on after epoch {place.epoch}{also}", file=sys.stderr, flush=True)
        if place.epoch == plan.epochs:  # the file that ships may be gone or changed
            self.ship(place.epoch, facts["auc"])
        return place

    def keep(self, place: _Progress, area: float | None = None) -> None:
        """Write what :meth:`resume` needs."""
        net = cast(CamNet, self.parts["net"])
        every = {f"{word}.{key}": one for word, part in self.parts.items() for key, one in part.state_dict().items()}
        facts = {
            "identity": self.run.identity,
            "content": self.run.content,
            "optimiser": self.optimiser.state_dict(),
            "losses": torch.from_numpy(place.losses),
            "before": torch.from_numpy(place.before),
            "epoch": place.epoch,
            "batch": place.batch,
            "batches": place.batches,
            "total": place.total,
            "count": place.count,
            "auc": area,
        }
        checkpoint.save(self.resumable, Checkpoint(net.name, net.plan, every, facts))

    def ship(self, epoch: int, area: float | None) -> None:
        """Write the average alone."""
        net = cast(CamNet, self.parts["net"])
        facts = {"epoch": epoch, "identity": self.run.identity, "content": self.run.content, "auc": area}
        checkpoint.save(self.run.path, Checkpoint(net.name, net.plan, self.parts["average"].state_dict(), facts))


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed since; a second one interrupts at once.  Outside the main thread it is not caught."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    usual = signal.getsignal(signal.SIGINT)

    def press(number: int, _frame: object) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, usual)


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


@dataclass(frozen=True)
class _Batches(Dataset[tuple[Tensor, NDArray[np.int64]]]):  # type: ignore[misc]
    """The changed films of one epoch, batch by batch, and the rows whose targets they have."""

    films: Films
    plan: Fit
    seed: int
    epoch: int
    order: NDArray[np.int64]
    changed: bool
    """Whether the films are varied here; else the objective varies them."""

    def __len__(self) -> int:
        """How many there are; batch normalisation cannot learn from one film."""
        whole, rest = divmod(len(self.order), self.plan.batch)
        return whole + (rest >= 2)

    def __getitem__(self, number: int) -> tuple[Tensor, NDArray[np.int64]]:
        """(B, C, H, W) films and (B,) rows; the same ones whichever process makes them."""
        plan, rng = self.plan, torch.Generator().manual_seed(seed_of(self.seed, self.epoch, number))
        index = self.order[number * plan.batch : (number + 1) * plan.batch]
        seen, told_of = torch.from_numpy(inputs(self.films.seen[index])), index
        if self.films.lesions is not None:
            seen, told_of = paste(
                seen, index, self.films.seen, lesions=self.films.lesions, chance=plan.change.paste, rng=rng
            )
        if self.epoch < plan.early_epochs:
            seen = functional.interpolate(seen, plan.early_size, mode="bilinear", antialias=True, align_corners=False)
        return (augment(seen, plan.change, rng) if self.changed else seen), told_of


def _epoch(
    net: CamNet,
    average: CamNet,
    optimiser: torch.optim.Optimizer,
    films: Films,
    objective: Objective,
    plan: Fit,
    run: Run,
    place: _Progress,
    stopped: Callable[[], bool],
) -> float:
    """Finish one pass over the films; return the mean loss and record each film's in ``place``.

    When it was ``stopped``, ``place.batch`` is the next one; else 0.
    """
    rng, hard = torch.Generator().manual_seed(seed_of(run.seed, place.epoch)), plan.hard_examples
    if films.even is not None:
        order = films.even.order(seed_of(run.seed, place.epoch))
    else:
        order = draw(len(films.seen), place.before, hard if place.epoch else 0.0, rng)
    batches = _Batches(
        films=films, plan=plan, seed=run.seed, epoch=place.epoch, order=order, changed=not objective.changes_films
    )
    place.batches = len(batches)
    net.train()
    began = reported = time.monotonic()
    first = place.batch
    for number, (seen, told_of) in zip(range(first, len(batches)), _load(batches, first), strict=True):
        step = place.epoch * len(batches) + number
        torch.manual_seed(seed_of(run.seed, place.epoch, number, len(batches)))  # of dropout and of the objective
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(plan, step, plan.epochs * len(batches))
        each = objective(net, (seen if objective.changes_films else lay_out(seen)).to(device()), told_of)
        place.losses[batches.order[number * plan.batch :][: len(each)]] = each.detach().double().cpu().numpy()
        loss = each.mean()
        if not bool(torch.isfinite(loss)):
            return math.nan
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        blend(average, net, min(1.0 - 1.0 / plan.average_steps, step / (step + 10.0)))
        place.total, place.count = place.total + float(each.detach().sum()), place.count + len(each)
        mean = place.total / place.count
        if stopped() and number + 1 < len(batches):
            place.batch = number + 1
            return mean
        if time.monotonic() - reported > REPORT_S:
            reported = time.monotonic()
            left = (reported - began) / (number + 1 - first) * (len(batches) - number - 1)
            said = f"epoch {place.epoch + 1}, batch {number + 1}/{len(batches)} loss {mean:.4f}, {left:.0f} s left"
            print(f"  {said}", file=sys.stderr, flush=True)
    mean = place.total / max(1, place.count)
    place.batch, place.total, place.count = 0, 0.0, 0
    return mean


def _load(batches: _Batches, first: int) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """The batches from ``first`` on, made by this process or by data workers."""
    numbers = range(first, len(batches))
    workers = current_device().workers
    if not workers:
        return (batches[number] for number in numbers)
    # Ctrl-C reaches the whole group of processes; only the one that learns answers it.
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            collate_fn=_as_they_are,
            worker_init_fn=_deaf,
            pin_memory=device().type == "cuda",
        )
    )


def _as_they_are(batch: tuple[Tensor, NDArray[np.int64]]) -> tuple[Tensor, NDArray[np.int64]]:
    return batch


def _deaf(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def seed_of(*parts: int) -> int:
    """One seed of several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def draw(count: int, losses: NDArray[np.float64], hard: float, rng: torch.Generator) -> NDArray[np.int64]:
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


def lay_out(films: Tensor) -> Tensor:
    """Films with their channels last in memory, which convolutions want; volumes as they are."""
    return films.contiguous(memory_format=torch.channels_last) if films.ndim == 4 else films


def predict(net: CamNet, films: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float64]:
    """(N, H, W) uint8 → (N,) float64 logits of the first finding, without augmentation."""
    return over(net, films, lambda one, seen: one.logits(seen)[:, 0], batch)


def over(
    net: CamNet, films: NDArray[np.uint8], ask: Callable[[CamNet, Tensor], Tensor], batch: int = 64
) -> NDArray[np.float64]:
    """What ``ask`` gives for every film, in evaluation mode and without gradients."""
    parts = [one[0] for one in _ask(net, films, lambda own, seen: (ask(own, seen),), batch)]
    return np.asarray(torch.cat(parts).double().numpy(), dtype=np.float64)


def outputs(net: CamNet, films: NDArray[np.uint8], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """(N, H, W) uint8 → the network's outputs of these names, (N, …), in PyTorch."""
    parts = list(_ask(net, films, lambda one, seen: one(seen)))
    places = [net.outputs.index(name) for name in names]
    return {
        name: np.asarray(torch.cat([part[place] for part in parts]).float().numpy(), dtype=np.float32)
        for name, place in zip(names, places, strict=True)
    }


def _ask(
    net: CamNet, films: NDArray[np.uint8], ask: Callable[[CamNet, Tensor], tuple[Tensor, ...]], batch: int = 64
) -> Iterator[tuple[Tensor, ...]]:
    net.eval()
    there = next(net.parameters(), net.bias).device
    batch = VOLUMES_AT_ONCE if films.ndim == 4 and films.shape[-1] != 3 else batch
    for start in range(0, len(films), batch):
        seen = torch.from_numpy(inputs(films[start : start + batch]))
        with torch.no_grad():
            answer = ask(net, lay_out(seen).to(there))
        yield tuple(one.cpu() for one in answer)
