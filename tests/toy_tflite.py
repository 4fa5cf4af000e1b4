"""The toy pack's graph as a ``.tflite`` file, float or eight-bit, built from the format's own schema."""

from __future__ import annotations

from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tests.toy_pack import POOL, SIDE

SCALE = 1.0 / 128.0
"""Eight-bit values stand for ``value * SCALE``, so that greys from 0 to just below 1 are exact in steps of 1/128."""


def tflite(*, int8: bool = False) -> bytes:
    """One AveragePool between two reshapes: film (1, 1, SIDE, SIDE) in, map (1, 1, SIDE / POOL, SIDE / POOL) out."""
    small = SIDE // POOL
    kind = schema.TensorType.INT8 if int8 else schema.TensorType.FLOAT32
    shapes = [[1, 1, SIDE, SIDE], [1, SIDE, SIDE, 1], [1, small, small, 1], [1, 1, small, small]]
    model = schema.ModelT()
    model.version = 3
    model.operatorCodes = [_code(schema.BuiltinOperator.RESHAPE), _code(schema.BuiltinOperator.AVERAGE_POOL_2D)]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(f"t{number}", shape, kind, int8) for number, shape in enumerate(shapes)]
    graph.inputs, graph.outputs = [0], [3]
    graph.operators = [
        _operator(0, 0, 1, schema.BuiltinOptions.ReshapeOptions, _reshape(shapes[1])),
        _operator(1, 1, 2, schema.BuiltinOptions.Pool2DOptions, _pool()),
        _operator(0, 2, 3, schema.BuiltinOptions.ReshapeOptions, _reshape(shapes[3])),
    ]
    model.subgraphs = [graph]
    model.buffers = [schema.BufferT()]
    model.signatureDefs = [_signature()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _code(operator: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator
    return code


def _tensor(name: str, shape: list[int], kind: int, int8: bool) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, 0
    if int8:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [SCALE], [0]
    return tensor


def _operator(code: int, given: int, made: int, kind: int, options: Any) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [given], [made]
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    return operator


def _reshape(shape: list[int]) -> Any:
    options = schema.ReshapeOptionsT()
    options.newShape = shape
    return options


def _pool() -> Any:
    options = schema.Pool2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH = options.strideW = options.filterHeight = options.filterWidth = POOL
    return options


def _signature() -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = [_map_tensor("image", 0)], [_map_tensor("map", 3)]
    return signature


def _map_tensor(name: str, index: int) -> Any:
    named = schema.TensorMapT()
    named.name, named.tensorIndex = name, index
    return named
