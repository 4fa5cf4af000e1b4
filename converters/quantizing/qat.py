"""Quantization-aware fine-tuning: the last resort, when no eight-bit file of a runtime is good enough.

Every convolution rounds its input and its weights to eight bits on the way forward, as the runtimes will, and gradients
pass straight through (Jacob et al. 2018).  The network so learns, from its own float self, weights that bear rounding.
Then the rounding is removed, and the float weights go through the ordinary export and PTQ search.

Plain PyTorch: weights are symmetric, one scale an output channel, which folding the batch normalisation into them does
not change; inputs have one range, a moving average of what was seen.
"""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from converters import steps
from converters.data.splits import Fold
from converters.formats import artefacts
from converters.nets import CamNet
from converters.recipe import Distill, Train
from converters.steps import Workshop
from converters.training import distill, fitting, targets

STAGE = "aware"
RATE = 0.05
"""Share of the recipe's learning rate: the network knows its task and only moves a little."""

MEMORY = 0.05
WARMUP = 10


class RoundedConvolution(nn.Conv2d):  # type: ignore[misc]
    """A convolution that sees eight-bit inputs through eight-bit weights."""

    low: Tensor
    high: Tensor

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__(
            plain.in_channels, plain.out_channels, plain.kernel_size, plain.stride, plain.padding, plain.dilation,
            plain.groups, bias=plain.bias is not None,
        )  # fmt: skip
        self.load_state_dict(plain.state_dict())
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """As the plain one, of what rounding leaves of ``x``."""
        x = x.float()
        if self.training:
            self._watch(x.detach())
        return self._conv_forward(self._rounded(x), rounded_weight(self.weight), self.bias)

    def _watch(self, x: Tensor) -> None:
        """Ranges hold 0, which padding adds."""
        share = MEMORY if bool(self.high > self.low) else 1.0
        self.low.lerp_(x.min().clamp(max=0.0), share)
        self.high.lerp_(x.max().clamp(min=0.0), share)

    def _rounded(self, x: Tensor) -> Tensor:
        if not bool(self.high > self.low):
            return x
        scale = (self.high - self.low) / 255.0
        zero = torch.round(-self.low / scale).clamp(0, 255).int()
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)


class StillNormalisation(nn.BatchNorm2d):  # type: ignore[misc]
    """A batch normalisation that keeps its statistics: the runtimes fold them into the weights as they are."""

    def __init__(self, plain: nn.BatchNorm2d) -> None:
        super().__init__(plain.num_features, plain.eps, plain.momentum)
        self.load_state_dict(plain.state_dict())
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Always in evaluation mode, whatever mode the network is set to."""
        super().train(False)
        return self


def rounded_weight(weight: Tensor) -> Tensor:
    """``weight`` in eight bits, symmetric, one scale an output channel."""
    scale = weight.detach().abs().flatten(1).amax(dim=1).clamp(min=1e-8) / 127.0
    zero = torch.zeros(len(scale), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


def rounded(net: CamNet) -> CamNet:
    """A copy whose convolutions round.  Its bias stays: the host adds it, and one number serves all files of a pack."""
    net = net.copy()
    for name, module in list(net.named_modules()):
        parent, _, own = name.rpartition(".")
        if type(module) is nn.Conv2d:
            setattr(net.get_submodule(parent), own, RoundedConvolution(module))
        elif type(module) is nn.BatchNorm2d:
            setattr(net.get_submodule(parent), own, StillNormalisation(module))
        elif isinstance(module, nn.Dropout2d):
            module.p = 0.0
    net.bias.requires_grad_(False)
    return net


def plain(tuned: CamNet, like: CamNet) -> CamNet:
    """``like`` with the weights of ``tuned``: the rounding and its ranges are left behind."""
    net, state = like.copy(), tuned.state_dict()
    net.load_state_dict({name: state[name] for name in net.state_dict()})
    return net.eval()


def fine_tuned(shop: Workshop, fold: Fold) -> CamNet:
    """A fold's network after QAT towards its own float outputs; an interrupted fit is continued."""
    original, base = steps.final(shop, fold), shop.recipe.distill or shop.recipe.train
    assert base is not None
    plan = Distill(
        epochs=shop.recipe.quantize.aware_epochs, batch=base.batch, learning_rate=base.learning_rate * RATE,
        weight_decay=0.0, warmup_steps=WARMUP, average_steps=base.average_steps,
        change=base.change.model_copy(update={"paste": 0.0}), temperature=1.0, label_weight=0.0, hint_weight=0.0,
    )  # fmt: skip
    net, films = rounded(original), shop.films(fold.train)
    aim, labelled = targets.targets(films, 0.0, None), np.ones(len(films.films), dtype=np.bool_)
    objective = distill.taught(net, [original.copy()], aim, labelled, plan, Train(), steps.shop_example(shop))
    run = shop.run(STAGE, fold, plan, steps.word_of_final(shop, fold))
    return plain(fitting.fit(net, shop.seen(fold), objective, plan, run), original)


def float_files(shop: Workshop) -> dict[str, Path]:
    """Fold → the folder of the float files of its fine-tuned network; every network is fine-tuned first."""
    folders, keys = {}, artefacts.wanted(shop.recipe)
    for fold in shop.trained_folds:
        folders[fold.name] = shop.work / STAGE / fold.name
        static = shop.recipe.export.static and fold == shop.material.division.shipped
        artefacts.export(fine_tuned(shop, fold), shop.spec, folders[fold.name], keys, static=static)
    return folders
