"""Of a clip the frames worth reading are chosen within a budget; a long clip costs no more memory than a short one."""

from __future__ import annotations

import tracemalloc
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


def drawn(seed: int, kind: screens.Kind = "curved") -> Pixels:
    return screens.screen(kind, seed, rows=240, columns=320).pixels


def blurred(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(4)))


def chosen(frames: list[Pixels], rule: Any, budget: int) -> tuple[int, ...]:
    return keyframes.choose_keyframes(lambda index: frames[index].astype(np.float32), len(frames), rule, budget).frames


def test_a_film_is_its_one_frame_whatever_the_rule() -> None:
    for rule in ("middle", "interval", "score"):
        assert chosen([drawn(1)], rule, 8) == (0,)


def test_the_middle_and_fixed_intervals() -> None:
    frames = [drawn(1)] * 21
    assert chosen(frames, "middle", 1) == (10,)
    assert chosen(frames, "interval", 3) == (3, 10, 17)
    assert chosen(frames, "interval", 30) == tuple(range(21))


def test_blurred_and_empty_frames_are_passed_over_for_sharp_ones() -> None:
    scenes = [drawn(seed) for seed in range(4)]
    frames = [blurred(scene) for scene in scenes for _ in range(5)]
    for scene, at in enumerate((2, 8, 12, 17)):
        frames[at] = scenes[scene]
    frames[4] = np.zeros_like(frames[4])
    assert chosen(frames, "score", 4) == (2, 8, 12, 17)


def test_different_views_come_before_more_of_the_same() -> None:
    same, other = drawn(1), drawn(2, "linear")
    frames = [np.clip(same.astype(int) + at % 2, 0, 255) for at in range(20)]
    frames[13] = np.asarray(other * 0.9)
    frames_chosen = chosen(frames, "score", 2)
    assert len(frames_chosen) == 2
    assert 13 in frames_chosen


def test_a_frozen_clip_is_read_once_and_an_empty_one_all_the_same() -> None:
    assert len(chosen([drawn(3)] * 12, "score", 8)) == 1
    assert chosen([np.zeros((100, 100))] * 12, "score", 8) == (6,)


def test_the_sector_is_found_on_the_way_and_letters_do_not_make_frames_different() -> None:
    frames = [one.pixels.astype(np.float32) for one in screens.clip("phased", 3, 20, rows=240, columns=320)]
    frames_chosen = keyframes.choose_keyframes(frames.__getitem__, 20, "score", 4, find=True)
    assert frames_chosen.sector is not None
    truth = screens.screen("phased", 3, rows=240, columns=320).truth
    assert screens.overlap(frames_chosen.sector.mask, truth) > 0.9
    assert 1 <= len(frames_chosen.frames) <= 4


def test_three_thousand_frames_cost_no_more_memory_than_three_hundred_and_are_asked_for_in_order() -> None:
    base = drawn(1).astype(np.float32)
    peaks, asked = [], []

    def grey(index: int) -> Pixels:
        asked.append(index)
        return base + np.float32(index % 97)

    for count in (300, 3_000):
        asked.clear()
        tracemalloc.start()
        frames_chosen = keyframes.choose_keyframes(grey, count, "score", 8, find=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert asked == sorted(set(asked))
        assert len(asked) <= keyframes.MOST_LOOKED
        assert all(0 <= frame < count for frame in frames_chosen.frames)
    print(f"peak {peaks[0] / 2**20:.1f} MB of 300 frames, {peaks[1] / 2**20:.1f} MB of 3,000")
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 32 * 2**20


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
    assert [one.probability for one in clip.findings] == pytest.approx([0.8, 0.7])
    assert clip.strongest == {"mass": 1, "cyst": 0}
    clip = interface.combine_frames(frames, FramePolicy(rule="score", budget=8, aggregate="max"))
    assert [one.probability for one in clip.findings] == pytest.approx([0.9, 0.9])
    clip = interface.combine_frames(frames, FramePolicy(rule="score", budget=8, top=9))
    assert [one.probability for one in clip.findings] == pytest.approx([0.55, 0.45])


def test_one_frame_says_exactly_what_it_says_alone() -> None:
    clip = interface.combine_frames([answer(mass=0.1234567890123)], FramePolicy())
    assert clip.findings[0].probability == 0.1234567890123
    assert clip.strongest == {"mass": 0}
    with pytest.raises(ValueError, match="no frame"):
        interface.combine_frames([], FramePolicy())
