"""A trained network on disk: tensors and plain values, never code.

Read with ``weights_only=True``; a ``.safetensors`` file holds tensors only by its form. Written whole or not at all.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from converters.failures import CheckpointForeign, CheckpointHasCode, CheckpointUnreadable
from converters.workflow.atomic import writing

FORM = "lantern.checkpoint/1"
PLAIN_PICKLES = (b"\x03", b"\x04", b"\x05")
"""Second byte of pickles that PyTorch's own writer does not make."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network by name and channel plan, its tensors, and what is known of it (epoch, validation AUC, …)."""

    net: str
    plan: dict[str, Any]
    state: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)


def save(path: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint whole or not at all."""
    with writing(path) as part:
        torch.save(
            {
                "form": FORM,
                "net": checkpoint.net,
                "plan": checkpoint.plan,
                "state": checkpoint.state,
                "facts": checkpoint.facts,
            },
            part,
        )
    return path


def load(path: Path) -> Checkpoint:
    """Read one of our own checkpoints. Raises a :class:`~converters.failures.CheckpointUnreadable`."""
    content = _content(path)
    if content.get("form") != FORM:
        raise CheckpointForeign(str(path), "it was not written by lantern-convert; name it as [net] weights")
    return Checkpoint(content["net"], content["plan"], content["state"], content["facts"])


def foreign_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a foreign ``.pt``, ``.pth`` or ``.safetensors``: a state dict, or one under a usual key."""
    content = _content(path)
    for key in ("state_dict", "model_state_dict", "model", "state", "net"):
        inner = content.get(key)
        if isinstance(inner, Mapping) and inner:
            content = dict(inner)
            break
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointForeign(str(path), "there are no tensors in it")
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def fill(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load ``state`` into ``net``; raises :class:`CheckpointForeign` naming the first tensor that does not fit."""
    wanted = net.state_dict()
    for name, value in wanted.items():
        if name not in state:
            raise CheckpointForeign(str(path), f"the network's {name} is not in it")
        if state[name].shape != value.shape:
            raise CheckpointForeign(
                str(path), f"its {name} is {tuple(state[name].shape)} where the network has {tuple(value.shape)}"
            )
    left = sorted(set(state) - set(wanted))
    if left:
        raise CheckpointForeign(str(path), f"the network has no {left[0]}")
    net.load_state_dict(dict(state))


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointUnreadable(str(path), "there is no such file")
    if path.suffix == ".safetensors" or _is_safetensors(path):
        return dict(_safetensors(path))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "GLOBAL" in str(error):
            raise CheckpointHasCode(str(path), _find_global(str(error))) from error
        if path.read_bytes()[1:2] in PLAIN_PICKLES:
            raise CheckpointHasCode(str(path), "a plain pickle, which may hold anything") from error
        raise CheckpointUnreadable(str(path), "it is cut off or no checkpoint at all") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise CheckpointUnreadable(str(path), "it is cut off or no checkpoint at all") from error
    if not isinstance(content, Mapping):
        raise CheckpointForeign(str(path), f"it holds a {type(content).__name__}, not a dictionary of tensors")
    return cast("dict[str, Any]", dict(content))


def _is_safetensors(path: Path) -> bool:
    """Whether it is a safetensors file, whatever its name: the length of a JSON header, and the header's brace."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return cast("Mapping[str, Tensor]", load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointUnreadable(str(path), "it is cut off or no safetensors file") from error


def _find_global(message: str) -> str:
    """The name that the unpickler refused, out of its message."""
    _, _, rest = message.partition("GLOBAL ")
    return rest.split()[0].strip("'\"`.,") if rest.split() else "a Python object"
