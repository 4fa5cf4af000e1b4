"""A volume comes to a model in the order of its places, whole or not at all."""

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset

from firmware_app.imaging import model_frames
from firmware_app.imaging.errors import NO_VOLUME
from firmware_app.imaging.input_spec import InputSpec
from firmware_app.imaging.model_input import to_model_input
from tests import scans
from tests.refusals import raises_refusal

SPEC = InputSpec("scan", 24, 20, depth=8)


def file_of(folder: Path, made: FileDataset) -> Path:
    (path,) = scans.write_datasets(folder, [made])
    return path


def test_the_frames_of_an_object_are_ordered_by_their_places(tmp_path: Path) -> None:
    cuts = scans.make_planes(8)
    order = np.random.default_rng(0).permutation(8)
    taken = model_frames.prepare_volume(
        file_of(tmp_path / "a", scans.make_enhanced_ct([cuts[index] for index in order])), 8, SPEC
    )
    wanted = np.stack([scans.density(cut.pixel_positions()) for cut in cuts]).astype(np.float32)
    np.testing.assert_allclose(taken.tensors, to_model_input(wanted, SPEC), atol=1e-5)
    assert taken.read == (4,)


def test_a_gap_or_a_single_slice_is_no_volume(tmp_path: Path) -> None:
    cuts = scans.make_planes(8)
    with raises_refusal(NO_VOLUME, match="of the 7 frames of this file 0"):
        model_frames.prepare_volume(file_of(tmp_path / "a", scans.make_enhanced_ct([*cuts[:3], *cuts[4:]])), 7, SPEC)
    with raises_refusal(NO_VOLUME, match="of the 1 frames"):
        model_frames.prepare_volume(file_of(tmp_path / "b", scans.make_slice(cuts[0])), 1, SPEC)
