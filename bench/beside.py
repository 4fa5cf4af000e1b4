"""How often the box warns that a model relied on parts outside the body: on good images and on spoiled ones.

    python -m bench.beside [--packs DIR] [--data FOLDER] [--most N] [--quick]

FOLDER is ../shared/data; of each pack (in DIR, else those that ship) its own held-out images are taken, as they are and
with marks drawn around them: films in a border of their own, ultrasound on a whole screen.  Packs are asked as the box
asks them.  Two made-up models stand beside each pack: one that goes by the drawn marks alone, and one that takes half
of its evidence from them and half from where the pack takes it.
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
from firmware_app.imaging.model_input import to_model_input
from firmware_app.imaging.quality import beside, limits
from firmware_app.imaging.ultrasound import sector
from firmware_app.packs import shelf
from firmware_app.packs.shelf import Pack
from firmware_app.runtimes import choice
from firmware_app.tasks import classify, explain
from tests import screens

MOST: Final = 2000
CHILD, ADULT, BREAST = "chest-xray-child", "chest-xray-adult", "breast-ultrasound"
SCREEN: Final = (600, 800)
BORDER: Final = 0.1
"""Width of the border, as a share of the film's side."""
SHARES: Final = (0.2, 0.3, 0.4)
"""Other limits to compare with the one in use."""
Marks = NDArray[np.bool_]
Strengths = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Made:
    """A picture, and what was drawn on it: (H, W), true where a mark is."""

    grey: Grey
    marks: Marks


@dataclass(frozen=True, slots=True)
class Said:
    """A pack's answer for a picture, and the share of its evidence beside the body (None: unknown)."""

    positive: bool
    strengths: Strengths
    cells: beside.Cells | None
    share: float | None


def main() -> int:
    options = _options()
    if not (options.data / "chest-xray-nih").is_dir():
        harness.leave_out(f"There are no images in {options.data.name}; nothing was measured.")
    for pack in shelf.list_packs(options.packs):
        frames = _held_out(pack.name, options.data, options.most)
        ways = OF_ULTRASOUND if pack.name == BREAST else OF_A_FILM
        _report(Asked(pack), frames, ways)
    _time()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--packs", type=Path, default=shelf.shipped_packs_dir(), help="folder of packs")
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--most", type=int, default=None, help=f"images of each pack ({MOST}; with --quick 20)")
    parser.add_argument("--quick", action="store_true", help="only see whether it works; the figures mean little")
    options = parser.parse_args()
    options.most = options.most or (20 if options.quick else MOST)
    return options


def _held_out(pack: str, data: Path, most: int) -> list[Frame]:
    """Images that *pack* was not trained on."""
    names = foreign_sets.held_out(pack)
    if pack == BREAST:
        kept = {Path(name).name for name in names}
        return [one for one in foreign_sets.breasts(data, sys.maxsize) if one.group in kept][:most]
    films = foreign_sets.children(data, names) if pack == CHILD else foreign_sets.adults(data, names)
    return foreign_sets.of_films(films, most)


class Asked:
    """A pack with a session of its first runtime; called with a picture, it answers as the box would."""

    def __init__(self, pack: Pack) -> None:
        self.name, self._manifest = pack.name, pack.manifest
        runtime = choice.get("onnxruntime")
        self._session = runtime.load(pack.artefact("onnxruntime", "fp32"), runtime.Config(threads=2))

    def __call__(self, grey: Grey) -> Said:
        spec, output, finding = self._manifest.input, self._manifest.section.output, self._manifest.section.findings[0]
        activation = self._session.infer({spec.name: to_model_input(grey, spec)})[output.map][0]
        positive = classify.findings(activation, self._manifest.section.findings)[0].positive
        strengths = explain.activation_map(activation, finding.channel, output.full_scale)
        area = sector.of_still(grey) if self.name == BREAST else None
        if self.name == BREAST and area is None:
            return Said(positive, strengths, None, None)
        box = beside.framed(grey) if spec.crop == "frame" else None
        cells = beside.of_sector(area) if area is not None else beside.of_film(grey, None, box)
        return Said(positive, strengths, cells, beside.share(strengths, cells) if cells is not None else 0.0)


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
    draw.text((round(side * columns), round(chance.uniform(0.2, 0.7) * rows)), "R", fill=1,
              font=ImageFont.load_default(round(0.1 * rows)))  # fmt: skip
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


def by_the_marks(marks: Marks, shape: tuple[int, ...]) -> Strengths:
    """The activation map of a model that uses *marks* alone: each cell is the share of it that marks cover."""
    inked = Image.fromarray(marks.astype(np.float32)).resize((shape[1], shape[0]), Image.Resampling.BOX)
    ink = np.asarray(inked, np.float32)
    return ink / np.float32(max(float(ink.max()), 1e-6))


# --- what is printed --------------------------------------------------------------------------------------------------


def _report(asked: Asked, frames: Sequence[Frame], ways: Ways) -> None:
    print(f"\n## {asked.name}, {len(frames)} held-out images\n")
    if asked.name != BREAST:
        strips = sum(beside.of_film(one.grey) is not None for one in frames)
        around = sum(beside.framed(one.grey) is not None for one in frames)
        print(_line("with an even strip at a side, of these all around", f"{strips}, {around}"))
    plain = [asked(one.grey) for one in frames]
    known = [one for one in plain if one.positive and one.share is not None]
    print(
        _line("positive, of which beside the body can be told", f"{sum(one.positive for one in plain)}, {len(known)}")
    )
    _shares("as they are", [one.share for one in known if one.share is not None])
    for way, make in ways.items():
        _spoiled(way, make, asked, frames, plain)


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
        _shares(f"{way}: a model of the letters alone", list(_made_up(made, said, 1.0)))
        _shares(f"{way}: a model of letters by half", list(_made_up(made, said, 0.5)))


def _made_up(made: Sequence[Made], said: Sequence[Said], part: float) -> Iterator[float]:
    """Shares for a model that takes *part* of its evidence from the marks and the rest from where the pack does."""
    for one, heard in zip(made, said, strict=True):
        if heard.share is None or (part < 1.0 and not heard.positive):  # a negative answer has hardly any evidence
            continue
        marks = by_the_marks(one.marks, heard.strengths.shape)
        mixed = part * marks / marks.sum() + (1 - part) * heard.strengths / max(float(heard.strengths.sum()), 1e-6)
        yield beside.share(mixed.astype(np.float32), heard.cells) if heard.cells is not None else 0.0


def _shares(what: str, shares: Sequence[float]) -> None:
    """The distribution of the shares, and how often the box would warn."""
    if not shares:
        print(_line(what, "none"))
        return
    middle, most = float(np.median(shares)), max(shares)
    others = ", ".join(
        f"at {limit:g} {np.mean(np.array(shares) >= limit):.1%}" for limit in SHARES if limit != limits.BESIDE
    )
    alarm = _share([one >= limits.BESIDE for one in shares])
    print(_line(f"{what} ({len(shares)})", f"alarm {alarm}", f"median {middle:.2f}, most {most:.2f}", others))


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
        beside.of_film(frame)
        taken.append(time.process_time() - begun)
    print(f"\n{_line('borders of a film of 2048 pixels', f'{1e3 * float(np.median(taken)):.1f} ms of a core')}")


if __name__ == "__main__":
    sys.exit(main())
