"""How large a clip and a film leave the box, and how long writing their pixels takes, in each form that may be written.

``python -m bench.exported_clip [--frames N] [--rounds N] [--file FILE]``: a clip made by code, with the speckle of
ultrasound, as greys and as the colour JPEG that machines send, and a chest film; or the object FILE.  The forms take
turns in one process; seconds are of its processor, for decoding, blacking and writing all frames.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from pydicom.uid import UID

from bench import decode_films
from firmware_app.imaging import deidentified_pixels, dicom_image
from tests import films

_FILM = (2500, 2048)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.exported_clip", description=__doc__)
    options.add_argument("--frames", type=int, default=120, metavar="N")
    options.add_argument("--rounds", type=int, default=3, metavar="N")
    options.add_argument("--file", type=Path, metavar="FILE", help="measure this object instead")
    given = options.parse_args()
    print("| object | as it came, MB | form | as it leaves, MB | seconds |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in _objects(Path(folder), given.frames, given.file).items():
            _measure(name, path, given.rounds)
    return 0


def _objects(folder: Path, frames: int, file: Path | None) -> dict[str, Path]:
    if file is not None:
        return {file.name: file}
    film = films.film(decode_films.grained(films.shapes(3, *_FILM), 12), BitsStored=12, HighBit=11)
    return {
        f"clip of {frames} frames": decode_films.clip(folder, frames),
        "film": films.save(folder, "film.dcm", film),
    }


def _measure(name: str, path: Path, rounds: int) -> None:
    sizes: dict[UID, int] = {}
    seconds: dict[UID, list[float]] = {}
    with dicom_image.open_dicom_image(path) as film, tempfile.TemporaryFile() as file:
        plan = deidentified_pixels.plan_pixels(film)
        for _ in range(rounds):
            for syntax in deidentified_pixels.candidate_syntaxes(film.source):
                file.seek(0)
                file.truncate()
                begun = time.process_time()
                deidentified_pixels.write_pixel_element(file, film, plan, syntax)
                seconds.setdefault(syntax, []).append(time.process_time() - begun)
                sizes[syntax] = file.tell()
    for syntax, size in sizes.items():
        spent = statistics.median(seconds[syntax])
        print(
            f"| {name} | {path.stat().st_size / 1e6:.1f} | {syntax.name} | {size / 1e6:.1f} | {spent:.2f} |", flush=True
        )


if __name__ == "__main__":
    raise SystemExit(main())
