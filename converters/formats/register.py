"""The file formats that are known: ours, and those that installed packages name in the group ``lantern.formats``."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, cast

from converters.formats.interface import Format

GROUP: Final = "lantern.formats"
OWN: Final = ("onnx_file", "openvino_ir", "tflite_file", "npu_file", "tensorrt_file")
"""Our modules, in the order in which packs list their files; the first one writes the file that others begin from."""


@cache
def list_formats() -> Mapping[str, Format]:
    """Runtime → its format: ours first, then the others by name; a name of ours is not taken over."""
    own = [import_module(f"converters.formats.{name}") for name in OWN]
    others = [point.load() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)]
    formats: dict[str, Format] = {}
    for module in (*own, *others):
        formats.setdefault(module.runtime, cast(Format, module))
    return formats


def get(runtime: str) -> Format:
    """The format of a runtime; raises :class:`LookupError` for one that has none."""
    try:
        return list_formats()[runtime]
    except KeyError as error:
        raise LookupError(f"no file format for {runtime}; known are {', '.join(list_formats())}") from error
