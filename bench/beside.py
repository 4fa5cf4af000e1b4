"""How often the box says that a model did not go by tissue: on good images and on spoiled ones.

    python -m bench.beside [--packs DIR] [--data FOLDER] [--most N] [--only PACK] [--quick]

FOLDER is ../shared/data; of each pack (in DIR, else those that ship) images outside its frozen test list are taken, so
that limits may be chosen by them; the pack has learnt from most of these.  They are taken as they are and with marks:
films in a border with letters, ultrasound on a whole screen with letters around it, and with text, a ruler, callipers
or an arrow drawn into it (`tests.drawn_marks`).  Packs are asked as the box asks them.  Two made-up models stand beside
each pack: one that goes by the drawn marks alone, and one that takes half of its evidence from them and half from where
the pack takes it.  Once marks are painted over, a made-up model still sees the ink that was not found.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bench import foreign_sets, harness
from bench.foreign_sets import Frame, Grey
from converters.statistics.intervals import Rate
from firmware_app.imaging import image_limits, outside_anatomy, pixel_operations, ultrasound_marks, ultrasound_sector
from firmware_app.imaging.model_input import lay_out, to_model_input
from firmware_app.packs import pack_folder
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.tasks import activation_map, classify
from tests import drawn_marks, screens

MOST: Final = 2000
CHILD, ADULT, BREAST = "chest-xray-child", "chest-xray-adult", "breast-ultrasound"
SCREEN: Final = (600, 800)
BORDER: Final = 0.1
"""Width of the border, as a share of the film's side."""
SHARES: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Limits to compare with the two in use."""
OWN_MARKS: Final = 0.001
"""Share of a picture's pixels from which it is one with marks; the maker's letter in a corner is half of that."""
Marks = NDArray[np.bool_]
Strengths = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Made:
    """A picture, and what was drawn on it: (H, W), true where a mark is."""

    grey: Grey
    marks: Marks


@dataclass(frozen=True, slots=True)
class Said:
    """A pack's answer for a picture, and the share of its evidence that is not of tissue (None: unknown).

    `found` are the marks found in the sector, (H, W), and `unmarked` the answer without them.
    """

    positive: bool
    strengths: Strengths
    cells: outside_anatomy.Cells | None
    share: float | None
    found: Marks | None = None
    unmarked: Strengths | None = None


def main() -> int:
    options = _options()
    if not (options.data / "chest-xray-nih").is_dir():
        harness.leave_out(f"There are no images in {options.data.name}; nothing was measured.")
    for pack in pack_folder.list_packs(options.packs):
        if options.only in (None, pack.name):
            frames = _untested(pack.name, options.data, options.most)
            ways = {**OF_ULTRASOUND, **_in_the_picture(options.data)} if pack.name == BREAST else OF_A_FILM
            _report(Asked(pack), frames, ways)
    _time()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--packs", type=Path, default=pack_folder.shipped_packs_dir(), help="folder of packs")
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--most", type=int, default=None, help=f"images of each pack ({MOST}; with --quick 20)")
    parser.add_argument("--only", metavar="PACK", help="this pack alone")
    parser.add_argument("--quick", action="store_true", help="only see whether it works; the figures mean little")
    options = parser.parse_args()
    options.most = options.most or (20 if options.quick else MOST)
    return options


def _untested(pack: str, data: Path, most: int) -> list[Frame]:
    """Images outside the frozen test list of *pack*."""
    tested = set(foreign_sets.held_out(pack))
    if pack == BREAST:
        names = {Path(name).name for name in tested}
        frames = [one for one in foreign_sets.breasts(data, sys.maxsize) if one.group not in names]
        return [frames[int(index)] for index in np.random.default_rng(0).permutation(len(frames))[:most]]
    films = foreign_sets.children(data) if pack == CHILD else foreign_sets.adults(data)
    return foreign_sets.of_films(films.only([one.name for one in films.films if one.name not in tested]), most)


class Asked:
    """A pack with a session of its first runtime; called with a picture, it answers as the box would."""

    def __init__(self, pack: Pack) -> None:
        self.name, self._manifest = pack.name, pack.manifest
        runtime = registry.get_runtime("onnxruntime")
        self._session = runtime.load(pack.artefact("onnxruntime", "fp32"), runtime.Config(threads=2))

    def __call__(self, grey: Grey) -> Said:
        spec = self._manifest.input
        tensor = to_model_input(grey, spec)
        positive, strengths = self._answer(tensor)
        if self.name != BREAST:
            cells = outside_anatomy.cells_of_radiograph(
                grey, None, outside_anatomy.find_bordered_box(grey) if spec.crop == "frame" else None
            )
            return Said(positive, strengths, cells, outside_anatomy.outside_share(strengths, cells))
        area = ultrasound_sector.detect_sector(grey)
        found = ultrasound_marks.find_strokes(grey) if area is None else ultrasound_marks.find_strokes(grey) & area.mask
        drawn = lay_out(found.astype(np.float32), spec) > 0
        unmarked = self._answer(ultrasound_marks.paint_over(tensor, drawn))[1] if drawn.any() else None
        cells = None if area is None else outside_anatomy.cells_of_sector(area)
        share = None if area is None and unmarked is None else outside_anatomy.outside_share(strengths, cells, unmarked)
        return Said(positive, strengths, cells, share, found, unmarked)

    def _answer(self, tensor: NDArray[np.float32]) -> tuple[bool, Strengths]:
        output, findings = self._manifest.section.output, self._manifest.section.findings
        activation = self._session.infer({self._manifest.input.name: tensor})[output.map][0]
        positive = classify.make_findings(activation, findings)[0].positive
        return positive, activation_map.draw_activation_map(activation, findings[0].channel, output.full_scale)


# --- pictures that were made bad --------------------------------------------------------------------------------------


def in_a_border(ground: float, *, written: bool) -> Callable[[Frame, int], Made]:
    """The film in a border of *ground* (0 its darkest grey, 1 its brightest), with letters in it or none."""

    def make(frame: Frame, number: int) -> Made:
        rows, columns = frame.grey.shape
        low, high = float(frame.grey.min()), float(frame.grey.max())
        grounds = (low, high) if ground == 0.0 else (high, low)
        picture = np.full((rows, columns), grounds[0], np.float32)
        y, x = round(BORDER * rows), round(BORDER * columns)
        size = (columns - 2 * x, rows - 2 * y)
        picture[y : y + size[1], x : x + size[0]] = np.asarray(Image.fromarray(frame.grey).resize(size))
        if not written:
            return Made(picture, np.zeros(picture.shape, np.bool_))
        marks = _letters(rows, columns, number)
        return Made(np.where(marks, np.float32(grounds[1]), picture), marks)

    return make


def _letters(rows: int, columns: int, number: int) -> Marks:
    """A line of text above or below, and a side marker."""
    image = Image.new("1", (columns, rows))
    draw, px = ImageDraw.Draw(image), round(0.07 * rows)
    chance = np.random.default_rng(number)
    y = round(0.01 * rows) if chance.random() < 0.5 else round((1 - BORDER + 0.01) * rows)
    draw.text((round(chance.uniform(0.1, 0.4) * columns), y), "PORTABLE AP", fill=1, font=ImageFont.load_default(px))
    side = 0.015 if chance.random() < 0.5 else 1 - BORDER + 0.015
    draw.text(
        (round(side * columns), round(chance.uniform(0.2, 0.7) * rows)),
        "R",
        fill=1,
        font=ImageFont.load_default(round(0.1 * rows)),
    )
    return np.array(image, np.bool_)


def on_a_screen(share: float, *, written: bool) -> Callable[[Frame, int], Made]:
    """The picture on an ultrasound machine's whole screen, *share* of its height or width, with letters or none."""

    def make(frame: Frame, number: int) -> Made:
        rows, columns = SCREEN
        drawn = screens.screen("linear", number % 12, rows, columns)
        scale = share * min(rows / frame.grey.shape[0], columns / frame.grey.shape[1])
        size = (round(frame.grey.shape[1] * scale), round(frame.grey.shape[0] * scale))
        picture = np.where(drawn.drawn if written else False, drawn.pixels, 0).astype(np.float32)
        y, x = (rows - size[1]) // 2, (columns - size[0]) // 2
        inside = np.asarray(Image.fromarray(frame.grey).resize(size, Image.Resampling.BILINEAR))
        picture[y : y + size[1], x : x + size[0]] = np.clip(inside, 1, 255)
        marks = drawn.drawn.copy() if written else np.zeros(SCREEN, np.bool_)
        marks[y : y + size[1], x : x + size[0]] = False
        return Made(picture, marks)

    return make


def _in_the_picture(data: Path) -> Ways:
    """Marks drawn into the picture itself; callipers and arrows at the outlined lesion."""

    def made_with(kind: str) -> Callable[[Frame, int], Made]:
        def make(frame: Frame, number: int) -> Made:
            mask, around = data / BREAST / "masks" / frame.group, None
            inside = np.asarray(Image.open(mask).convert("L")) > 127 if mask.exists() else np.zeros((1, 1), np.bool_)
            if inside.any():
                rows, columns = np.nonzero(inside)
                around = (float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max()))
            made = drawn_marks.marked(frame.grey, kind, number, around)
            return Made(made.pixels, made.drawn)

        return make

    return {f"with {kind} in the picture": made_with(kind) for kind in drawn_marks.PENS}


Ways = Mapping[str, Callable[[Frame, int], Made]]
OF_A_FILM: Final[Ways] = {
    "in a black border, empty": in_a_border(0.0, written=False),
    "in a black border with white letters": in_a_border(0.0, written=True),
    "in a white border with black letters": in_a_border(1.0, written=True),
}
OF_ULTRASOUND: Final[Ways] = {
    f"{share:.0%} of a screen{words}": on_a_screen(share, written=written)
    for share in (0.8, 0.65, 0.5)
    for words, written in ((", empty", False), (" with letters", True))
}


def by_the_marks(drawn: Marks, left: Marks, shape: tuple[int, ...]) -> tuple[Strengths, Strengths]:
    """The activation map of a model that uses the marks *drawn* alone, and that of what is *left* of them.

    Each cell is the share of it that marks cover; the cells of the first add up to 1.
    """
    inks = (
        Image.fromarray(one.astype(np.float32)).resize((shape[1], shape[0]), Image.Resampling.BOX)
        for one in (drawn, left)
    )
    whole, rest = (np.asarray(ink, np.float32) for ink in inks)
    scale = np.float32(max(float(whole.sum()), 1e-6))
    return whole / scale, rest / scale


# --- what is printed --------------------------------------------------------------------------------------------------


def _report(asked: Asked, frames: Sequence[Frame], ways: Ways) -> None:
    print(f"\n## {asked.name}, {len(frames)} images outside the frozen test list\n")
    if asked.name != BREAST:
        strips = sum(outside_anatomy.cells_of_radiograph(one.grey) is not None for one in frames)
        around = sum(outside_anatomy.find_bordered_box(one.grey) is not None for one in frames)
        print(_line("with an even strip at a side, of these all around", f"{strips}, {around}"))
    plain = [asked(one.grey) for one in frames]
    known = [one for one in plain if one.positive and one.share is not None]
    print(
        _line("positive, of which beside the body can be told", f"{sum(one.positive for one in plain)}, {len(known)}")
    )
    for name, own in (("as they are", False), ("as they are, with marks of their own", True)):
        _shares(name, [one.share for one in known if one.share is not None and _has_own_marks(one) is own])
    for way, make in ways.items():
        _spoiled(way, make, asked, frames, plain)


def _has_own_marks(said: Said) -> bool:
    return said.found is not None and float(said.found.mean()) > OWN_MARKS


def _spoiled(
    way: str, make: Callable[[Frame, int], Made], asked: Asked, frames: Sequence[Frame], plain: Sequence[Said]
) -> None:
    made = [make(one, number) for number, one in enumerate(frames)]
    said = [asked(one.grey) for one in made]
    print()
    for name, before in (("positive before too", True), ("positive only so", False)):
        pairs = zip(plain, said, strict=True)
        shares = [one.share for was, one in pairs if one.positive and was.positive is before and one.share is not None]
        _shares(f"{way}: {name}", shares)
    if made[0].marks.any():
        _shares(f"{way}: a model of the marks alone", list(_made_up(made, said, 1.0)))
        _shares(f"{way}: a model of marks by half", list(_made_up(made, said, 0.5)))


def _made_up(made: Sequence[Made], said: Sequence[Said], part: float) -> Iterator[float]:
    """Shares for a model that takes *part* of its evidence from the marks and the rest from where the pack does."""
    for one, heard in zip(made, said, strict=True):
        if part < 1.0 and not heard.positive:  # a negative answer has hardly any evidence
            continue
        covered = one.marks if heard.found is None else one.marks & ~pixel_operations.dilate(heard.found, 1)
        ink, left = by_the_marks(one.marks, covered, heard.strengths.shape)
        whole = max(float(heard.strengths.sum()), 1e-6)
        mixed = part * ink + (1 - part) * heard.strengths / whole
        without = None if heard.unmarked is None else part * left + (1 - part) * heard.unmarked / whole
        yield outside_anatomy.outside_share(mixed, heard.cells, without)


def _shares(what: str, shares: Sequence[float]) -> None:
    """The distribution of the shares, and how often the box would warn."""
    if not shares:
        print(_line(what, "none"))
        return
    middle, most = float(np.median(shares)), max(shares)
    hinted, refused = (
        _share([one >= limit for one in shares])
        for limit in (image_limits.OUTSIDE_HINT_SHARE, image_limits.OUTSIDE_REFUSAL_SHARE)
    )
    others = ", ".join(f"{limit:g}: {np.mean(np.array(shares) >= limit):.0%}" for limit in SHARES)
    print(_line(f"{what} ({len(shares)})", f"hint {hinted}", f"no number {refused}"))
    print(_line("", f"median {middle:.2f}, most {most:.2f}", others))


def _share(holds: Sequence[bool]) -> str:
    low, high = Rate(sum(holds), len(holds)).interval or (0.0, 1.0)
    return f"{sum(holds) / len(holds):.1%} ({low:.1%} to {high:.1%})"


def _line(first: str, *others: Any) -> str:
    return f"{first:<80}" + "  ".join(f"{one:<32}" for one in others).rstrip()


def _time() -> None:
    frame = np.random.default_rng(0).random((2048, 2048), np.float32)
    frame[:, :200] = 0
    taken = []
    for _ in range(21):
        begun = time.process_time()
        outside_anatomy.cells_of_radiograph(frame)
        taken.append(time.process_time() - begun)
    print(f"\n{_line('borders of a film of 2048 pixels', f'{1e3 * float(np.median(taken)):.1f} ms of a core')}")


if __name__ == "__main__":
    sys.exit(main())
