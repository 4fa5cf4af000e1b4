"""The networks that are one network each, by name; a pair is made of two of them (:mod:`converters.nets.pair`)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from converters.nets import lite, meshnet, plain, pyramid
from converters.nets.cam_net import CamNet

Known = tuple[Mapping[str, dict[str, Any]], Callable[[str, dict[str, Any], int, float], CamNet]]
"""Name → plan of each network of a kind, and the kind: (name, plan, findings, dropout) → network."""

KNOWN: Final[tuple[Known, ...]] = (
    (lite.PLANS, lite.Lite),
    (plain.PLANS, plain.Plain),
    (meshnet.PLANS, meshnet.MeshNet),
    (pyramid.PLANS, pyramid.Pyramid),
)


def choose_network(
    known: Iterable[Known], name: str, plan: dict[str, Any] | None, findings: int, dropout: float
) -> CamNet:
    """The network of ``known`` that is called ``name``; see :func:`converters.nets.build`."""
    every = tuple(known)
    for plans, kind in every:
        if name in plans:
            return kind(name, plan or plans[name], findings, dropout)
    raise KeyError(f"there is no network {name}; known are {', '.join(one for plans, _ in every for one in plans)}")
