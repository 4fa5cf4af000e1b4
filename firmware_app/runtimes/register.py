"""Which runtimes there are, by entry point, and which version of each is installed; imports none of them.

A runtime is a module named by an entry point of the group ``lantern.runtimes``, so a library of somebody else's can
bring one.  Our own three are known without it: a checkout works before it has been installed anew, and nobody else's
entry point takes their name.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Final

GROUP: Final = "lantern.runtimes"

OWN: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "onnxruntime": ("firmware_app.runtimes.onnxruntime", ("onnxruntime",)),
    "openvino": ("firmware_app.runtimes.openvino", ("openvino",)),
    "litert": ("firmware_app.runtimes.litert", ("ai-edge-litert", "tflite-runtime")),
}
"""Key → its module and the distributions that bring its library, the newest first; the default runtime first."""


@cache
def modules() -> Mapping[str, str]:
    """Key → the runtime's module: our own in their order, then the others that are installed, by name."""
    others = {point.name: point.value for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}
    return {key: module for key, (module, _) in OWN.items()} | {
        key: module for key, module in others.items() if key not in OWN
    }


def installed_version(key: str) -> str | None:
    """The version that the package of the runtime's library (or the runtime's own package) states; ``None`` without.

    A package that is there may still fail to import: only `probe()` tells, in a process that may die of it.
    """
    if key not in OWN:
        return next((point.dist.version for point in entry_points(group=GROUP, name=key) if point.dist), None)
    for distribution in OWN[key][1]:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None
