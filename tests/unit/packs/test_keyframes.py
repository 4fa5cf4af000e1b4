"""Of a clip the frames worth reading are chosen within a budget; a long clip costs no more memory than a short one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from firmware_app.core.records import Finding
from firmware_app.imaging import display, keyframes
from firmware_app.packs.tasks import interface
from firmware_app.packs.tasks.interface import Answer, FramePolicy
from tests import screens

Pixels = np.ndarray[Any, Any]


def draw_frame(seed: int, kind: screens.Kind = "curved") -> Pixels:
    return screens.draw_screen(kind, seed, rows=240, columns=320).pixels


def blur(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(4)))


def choose_frames(frames: list[Pixels], rule: Any, budget: int) -> tuple[int, ...]:
    return keyframes.choose_keyframes(lambda index: frames[index].astype(np.float32), len(frames), rule, budget).frames


def test_the_middle_and_fixed_intervals() -> None:
    frames = [draw_frame(1)] * 21
    assert choose_frames(frames, "middle", 1) == (10,)
    assert choose_frames(frames, "interval", 3) == (3, 10, 17)
    assert choose_frames(frames, "interval", 30) == tuple(range(21))


def test_blurred_and_empty_frames_are_passed_over_for_sharp_ones() -> None:
    scenes = [draw_frame(seed) for seed in range(4)]
    frames = [blur(scene) for scene in scenes for _ in range(5)]
    for scene, at in enumerate((2, 8, 12, 17)):
        frames[at] = scenes[scene]
    frames[4] = np.zeros_like(frames[4])
    assert choose_frames(frames, "score", 4) == (2, 8, 12, 17)


def test_different_views_come_before_more_of_the_same() -> None:
    same, other = draw_frame(1), draw_frame(2, "linear")
    frames = [np.clip(same.astype(int) + at % 2, 0, 255) for at in range(20)]
    frames[13] = np.asarray(other * 0.9)
    frames_chosen = choose_frames(frames, "score", 2)
    assert len(frames_chosen) == 2
    assert 13 in frames_chosen


def test_people_see_every_frame_of_a_short_clip_and_of_a_long_one_those_that_were_read() -> None:
    assert display.select_display_frames(1) == (0,)
    assert display.select_display_frames(64, (3,)) == tuple(range(64))
    read = (7, 1234, 2_999)
    shown = display.select_display_frames(3_000, read)
    assert {0, *read} <= set(shown)
    assert len(shown) == len(set(shown)) <= display.MOST_FRAMES
    assert shown == tuple(sorted(shown))
    assert max(np.diff(shown)) < 3_000 / display.MOST_FRAMES * 2.5


def answer(**probabilities: float) -> Answer:
    return Answer(tuple(Finding(code, {"en": code}, share, 0.5) for code, share in probabilities.items()))


def test_a_clip_says_the_mean_of_its_two_strongest_frames() -> None:
    frames = [answer(mass=p, cyst=1 - p) for p in (0.1, 0.9, 0.5, 0.7)]
    clip = interface.combine_frames(frames, FramePolicy(rule="score", budget=8))
    assert [finding.probability for finding in clip.findings] == pytest.approx([0.8, 0.7])
    assert clip.strongest == {"mass": 1, "cyst": 0}
    clip = interface.combine_frames(frames, FramePolicy(rule="score", budget=8, aggregate="max"))
    assert [finding.probability for finding in clip.findings] == pytest.approx([0.9, 0.9])
    clip = interface.combine_frames(frames, FramePolicy(rule="score", budget=8, top=9))
    assert [finding.probability for finding in clip.findings] == pytest.approx([0.55, 0.45])
