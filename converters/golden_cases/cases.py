"""Golden cases: images of no patient with the answers that a pack must give, and public files by reference.

Any runtime on any machine must come within the stated tolerance of the expected probability: of the float file's own
answer in the default runtime. The images are drawn (:mod:`converters.synthetic_images.golden_images`). How far each
model file lies from the expected answers is then measured; that, with room for another machine and up to a ceiling, is
its tolerance.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import read_picture
from converters.failures import DataUnreadable
from converters.golden_cases.all_runtimes import AllRuntimes
from firmware_app.imaging import model_input
from firmware_app.packs.evidence import GoldenCase, ReferenceImage
from firmware_app.packs.manifest import Manifest, file_sha256
from firmware_app.packs.manifest_types import Precision
from firmware_app.packs.pack_folder import Pack

FOLDER = "golden"
TOLERANCE: dict[Precision, float] = {"fp32": 0.002, "int8": 0.05}
"""Of packs whose files have no measured tolerance."""

ROOM = 1.5
SMALLEST: dict[Precision, float] = {"fp32": 0.002, "fp16": 0.01, "int8": 0.02}
"""A measured tolerance is :data:`ROOM` times the largest difference seen here, and at least this."""

CEILING: dict[Precision, float] = {"fp32": 0.01, "fp16": 0.03, "int8": 0.15}
"""No tolerance is larger: a file whose answers lie further away is refused (:mod:`converters.golden_cases.gate`)."""


def tolerance(precision: Precision, apart: float) -> float:
    """The tolerance of a file whose answers lie ``apart`` from the expected ones at most: that with room."""
    return min(CEILING[precision], round(max(ROOM * apart, SMALLEST[precision]) + 5e-4, 3))


def frames(pack: Pack) -> list[NDArray[np.float32]]:
    """The frame of every golden case that is available here."""
    known = (case for case in pack.manifest.golden if case.reference is None or locate(case.reference) is not None)
    return [frame_of(pack, case) for case in known]


def refer(references: Sequence[ReferenceImage]) -> list[GoldenCase]:
    """Entries for public files, not yet filled (see :func:`update_references`)."""
    return [
        GoldenCase(kind="reference", reference=reference, expected={}, tolerance=TOLERANCE) for reference in references
    ]


def fill(pack: Pack) -> tuple[GoldenCase, ...]:
    """The golden cases of a pack, with an answer to every reference whose package is installed.

    Needs the box's decoder for them. Raises :class:`DataUnreadable` when a referred file is not the one that was meant.
    """
    judge = AllRuntimes(pack)
    return tuple(
        case
        if case.reference is None or locate(case.reference) is None
        else case.model_copy(update={"expected": judge.record_expected(frame_of(pack, case))})
        for case in pack.manifest.golden
    )


def update_references(folder: Path) -> int:
    """Fill the expected probabilities of every reference of a pack and rewrite its manifest; returns how many.

    Raises :class:`DataUnreadable` without the referred package or when its file is not the one that was meant.
    """
    pack = Pack.load(folder)
    asked = [case.reference for case in pack.manifest.golden if case.reference is not None]
    for reference in asked:
        if locate(reference) is None:
            raise DataUnreadable(reference.package, "the package is not installed (pip install it)")
    write_manifest(folder, pack.manifest.model_copy(update={"golden": fill(pack)}))
    return len(asked)


def check(pack: Pack) -> list[str]:
    """Ask every runtime here, in each precision, about every golden case; returns a sentence per wrong answer.

    A reference whose package is not installed, or that was never filled, is passed over.
    """
    judge = AllRuntimes(pack)
    wrong: list[str] = []
    for golden in pack.manifest.golden:
        if golden.reference is not None and (not golden.expected or locate(golden.reference) is None):
            continue
        frame = frame_of(pack, golden)
        name = golden.path or (golden.reference.file if golden.reference else "")
        for runtime, precision in judge.sessions:
            promise = pack.manifest.find_expectation(golden, judge.files[runtime, precision])
            if promise is None:
                continue
            away = judge.box.difference(promise[0], judge.ask(frame, runtime, precision))
            if away.apart > promise[1]:
                said = f"{away.what} is {away.given:.4f} in {runtime} {precision}, not {away.expected:.4f}"
                wrong.append(f"{name}: {said}")
    return wrong


def frame_of(pack: Pack, golden: GoldenCase) -> NDArray[np.float32]:
    """The frame of a golden case, (H, W) or (H, W, 3), as the box would see it: where the pack wants the file's own
    black and white, these are 0 and 255. Raises :class:`DataUnreadable`."""
    spec = pack.manifest.input
    if golden.reference is None:
        return read_picture(pack.folder / str(golden.path), spec)[0]
    path = locate(golden.reference)
    if path is None:
        raise DataUnreadable(golden.reference.package, "the package is not installed (pip install it)")
    if file_sha256(path) != golden.reference.sha256:
        raise DataUnreadable(str(path), "it is another file than the golden case means")
    from firmware_app.imaging import image_file

    with image_file.open_image_file(path, is_picture=False) as opened:
        frame, (black, white) = model_input.read_model_frame(opened, 0, spec)
    if spec.greys == "percentiles":
        return frame
    return np.asarray((frame - black) * np.float32(255.0 / max(white - black, 1e-6)), dtype=np.float32)


def locate(reference: ReferenceImage) -> Path | None:
    """The path of the referenced file; ``None`` where its package is not installed."""
    try:
        path = Path(str(distribution(reference.package).locate_file(reference.file)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` in one step, after reading it back as the box will."""
    text = manifest.to_json()
    type(manifest).model_validate_json(text)
    part = folder / "manifest.json.part"
    part.write_text(text, encoding="utf-8")
    part.replace(folder / "manifest.json")
