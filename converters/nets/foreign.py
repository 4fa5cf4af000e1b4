"""Foreign networks behind the interface of ours: any ``torch.nn.Module``, or a finished ONNX file.

``[net] build`` names a Python function, which is imported and run: that is the user's own code, from the recipe's
folder or an installed package.  No name is ever taken from a checkpoint, which is tensors only.  What a module gives
becomes the first finding's map: a map as it is, a number as a map of one cell, and, where the recipe names the two
submodules around a global mean, the class activation map (Zhou et al. 2016), whose mean is the module's own answer.
"""

import hashlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from converters import tasks
from converters.failures import RecipeInvalid
from converters.formats import foreign_onnx
from converters.nets import CamNet, backbones
from converters.recipe import Recipe
from converters.recipe_tables import Input, Net
from converters.training import checkpoint
from firmware_app.imaging.model_input import InputSpec
from firmware_app.packs.runtimes import registry

NEAR = 1e-4
"""How near the mean of the activation map must come to the module's own answer, in units of it or of 1."""

PROBABILITY_MADE_BY = {"SigmoidBackward": "a sigmoid", "SoftmaxBackward": "a softmax"}
SHAPED_BY = (
    "AliasBackward",
    "CloneBackward",
    "PermuteBackward",
    "ReshapeAliasBackward",
    "SelectBackward",
    "SliceBackward",
    "SqueezeBackward",
    "ToCopyBackward",
    "TransposeBackward",
    "UnsafeViewBackward",
    "UnsqueezeBackward",
    "ViewBackward",
)
"""Autograd's names of the operators that make probabilities, and of those that leave numbers as they are."""


class ForeignNet(CamNet):
    """Any module behind the interface of our networks; ``inner`` is the module as its author made it.

    ``keep`` are the channels of its output that make ours, in this order; ``None``: the recipe's one finding.
    """

    def __init__(
        self, inner: nn.Module, net: Net, shown: Input, outlines: bool, keep: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.keep = None if keep is None else list(keep)
        self.name, self.plan = str(net.backbone or net.build), {}
        self.inner, self.wanted, self.shown, self.outlines = inner, net, shown, outlines
        self.outputs = ("map", "features") if net.features else ("map",)
        self.register_buffer("nothing", torch.zeros(len(keep or (0,))), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`converters.nets.CamNet`; without ``[net] features`` the features are the map's means."""
        answer, seen = self.ask(x)
        if seen is not None:
            kernel = self._weight().reshape(-1, seen.shape[1], *(1,) * (seen.ndim - 2))
            convolution = functional.conv2d if seen.ndim == 4 else functional.conv3d
            return self._finding(convolution(seen, kernel)), seen.flatten(2).mean(dim=2)
        cells = self._finding(answer)
        cells = cells.reshape(*cells.shape[:2], *(1,) * (x.ndim - 2)) if cells.ndim == 2 else cells
        return cells, cells.flatten(2).mean(dim=2)

    def ask(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The module's own answer, and what its ``features`` submodule gave on the way."""
        kept: list[Tensor] = []
        hook = None
        if self.wanted.features:
            hook = self.inner.get_submodule(self.wanted.features).register_forward_hook(
                lambda _module, _given, output: kept.append(output)
            )
        try:
            answer = self.inner(self._normalise_input(x))
        finally:
            if hook is not None:
                hook.remove()
        if isinstance(answer, Mapping):
            answer = answer[self.wanted.output or next(iter(answer))]
        elif isinstance(answer, (tuple, list)):
            answer = answer[int(self.wanted.output or 0)]
        return answer, kept[-1] if kept else None

    @property
    def bias(self) -> Tensor:  # type: ignore[override]
        """What the classifier adds after the mean: nothing, where there is no map."""
        own = getattr(self._classifier(), "bias", None) if self.wanted.features else None
        return self.nothing if own is None else self._finding(own[None])[0]

    def freeze_bias(self) -> None:
        """See :class:`converters.nets.CamNet`: the classifier's, where there is a map."""
        if self.wanted.features and self._classifier().bias is not None:
            self._classifier().bias.requires_grad_(False)

    def first_channels(self, count: int = 1) -> Self:
        """It has no others."""
        return self

    def read_plan(self) -> dict[str, Any]:
        """It is made by its own function, not by a plan."""
        return {}

    def _classifier(self) -> nn.Module:
        return self.inner.get_submodule(self.wanted.classifier)

    def _weight(self) -> Tensor:
        return self._classifier().weight

    def _finding(self, cells: Tensor) -> Tensor:
        """(N, C, …) → ours, in our order: logits of several findings, or of the recipe's channel.

        Of classes that share a softmax: ln(p / (1 - p)) is the channel less the log-sum-exp of all others.
        """
        if self.keep is not None:
            kept = cells[:, self.keep]
            return torch.logit(kept, eps=foreign_onnx.CERTAIN) if self.wanted.answer == "probability" else kept
        one = self.wanted.channel
        own = cells[:, one : one + 1]
        if self.wanted.answer == "probability":
            return torch.logit(own, eps=foreign_onnx.CERTAIN)
        if not self.wanted.softmax:
            return own
        others = torch.cat([cells[:, :one], cells[:, one + 1 :]], dim=1)
        return own - (others if others.shape[1] == 1 else others.logsumexp(dim=1, keepdim=True))

    def _normalise_input(self, x: Tensor) -> Tensor:
        """(N, C, …) in [0, 1] → what the module was trained on: its colours, range, mean and spread."""
        if self.wanted.colours == 3 and self.shown.colour == "grey":
            x = torch.cat([x, x, x], dim=1)
        if self.shown.colour == "bgr":
            x = x.flip(1)
        low, high = self.shown.range
        if (low, high) != (0.0, 1.0):
            x = x * (high - low) + low
        if not self.wanted.mean:
            return x
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return (x - x.new_tensor(self.wanted.mean).reshape(shape)) / x.new_tensor(self.wanted.std).reshape(shape)


class OnnxNet(CamNet):
    """An adapted ONNX file (:mod:`converters.formats.foreign_onnx`), as ONNX Runtime runs it; it cannot be trained."""

    def __init__(self, path: Path, spec: InputSpec, outlines: bool, channels: int = 1) -> None:
        super().__init__()
        self.name, self.plan, self.finished, self.spec, self.outlines = path.name, {}, path, spec, outlines
        self.outputs = ("map",)
        self.bias = torch.zeros(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`converters.nets.CamNet`; film by film, which a file of fixed batch needs."""
        films = (np.ascontiguousarray(film[None].numpy()) for film in x)
        cells = torch.cat([torch.from_numpy(self._session.infer({self.spec.name: film})["map"]) for film in films])
        return cells, cells.flatten(2).mean(dim=2)

    def first_channels(self, count: int = 1) -> Self:
        """It has no others."""
        return self

    def read_plan(self) -> dict[str, Any]:
        """It is a file."""
        return {}

    def copy(self) -> Self:
        """Itself: nothing in it changes."""
        return self

    @property
    def parameters_count(self) -> int:
        """How many numbers its weights hold."""
        return sum(int(np.prod(one.dims)) for one in onnx.load(str(self.finished)).graph.initializer)

    @cached_property
    def _session(self) -> Any:
        return registry.get_runtime("onnxruntime").load(self.finished)


def load_foreign(recipe: Recipe, near: Path, spec: InputSpec, work: Path) -> CamNet:
    """The recipe's own network as it was brought, with its weights, in evaluation mode; ``work`` keeps what is made.

    Raises :class:`~converters.failures.RecipeInvalid` for a function or an output that is not there, and a
    :class:`~converters.failures.CheckpointUnreadable` for weights that do not fit.
    """
    task, made = tasks.get(recipe.task).configure(recipe), work / f"foreign.{digest_foreign(recipe, near)[:12]}.onnx"
    if recipe.net.onnx is not None:
        return task.network(near / recipe.net.onnx, recipe, spec, made).eval()
    inner, net = _module(recipe, near, task.shipped)
    if recipe.net.weights is not None:
        path = near / recipe.net.weights
        state = checkpoint.foreign_state(path)
        if net.backbone is not None and recipe.train is not None:  # another data set's classifier is learnt anew
            own = inner.state_dict()
            state |= {name: own[name] for name in own if name.startswith(f"{net.classifier}.")}
        checkpoint.fill(inner, state, path)
    recipe = recipe.model_copy(update={"net": net})
    return task.network(inner, recipe, spec, made).eval()


def with_map(
    given: nn.Module | Path,
    recipe: Recipe,
    spec: InputSpec,
    made: Path,
    *,
    outlines: bool,
    keep: Sequence[int] | None = None,
    logits: bool = True,
) -> CamNet:
    """A module, or an ONNX file that is adapted and written to ``made``, as a network that gives a map.

    ``keep`` are the channels of its output that make the map's; ``None``: the recipe's one finding.  ``logits``: they
    are log odds; a measured number may lie between 0 and 1.

    Raises :class:`~converters.failures.RecipeInvalid` where it gives none.
    """
    if not isinstance(given, Path):
        return _check(ForeignNet(given, recipe.net, recipe.input, outlines, keep).eval(), recipe, spec, logits=logits)
    if not made.is_file():
        foreign_onnx.adapt(given, made, spec, recipe, keep)
    return _check(OnnxNet(made, spec, outlines, len(keep or (0,))), recipe, spec)


def digest_foreign(recipe: Recipe, near: Path) -> str:
    """One word for a network of the user's own and all it is made from; empty for one of ours."""
    net = recipe.net
    if not net.is_foreign:
        return ""
    code = near.joinpath(*str(net.build).partition(":")[0].split(".")).with_suffix(".py") if net.build else None
    files = [near / name for name in (net.weights, net.onnx) if name] + ([code] if code else [])
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in files]
    tables = recipe.model_dump(mode="json", exclude_defaults=True)
    parts = (foreign_onnx.FORM, tables["net"], tables.get("input"), recipe.task, digests)
    more = (tables["settings"],) if tables.get("settings") else ()
    return hashlib.sha256(repr((*parts, *more)).encode()).hexdigest()


def import_module(near: Path, named: str, key: str) -> Any:
    """Import ``named``, a ``package.module:function``, which ``key`` of the recipe gives.

    Raises :class:`~converters.failures.RecipeInvalid`.
    """
    module_name, _, function_name = named.partition(":")
    with importable(near):
        try:
            return getattr(importlib.import_module(module_name), function_name)
        except (ImportError, AttributeError, ValueError) as error:
            raise RecipeInvalid(key, f"{named} cannot be imported: {error}") from error


def _module(recipe: Recipe, near: Path, channels: int) -> tuple[nn.Module, Net]:
    """What the recipe's function makes, or its backbone; and the table with the submodules around the global mean."""
    net = recipe.net
    if net.backbone is not None:
        try:
            known = backbones.get(net.backbone)
        except LookupError as error:
            raise RecipeInvalid(recipe.pack, f"net.backbone: {error}") from error
        torch.manual_seed(recipe.seed)  # what is random in it is the same in every run of the recipe
        return known.build(channels, net.colours), net.model_copy(
            update={"features": known.features, "classifier": known.classifier}
        )
    with importable(near):
        made = import_module(near, str(recipe.net.build), "net.build")()
    if not isinstance(made, nn.Module):
        what = f"gives a {type(made).__name__}, not a torch.nn.Module"
        raise RecipeInvalid(recipe.pack, f"net.build: {recipe.net.build} {what}")
    for key, name in (("features", recipe.net.features), ("classifier", recipe.net.classifier)):
        if name is not None and name not in dict(made.named_modules()):
            raise RecipeInvalid(recipe.pack, f"net.{key}: the module has no submodule {name}")
    return made, net


def _check(net: CamNet, recipe: Recipe, spec: InputSpec, *, logits: bool = True) -> CamNet:
    """``net`` itself, once it has given a map of the right form for a film of noise."""
    size = (1, spec.channels, *spec.shape)
    film = torch.rand(size, generator=torch.Generator().manual_seed(0))
    try:
        if isinstance(net, ForeignNet):
            answer = net.ask(film.clone().requires_grad_() * 1.0)[0]  # no leaf: its first layer may write into it
            if logits and recipe.net.answer is None and (last := _probability_of(answer)):
                raise RecipeInvalid(recipe.pack, f"net: its output ends in {last}. {foreign_onnx.PROBABILITIES}")
            _refuse_channels(answer.detach(), recipe, net.keep)
        with torch.no_grad():
            cells = net(film)[0]
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        what = f"the network does not run on a film of shape {size}: {first[0][:300]}"
        raise RecipeInvalid(recipe.pack, f"net: {what}") from error
    if cells.ndim != len(size) or cells.shape[1] != len(net.biases):
        wanted = f"(1, {len(net.biases)}, …) with {len(size)} axes"
        what = f"its output becomes {tuple(cells.shape)}, where {wanted} is a map"
        raise RecipeInvalid(recipe.pack, f"net: {what}")
    if net.outlines and cells[0, 0].numel() == 1:
        what = f'a network for task = "{recipe.task}" gives a map, this one gives a number'
        raise RecipeInvalid(recipe.pack, f"net: {what}")
    if isinstance(net, ForeignNet) and recipe.net.features is not None:
        _same_answer(net, recipe, film)
    return net


def _probability_of(answer: Tensor) -> str | None:
    """The sigmoid or softmax that a module's output ends in, also one before a network learns; ``None`` for none."""
    step = answer.grad_fn
    while step is not None and step.name().rstrip("0123456789") in SHAPED_BY:
        step = step.next_functions[0][0]
    return None if step is None else PROBABILITY_MADE_BY.get(step.name().rstrip("0123456789"))


def _refuse_channels(answer: Tensor, recipe: Recipe, keep: Sequence[int] | None) -> None:
    """Raise :class:`~converters.failures.RecipeInvalid` where a module's output (N, C, …) is not as the recipe says."""
    channels, wanted = int(answer.shape[1]), recipe.net
    if keep is not None and max(keep) >= channels:
        what = f"its output has {channels} channels, and the recipe wants {len(keep)}"
        raise RecipeInvalid(recipe.pack, f"net: {what}")
    if wanted.channel >= channels or (wanted.softmax and channels < 2):
        what = "several classes that share a softmax" if wanted.softmax else f"channel {wanted.channel}"
        raise RecipeInvalid(recipe.pack, f"net: its output has {channels} channels, and the recipe wants {what}")
    if wanted.softmax and channels > 2 and wanted.features is not None:
        raise RecipeInvalid(
            recipe.pack,
            f"net.features: no map has the answer of one of {channels} classes that share "
            "a softmax as its mean; leave out features and classifier",
        )
    if wanted.answer is None and channels > 1 and foreign_onnx.sums_to_one(answer.numpy()):
        raise RecipeInvalid(recipe.pack, f"net: {foreign_onnx.PROBABILITIES}")


def refuse_probabilities(recipe: Recipe, logits: NDArray[np.float64]) -> None:
    """Raise :class:`~converters.failures.RecipeInvalid` where the answers for films (N,) look like probabilities.

    Calibration would take a sigmoid of them again, and the box too. A network that learns here may give small logits.
    """
    if not recipe.net.is_foreign or recipe.train is not None or recipe.net.answer is not None or recipe.net.softmax:
        return
    if bool(np.isfinite(logits).all()) and logits.min() >= 0.0 and logits.max() <= 1.0 and np.ptp(logits) > 0.0:
        count = f"all {len(logits)} answers lie between {logits.min():.3g} and {logits.max():.3g}. "
        raise RecipeInvalid(recipe.pack, f"net: {count}{foreign_onnx.PROBABILITIES}")


def _same_answer(net: ForeignNet, recipe: Recipe, film: Tensor) -> None:
    with torch.no_grad():
        wanted = net._finding(net.ask(film)[0]).flatten()
        given = net.logits(film)[0]
    if len(wanted) != len(given) or not bool(((given - wanted).abs() <= NEAR * wanted.abs().clamp_min(1.0)).all()):
        shown = ", ".join(f"{float(one):.5f}" for one in given), ", ".join(f"{float(one):.5f}" for one in wanted)
        what = f"the activation map's mean gives {shown[0]}, the module itself {shown[1]}"
        raise RecipeInvalid(recipe.pack, f"net.features: more than a global mean stands before the classifier: {what}")


@contextmanager
def importable(near: Path) -> Any:
    """Modules in the recipe's folder can be imported."""
    sys.path.insert(0, str(near))
    try:
        yield
    finally:
        sys.path.remove(str(near))
