"""A volume as a model's input: the frames of one DICOM object, in the order of their places in the body."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from firmware_app.core.errors import NoVolume
from firmware_app.imaging.for_model import ModelFrames
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.model_input import to_model_input
from firmware_app.imaging.volume import series, slices, voxels


def taken(path: Path, frames: int, spec: InputSpec) -> ModelFrames:
    """The volume in the object at *path*, which has *frames*: tensors (1, 1, D, H, W); `read` is its middle frame.

    Every frame must be a slice of one evenly spaced stack: a volume with a gap would be read as another shape.  Raises
    `NoVolume`, and the `ImagingError` of a slice that cannot be decoded.
    """
    begun = time.perf_counter()
    stacks = series.arranged(slices.of(path), voxels.same_pixels).stacks
    if len(stacks) != 1 or len(stacks[0].slices) != frames:
        raise NoVolume(frames=frames, slices=max((len(stack.slices) for stack in stacks), default=0))
    volume = voxels.read(stacks[0]).voxels.astype(np.float32)
    decoded = time.perf_counter()
    tensor = to_model_input(volume, spec)
    ended = time.perf_counter()
    return ModelFrames((frames // 2,), tensor, 1e3 * (decoded - begun), 1e3 * (ended - decoded))
