"""Networks that show where: every one gives a class activation map and a feature vector, by name and channel plan.

    (N, 1, H, W) in [0, 1]  ->  map (N, C, h, w), features (N, F);   logit = mean(map) + bias, on the host

A network is rebuilt from its name and its plan alone (:func:`build`), also after pruning has narrowed it.
"""

from typing import Any, Final

from converters.nets import pair, single
from converters.nets.cam_net import CamNet, multiplications

__all__ = ["CamNet", "build", "multiplications"]

_KNOWN: Final[tuple[single.Known, ...]] = (*single.KNOWN, (pair.PLANS, pair.Pair))


def build(name: str, plan: dict[str, Any] | None = None, findings: int = 1, dropout: float = 0.2) -> CamNet:
    """The network called ``name``, with random weights; ``plan`` where it was narrowed.

    Raises :class:`KeyError` naming the networks there are.
    """
    return single.choose_network(_KNOWN, name, plan, findings, dropout)
