"""A convolution of each channel by itself whose gradients are quick on a processor.

oneDNN has no quick bfloat16 kernel for two of them: that of the input at a stride of 2 (143 ms where float32 takes 40,
96 channels of 112 x 112, 32 films, two cores), and that of a 5 x 5 filter (113 ms where float32 takes 24).  These two
are computed in float32, which halves the time of a training step of Lite0.  Model files hold an ordinary convolution.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LARGEST_QUICK_FILTER = 3


class DepthwiseConv2d(nn.Conv2d):  # type: ignore[misc]
    """``nn.Conv2d`` of ``channels`` groups without bias, quick to train in bfloat16 on a processor."""

    def __init__(self, channels: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        if self.training and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            half = torch.get_autocast_dtype("cpu")
            filtered: Tensor = _Convolution.apply(x.to(half), self.weight.to(half), self.stride[0], self.padding[0])
            return filtered
        return super().forward(x)


class _Convolution(torch.autograd.Function):  # type: ignore[misc]
    """The convolution in the type that it is given, its two slow gradients in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, stride=stride, padding=padding, groups=weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        of_input = torch.float32 if ctx.stride > 1 else x.dtype
        of_weight = torch.float32 if weight.shape[-1] > LARGEST_QUICK_FILTER else x.dtype
        beneath = _gradient(ctx, gradients[0], of_input, (True, False, False))[0].to(x.dtype)
        own = _gradient(ctx, gradients[0], of_weight, (False, True, False))[1].to(weight.dtype)
        return beneath, own, None, None


def _gradient(ctx: Any, above: Tensor, kind: torch.dtype, wanted: tuple[bool, bool, bool]) -> tuple[Tensor, ...]:
    x, weight = (value.to(kind) for value in ctx.saved_tensors)
    stride, padding = [ctx.stride] * 2, [ctx.padding] * 2
    groups = weight.shape[0]
    gradients: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        above.to(kind),
        x,
        weight,
        bias_sizes=None,
        stride=stride,
        padding=padding,
        dilation=[1, 1],
        transposed=False,
        output_padding=[0, 0],
        groups=groups,
        output_mask=wanted,
    )
    return gradients
