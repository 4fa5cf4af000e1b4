"""A foreign ONNX file, adapted to our form: one film in, the first finding's map, in logits, out.

    film (N, C, H, W) in [0, 1]  ->  [colours, range, mean and spread]  ->  the file's own graph  ->  map (N, 1, h, w)

Its own graph stands under names with a prefix, as it is but for one thing: where it ends in a sigmoid or softmax, that
node passes on what it is given, because the box makes the probability (and INT8 rounds logits better). What stands
around it is a handful of plain operators.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper

from converters.failures import RecipeInvalid
from converters.recipe import Recipe
from converters.recipe_tables import Net
from converters.workflow.atomic import writing
from firmware_app.imaging.model_input import InputSpec
from firmware_app.packs.runtimes import registry

FORM = 2
"""Of the files that are made here: another number where the same file and recipe become another one."""

PREFIX = "own/"
MAP = "map"
CERTAIN = 1e-6
"""A probability that is given is kept this far from 0 and 1."""

PROBABILITIES = (
    "These look like probabilities, and a probability would be made of them once more. Give logits, or say answer = "
    '"probability" (answer = "logit" where they are logits all the same)'
)
SHAPING = ("Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Dropout", "Cast")
"""Operators that may stand behind a sigmoid or softmax and leave its numbers as they are."""
Size = tuple[int | None, ...]


def adapt(source: Path, path: Path, spec: InputSpec, recipe: Recipe, keep: Sequence[int] | None = None) -> Path:
    """Write ``source``, adapted, as ``path``.

    ``keep`` are the channels of its output that make the map's, in this order; ``None``: the recipe's one finding.

    Raises :class:`~converters.failures.RecipeInvalid`, with what the file says of itself, where it is not what the
    recipe says.
    """
    model, wanted = _read(source), recipe.net
    held = {one.name for one in model.graph.initializer}
    given = [one for one in model.graph.input if one.name not in held]
    if len(given) != 1:
        raise RecipeInvalid(
            str(source), f"it has {len(given)} inputs ({_names(given)}), where one film is all there is"
        )
    out, rank, channels = _output(model, wanted, source)
    size = _size(given[0])
    _refuse_other_input(source, given[0], size, spec, wanted)
    last = None if wanted.answer is not None else _find_uncovered(model, out, rank)
    if last is not None:
        print(
            f"{source.name}: its output {out} ends in {last}; what stands before that is taken, as logits",
            file=sys.stderr,
            flush=True,
        )
    if last == "Sigmoid" and wanted.softmax:
        raise RecipeInvalid(str(source), f"its output {out} ends in a Sigmoid, and the recipe says softmax")
    shares = wanted.softmax or last in ("Softmax", "LogSoftmax")
    if channels is None or (last is None and wanted.answer is None):
        shown = _ask(source, given[0].name, out, (1, wanted.colours, *spec.shape))
        channels = channels or shown.shape[1]
        if wanted.answer is None and channels > 1 and sums_to_one(shown):
            raise RecipeInvalid(str(source), f"of its output {out}, {channels} channels sum to 1. {PROBABILITIES}")
    if keep is None:
        _refuse_channels(source, out, channels, wanted, shares=shares)
    elif max(keep) >= channels:
        raise RecipeInvalid(str(source), f"its output {out} has {channels} channels, the recipe wants {len(keep)}")
    model = onnx.compose.add_prefix(model, PREFIX)
    batch: int | str = size[0] or "batch"
    graph = model.graph
    before = _before(PREFIX + given[0].name, spec, recipe)
    one = shares and keep is None
    others = [channel for channel in range(channels) if channel != wanted.channel] if one else []
    after = _after(
        PREFIX + out,
        rank,
        len(spec.shape),
        wanted=wanted,
        keep=keep or [wanted.channel],
        others=others,
        opset=_opset(model),
    )
    own, weights = list(graph.node), list(graph.initializer)
    nodes, values = before[0] + own + after[0], weights + before[1] + after[1]
    shape = [batch, spec.channels, *spec.shape]
    cells = [batch, len(keep or (0,)), *(None for _ in spec.shape)]
    made = helper.make_graph(
        nodes,
        "adapted",
        [helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(MAP, TensorProto.FLOAT, cells)],
        values,
        value_info=list(graph.value_info),
        sparse_initializer=list(graph.sparse_initializer),
    )
    whole = helper.make_model(
        made, opset_imports=list(model.opset_import), functions=list(model.functions), ir_version=model.ir_version
    )
    try:
        onnx.checker.check_model(whole)
    except onnx.checker.ValidationError as error:
        raise RecipeInvalid(str(source), f"it is no valid model: {str(error).splitlines()[0]}") from error
    with writing(path) as part:
        onnx.save(whole, str(part))
    return path


def _read(source: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(str(source))
    except (OSError, DecodeError, ValueError) as error:
        why = "there is no such file" if not source.exists() else "it is cut off or no ONNX file"
        raise RecipeInvalid(str(source), why) from error
    if not model.graph.node:
        raise RecipeInvalid(str(source), "it is cut off or no ONNX file")
    return model


def sums_to_one(answer: np.ndarray[Any, Any]) -> bool:
    """Whether an answer (N, C, …) consists of probabilities of C classes, as a softmax gives them."""
    return bool((answer >= 0.0).all()) and bool((np.abs(answer.sum(axis=1) - 1.0) < 1e-4).all())


def _ask(source: Path, given: str, out: str, size: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """What the file itself gives for a film of noise."""
    film = np.random.default_rng(0).random(size, dtype=np.float32)
    return registry.get_runtime("onnxruntime").load(source).infer({given: film})[out]


def _find_uncovered(model: onnx.ModelProto, out: str, rank: int) -> str | None:
    """Make the sigmoid, or softmax over the channels, that ``out`` ends in pass on what it is given.

    Returns its operator; ``None`` where there is none, or something else in the graph reads it too.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    node = makers.get(out)
    while node is not None and node.op_type in SHAPING and _readers(model, node.input[0]) == 1:
        node = makers.get(node.input[0])
    if node is None or node.op_type not in ("Sigmoid", "Softmax", "LogSoftmax"):
        return None
    if node.output[0] != out and _readers(model, node.output[0]) != 1:
        return None
    kind = str(node.op_type)
    axis = next((one.i for one in node.attribute if one.name == "axis"), 1 if _opset(model) < 13 else -1)
    if kind != "Sigmoid" and axis != 1 and (axis, rank) != (-1, 2):
        return None
    del node.attribute[:]
    node.op_type = "Identity"
    return kind


def _readers(model: onnx.ModelProto, name: str) -> int:
    """How many nodes and outputs of the graph read a tensor."""
    return sum(name in node.input for node in model.graph.node) + sum(one.name == name for one in model.graph.output)


def _opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the file uses."""
    return int(next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx")))


def _refuse_channels(source: Path, out: str, channels: int, wanted: Net, *, shares: bool) -> None:
    if channels <= wanted.channel or (shares and channels < 2):
        what = "several classes that share a softmax" if shares else f"channel {wanted.channel}"
        raise RecipeInvalid(str(source), f"its output {out} has {channels} channels, and the recipe wants {what}")


def _output(model: onnx.ModelProto, wanted: Net, source: Path) -> tuple[str, int, int | None]:
    """The name of the output that is taken, how many axes it has, and how many channels, where the file says so."""
    known = list(model.graph.output)
    name = wanted.output or (known[0].name if len(known) == 1 else None)
    chosen = next((one for one in known if one.name == name), None)
    if chosen is None:
        said = f"there is no output {name}" if name else "it has several outputs; name one as [net] output"
        raise RecipeInvalid(str(source), f"{said} (outputs: {_names(known)})")
    inferred = onnx.shape_inference.infer_shapes(model)
    size = next(_size(one) for one in inferred.graph.output if one.name == chosen.name)
    if len(size) < 2:
        raise RecipeInvalid(str(source), f"its output {chosen.name} is neither (N, C) logits nor a (N, C, …) map")
    return str(chosen.name), len(size), size[1]


def _refuse_other_input(source: Path, given: onnx.ValueInfoProto, size: Size, spec: InputSpec, wanted: Net) -> None:
    if given.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise RecipeInvalid(str(source), f"its input {given.name} is not float32")
    meant = (size[0], wanted.colours, *spec.shape)
    fits = len(size) == len(meant) and all(one in (None, other) for one, other in zip(size[1:], meant[1:], strict=True))
    if not fits or size[0] not in (None, 1):
        shown = " x ".join("?" if one is None else str(one) for one in size)
        wanted_size = " x ".join(str(one) for one in meant[1:])
        raise RecipeInvalid(
            str(source), f"its input is {shown}, where the recipe's [input] and colours mean ? x {wanted_size}"
        )


def _before(target: str, spec: InputSpec, recipe: Recipe) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Convert our input to the graph's own."""
    nodes, values, now, wanted, shown = [], [], spec.name, recipe.net, recipe.input
    if wanted.colours == 3 and shown.colour == "grey":
        nodes.append(helper.make_node("Concat", [now] * 3, ["colours"], "colours", axis=1))
        now = "colours"
    if shown.colour == "bgr":
        values.append(numpy_helper.from_array(np.array([2, 1, 0], np.int64), "order"))
        nodes.append(helper.make_node("Gather", [now, "order"], ["reordered"], "reordered", axis=1))
        now = "reordered"
    low, high = shown.range
    steps: list[tuple[str, tuple[float, ...], str]] = []
    if (low, high) != (0.0, 1.0):
        steps += [("span", (high - low,), "Mul"), ("low", (low,), "Add")]
    if wanted.mean:
        steps += [("mean", wanted.mean, "Sub"), ("std", wanted.std, "Div")]
    for word, numbers, kind in steps:
        values.append(
            numpy_helper.from_array(
                np.array(numbers, np.float32).reshape(1, len(numbers), *(1 for _ in spec.shape)), word
            )
        )
        nodes.append(helper.make_node(kind, [now, word], [f"by_{word}"], f"by_{word}"))
        now = f"by_{word}"
    return [*nodes, helper.make_node("Identity", [now], [target], "given")], values


def _after(
    source: str, rank: int, axes: int, wanted: Net, keep: Sequence[int], others: Sequence[int], opset: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Convert the graph's output to our map of the channels ``keep``; ``others`` share a softmax with the first."""
    values = [numpy_helper.from_array(np.array(keep, np.int64), "channel")]
    nodes = [helper.make_node("Gather", [source, "channel"], ["finding"], "finding", axis=1)]
    now = "finding"
    if wanted.answer == "probability":
        nodes, values, now = _logit(nodes, values, now)
    if others:
        values.append(numpy_helper.from_array(np.array(others, np.int64), "rest"))
        nodes.append(helper.make_node("Gather", [source, "rest"], ["others"], "others", axis=1))
        less = "others"
        if len(others) > 1:  # the axes are an input since opset 18, and were an attribute before
            less, as_input = "together", opset >= 18
            values += [numpy_helper.from_array(np.array([1], np.int64), "axis")] if as_input else []
            inputs, attributes = (["others", "axis"], {}) if as_input else (["others"], {"axes": [1]})
            nodes.append(helper.make_node("ReduceLogSumExp", inputs, [less], less, keepdims=1, **attributes))
        nodes.append(helper.make_node("Sub", [now, less], ["odds"], "odds"))
        now = "odds"
    if rank == 2:
        shape = np.array([0, len(keep or (0,)), *(1 for _ in range(axes))], np.int64)
        values.append(numpy_helper.from_array(shape, "one_cell"))
        nodes.append(helper.make_node("Reshape", [now, "one_cell"], [MAP], "as_map"))
    else:
        nodes.append(helper.make_node("Identity", [now], [MAP], "as_map"))
    return nodes, values


def _logit(
    nodes: list[onnx.NodeProto], values: list[onnx.TensorProto], now: str
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto], str]:
    """ln(p / (1 - p)) of the tensor ``now``, which is kept away from 0 and 1."""
    for word, number in (("least", CERTAIN), ("most", 1.0 - CERTAIN), ("one", 1.0)):
        values.append(numpy_helper.from_array(np.array(number, np.float32), word))
    for kind, given, made in (
        ("Max", [now, "least"], "above"),
        ("Min", ["above", "most"], "kept"),
        ("Sub", ["one", "kept"], "against"),
        ("Div", ["kept", "against"], "ratio"),
        ("Log", ["ratio"], "logit"),
    ):
        nodes.append(helper.make_node(kind, given, [made], made))
    return nodes, values, "logit"


def _size(value: onnx.ValueInfoProto) -> Size:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(
        int(dimension.dim_value) if dimension.HasField("dim_value") and dimension.dim_value > 0 else None
        for dimension in dimensions
    )


def _names(values: Sequence[onnx.ValueInfoProto]) -> str:
    return ", ".join(value.name for value in values) or "none"
