"""An ONNX file from elsewhere, brought into our form: one grey film in, the first finding's map out.

    film (N, 1, H, W) in [0, 1]  ->  [three colours, mean and spread]  ->  the file's own graph  ->  map (N, 1, h, w)

Its own graph is left as it is, under names with a prefix; what stands around it is a handful of plain operators that
every opset knows.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper

from converters.failures import RecipeInvalid
from converters.outputs import writing
from converters.recipe import Net
from firmware_app.imaging.model_input import InputSpec

PREFIX = "own/"
MAP = "map"
Size = tuple[int | None, ...]


def adapted(source: Path, path: Path, spec: InputSpec, wanted: Net) -> Path:
    """Write ``source`` as ``path`` in our form.

    Raises :class:`~converters.failures.RecipeInvalid`, with what the file says of itself, where it is not what the
    recipe says.
    """
    model = _read(source)
    held = {one.name for one in model.graph.initializer}
    given = [one for one in model.graph.input if one.name not in held]
    if len(given) != 1:
        raise RecipeInvalid(
            str(source), f"it has {len(given)} inputs ({_names(given)}), where one film is all there is"
        )
    out, rank = _output(model, wanted, source)
    size = _size(given[0])
    _refuse_other_input(source, given[0], size, spec, wanted)
    model = onnx.compose.add_prefix(model, PREFIX)
    batch: int | str = size[0] or "batch"
    graph = model.graph
    before = _before(PREFIX + given[0].name, spec, wanted)
    after = _after(PREFIX + out, rank, len(spec.shape), wanted)
    own, weights = list(graph.node), list(graph.initializer)
    nodes, values = before[0] + own + after[0], weights + before[1] + after[1]
    shape = [batch, spec.channels, *spec.shape]
    made = helper.make_graph(
        nodes, "adapted", [helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(MAP, TensorProto.FLOAT, [batch, 1, *(None for _ in spec.shape)])], values,
        value_info=list(graph.value_info), sparse_initializer=list(graph.sparse_initializer),
    )  # fmt: skip
    whole = helper.make_model(made, opset_imports=list(model.opset_import), functions=list(model.functions),
                              ir_version=model.ir_version)  # fmt: skip
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


def _output(model: onnx.ModelProto, wanted: Net, source: Path) -> tuple[str, int]:
    """The name of the output that is taken, and how many axes it has."""
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
    channels, need = size[1], 2 if wanted.softmax else wanted.channel + 1
    if channels is not None and (channels < need or (wanted.softmax and channels != 2)):
        what = "two classes that share a softmax" if wanted.softmax else f"channel {wanted.channel}"
        raise RecipeInvalid(
            str(source), f"its output {chosen.name} has {channels} channels, and the recipe wants {what}"
        )
    return str(chosen.name), len(size)


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


def _before(target: str, spec: InputSpec, wanted: Net) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """From our input to the graph's own."""
    nodes, values, now = [], [], spec.name
    if wanted.colours == 3:
        nodes.append(helper.make_node("Concat", [now] * 3, ["colours"], "colours", axis=1))
        now = "colours"
    if wanted.mean:
        shape = (1, wanted.colours, *(1 for _ in spec.shape))
        for word, numbers, kind in (("mean", wanted.mean, "Sub"), ("std", wanted.std, "Div")):
            values.append(numpy_helper.from_array(np.array(numbers, np.float32).reshape(shape), word))
            nodes.append(helper.make_node(kind, [now, word], [f"less_{word}"], f"less_{word}"))
            now = f"less_{word}"
    return [*nodes, helper.make_node("Identity", [now], [target], "given")], values


def _after(
    source: str, rank: int, axes: int, wanted: Net
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:  # fmt: skip
    """From the graph's own output to our map."""
    values = [numpy_helper.from_array(np.array([wanted.channel], np.int64), "channel")]
    nodes = [helper.make_node("Gather", [source, "channel"], ["finding"], "finding", axis=1)]
    now = "finding"
    if wanted.softmax:
        values.append(numpy_helper.from_array(np.array([1 - wanted.channel], np.int64), "rest"))
        nodes.append(helper.make_node("Gather", [source, "rest"], ["other"], "other", axis=1))
        nodes.append(helper.make_node("Sub", [now, "other"], ["odds"], "odds"))
        now = "odds"
    if rank == 2:
        values.append(numpy_helper.from_array(np.array([0, 1, *(1 for _ in range(axes))], np.int64), "one_cell"))
        nodes.append(helper.make_node("Reshape", [now, "one_cell"], [MAP], "as_map"))
    else:
        nodes.append(helper.make_node("Identity", [now], [MAP], "as_map"))
    return nodes, values


def _size(value: onnx.ValueInfoProto) -> Size:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(int(one.dim_value) if one.HasField("dim_value") and one.dim_value > 0 else None for one in dimensions)


def _names(values: Sequence[onnx.ValueInfoProto]) -> str:
    return ", ".join(one.name for one in values) or "none"
