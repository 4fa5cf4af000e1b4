"""Where lesions lie, learnt from image labels alone, beside what is learnt from outlines: packs on their test images.

    python -m bench.weak_marks [--pack FOLDER]... [--data FOLDER] [--precision P] [--false-per-image N]

FOLDER of --data holds `labels.csv`, `images/` and `masks/`, as ../shared/data/breast-ultrasound.  Each pack (default:
the shipped breast-ultrasound) is asked about the images of its frozen test list, by the box's own arithmetic.  A lesion
is found where a box of the pack covers the box around its outline with an intersection over union of 0.1 or more; a
false mark lies on none.

A pack of image labels whose manifest marks no places yet gets the cut that `[classify] false_per_image` would choose,
from labels alone: from the images outside its test list.  It has learnt from these, so on new ones it marks more.

The last columns do not rest on a pack's own cut: the lesions found at a cut with so many false marks on these images.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench import harness
from converters.data.datasets import Film, FilmSet
from converters.evaluation import evaluate
from converters.statistics import intervals, lesions
from converters.statistics.lesions import LEAST_OVERLAP, Marks
from converters.tasks import boxes, weak_labels
from firmware_app.core.lesion import box_overlap
from firmware_app.imaging.model_input import find_view
from firmware_app.packs import pack_folder
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.runtimes.interface import Session
from firmware_app.packs.tasks import classify
from firmware_app.packs.tasks.classify import MarksSpec
from firmware_app.packs.tasks.golden_answers import ScoredBox
from firmware_app.packs.tasks.interface import Frame, Section

RATES: Final = (0.1, 0.2, 0.3)
QUICK: Final = 24
SHIPPED: Final = "breast-ultrasound"
ANY_SCORE: Final = 1e-9
HEAD: Final = (
    "",
    "lesions found",
    "in images with the finding",
    "in others",
    "false marks an image",
    "no lesion: no mark",
    "overlap of found boxes, median",
    *(f"at {rate:g} false" for rate in RATES),
)


@dataclass(frozen=True)
class Asked:
    """A pack in one runtime and precision, and the part of its manifest that answers."""

    pack: Pack
    session: Session
    section: Section

    @classmethod
    def of(cls, folder: Path, precision: str | None) -> Asked:
        """Raises :class:`~firmware_app.core.errors.PackError`."""
        pack = Pack.load(folder.resolve())
        wanted = precision or evaluate.usual_precision(pack, registry.DEFAULT)
        session = registry.get_runtime(registry.DEFAULT).load(pack.artefact(registry.DEFAULT, wanted))
        return cls(pack, session, pack.manifest.section)

    def outputs(self, film: Film) -> Any:
        """What the model gives for a film, a batch of one."""
        spec = self.pack.manifest.input
        return self.session.infer({spec.name: film.tensor(spec)})

    @property
    def is_weak(self) -> bool:
        """Whether it learnt from image labels alone."""
        return self.pack.manifest.task == classify.key

    def marking(self, others: FilmSet, false_per_image: float) -> Asked:
        """With places that are marked, where the manifest has none."""
        spec = self.section.findings[0]
        if not self.is_weak or spec.marks is not None:
            return self
        maps = [self.outputs(film)[self.section.output.map][0] for film in others.films]
        found = [classify.make_findings(one, self.section.findings, self.section.output)[0] for one in maps]
        cells = np.stack([one[spec.channel] for one in maps])
        chosen = weak_labels.chosen(
            cells,
            cells.mean(axis=(1, 2), dtype=np.float64) + spec.bias,
            np.array([film.label for film in others.films], dtype=np.int64),
            np.array([one.positive for one in found]),
            false_per_image,
        )
        marks = MarksSpec.model_validate(chosen)
        return replace(self, section=replace(self.section, findings=(spec.model_copy(update={"marks": marks}),)))

    @property
    def cut(self) -> float:
        """The score from which it marks."""
        finding = self.section.findings[-1]
        return float(finding.marks.threshold if self.is_weak else finding.threshold)

    @property
    def open(self) -> Section:
        """The same with every mark, however low its score."""
        *first, last = self.section.findings
        if self.is_weak:
            marks = last.marks.model_copy(update={"threshold": 0.0})
            return replace(self.section, findings=(*first, last.model_copy(update={"marks": marks})))
        return replace(self.section, findings=(*first, last.model_copy(update={"threshold": ANY_SCORE})))

    def boxes(self, film: Film, section: Section) -> list[ScoredBox]:
        """The boxes on a film as fractions of it, each with its score."""
        rows, columns = film.read().shape
        frame = Frame(rows, columns, box=find_view(rows, columns, self.pack.manifest.input))
        said = self.pack.manifest.answering.answer(section, self.outputs(film), frame)
        return [
            (one.box[0] / columns, one.box[1] / rows, one.box[2] / columns, one.box[3] / rows, one.score)
            for one in said.lesions
        ]


def row(name: str, asked: Asked, films: FilmSet) -> tuple[str, ...]:
    """A line of the table."""
    every = [asked.boxes(film, asked.open) for film in films.films]
    marked = [[box for box in found if box[4] >= asked.cut] for found in every]
    true = [boxes.fractions(film) for film in films.films]
    marks, at_any_cut = (list(map(boxes.matched, found, true)) for found in (marked, every))
    labels = np.array([film.label for film in films.films], dtype=np.int64)
    patients = [film.patient for film in films.films]
    shown = lesions.found(marks, patients)
    false = np.array([len(one.false) for one in marks], dtype=np.float64)
    overlaps = [best for found, there in zip(marked, true, strict=True) for best in best_overlaps(found, there)]
    return (
        name,
        _rate(shown.lesions, shown.lesions_ci),
        *(_part(marks, patients, labels == label) for label in (1, 0)),
        f"{false.mean():.2f} ({_limits(intervals.mean_interval(false, patients))})",
        _rate(shown.clean, shown.clean_ci),
        f"{np.median(overlaps):.2f}" if overlaps else "–",
        *(f"{found:.2f}" for _, found in lesions.froc(at_any_cut, RATES) if found is not None),
    )


def best_overlaps(found: Sequence[ScoredBox], true: boxes.Found) -> list[float]:
    """Of each lesion that is found: the overlap of its best box."""
    best = (max((box_overlap(one[:4], lesion) for one in found), default=0.0) for lesion in true)
    return [one for one in best if one >= LEAST_OVERLAP]


def _part(marks: Sequence[Marks], patients: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    kept = [(one, patient) for one, patient, wanted in zip(marks, patients, chosen, strict=True) if wanted]
    part = lesions.found([one for one, _ in kept], [patient for _, patient in kept])
    return _rate(part.lesions, part.lesions_ci)


def _rate(rate: intervals.Rate, interval: tuple[float, float] | None) -> str:
    """With the wider of the two intervals, of resampled patients and Wilson's, as rates are told everywhere."""
    if rate.value is None or interval is None or rate.interval is None:
        return "–"
    wider = min(interval[0], rate.interval[0]), max(interval[1], rate.interval[1])
    return f"{rate.value:.2f} ({_limits(wider)}) of {rate.n}"


def _limits(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2f}–{interval[1]:.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.weak_marks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--pack", type=Path, action="append", default=[], help="a pack's folder; may be repeated")
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data" / SHIPPED)
    parser.add_argument("--precision", choices=evaluate.PRECISIONS, help="default: int8 where there is a file")
    parser.add_argument("--false-per-image", type=float, default=0.2, help="on images without the finding (0.2)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} images: only see whether it works")
    options = parser.parse_args(arguments)
    if not (options.data / "labels.csv").exists():
        print(f"{options.data} has no labels.csv; give --data FOLDER", file=sys.stderr)
        return 1
    print("| " + " | ".join(HEAD) + " |\n" + "|" + " --- |" * len(HEAD))
    for folder in options.pack or [pack_folder.shipped_packs_dir() / SHIPPED]:
        asked = Asked.of(folder, options.precision)
        every, _ = evaluate.chosen_films(asked.pack, options.data, None, None)
        films, _ = evaluate.chosen_films(asked.pack, options.data, None, "test")
        test = {film.name for film in films.films}
        others = replace(every, films=tuple(film for film in every.films if film.name not in test))
        if options.quick:
            films = replace(films, films=films.films[::-1][:QUICK])
        manifest = asked.pack.manifest
        learnt = "image labels" if asked.is_weak else "outlines"
        name = f"{manifest.name} {manifest.version}, {learnt}"
        print("| " + " | ".join(row(name, asked.marking(others, options.false_per_image), films)) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
