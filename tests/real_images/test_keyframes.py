"""The frames worth reading of real clips."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from firmware_app.imaging import image_file, keyframes
from tests.peers import find_shared_data


@pytest.mark.parametrize("name", ["Cov_convex_volpecelli_sonographic_v4.mov", "Pneu_prospective_file3.mp4"])
def test_a_real_clip_of_a_lung_gives_a_few_frames_that_differ_and_its_sector(name: str) -> None:
    pytest.importorskip("av", reason="needs the extra “video”")
    with image_file.open_image_file(find_shared_data("data", "lung-ultrasound") / name, is_picture=True) as opened:
        frames_chosen = keyframes.choose_keyframes(opened.grey, opened.frames, "score", 8, find=True)
        assert len(frames_chosen.frames) == 8
        assert frames_chosen.sector is not None
        assert frames_chosen.sector.share > 0.8
        pictures = [
            np.asarray(Image.fromarray(opened.grey(at)).resize((24, 24))).ravel() for at in frames_chosen.frames
        ]
    alike = np.corrcoef(pictures)[np.triu_indices(8, 1)]
    print(f"{name}: frames {frames_chosen.frames}, correlation of their thumbnails at most {alike.max():.4f}")
    assert alike.max() < 1.0 - keyframes.LEAST_NOVELTY / 2
