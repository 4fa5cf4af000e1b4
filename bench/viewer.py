"""How soon a doctor sees a film: from `storescu` to the row on the screen, and from a click to every grey.

python -m bench.viewer [--json]

A whole box with its shipped packs, Debian's chromium as the screen.  The film of the second part is pydicom-data's RG1
(1841 × 1955, 15 bits).  The alternative to sending the reader's own PNG would be to decode it on the box and to send
raw greys deflated by HTTP, which spares the page a hundred lines and costs the box the time shown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.data import get_testdata_file

from bench import harness
from tests.browser.clinic import Clinic, Person, absent, clinic, synthetic_film
from tests.peers import REPOSITORY

ROUNDS = 10
PAGES = {"worklist": "/", "box": "/box"}

_WEIGHT = """
    return [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]
        .filter(entry => !entry.name.includes('/film/')).reduce((sum, entry) => sum + entry.transferSize, 0)
"""
_DECODE = """
    const done = arguments[arguments.length - 1], url = document.querySelector('.image').dataset.frame;
    (async () => {
      const { decodePng } = await import('/static/png.js');
      const { Film, loadFrame } = await import('/static/film.js');
      const start = performance.now();
      const buffer = await (await fetch(url)).arrayBuffer();
      const fetched = performance.now();
      await decodePng(buffer);
      const decoded = performance.now();
      const frame = await loadFrame(url), film = new Film(document.createElement('canvas'));
      Object.assign(film, { frame, centre: frame.centre, width: frame.width });
      const ready = performance.now();
      film.paint(frame.levels[frame.levels.length - 1]);
      done([fetched - start, decoded - fetched, performance.now() - ready]);
    })();
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told = absent("chromium", "chromedriver", "storescu")
    if told:
        harness.give_up(told)
    with tempfile.TemporaryDirectory() as name, clinic(Path(name), REPOSITORY / "models") as box:
        person = Person(Path(name))
        try:
            found = _measured(box, person, Path(name))
        finally:
            person.close()
    if options.json:
        print(json.dumps({"bench": "viewer", "machine": harness.machine(), **found}))
    else:
        print("viewer")
        for key, value in (*harness.machine().items(), *found.items()):
            print(f"  {key.replace('_', ' ')}: {value}")
    return 0


def _measured(box: Clinic, person: Person, folder: Path) -> dict[str, Any]:
    person.screen(1366, 768)
    person.claim(box.url, box.first_code(), "doctor")
    person.find("#lists")
    seconds = [_seen(box, person, folder, number) for number in range(ROUNDS + 1)][1:]
    found: dict[str, Any] = {
        "storescu_to_row_s": {
            "median": round(statistics.median(seconds), 2),
            "most": round(max(seconds), 2),
            "n": ROUNDS,
        }
    }
    film = get_testdata_file("RG1_UNCR.dcm", download=False)
    if film is None:
        harness.give_up("needs the package pydicom-data")
    box.push(Path(str(film)))
    person.open_row("RG1")
    found["case_page_bytes"] = person.driver.execute_script(_WEIGHT)
    runs = [person.driver.execute_async_script(_DECODE) for _ in range(ROUNDS)]
    names = ("film_fetch_ms", "film_decode_ms", "window_once_full_size_ms")
    found |= {
        name: round(statistics.median(values)) for name, values in zip(names, zip(*runs, strict=True), strict=True)
    }
    found |= _alternative(box, person)
    for name, path in PAGES.items():
        person.driver.get(box.url + path)
        found[f"{name}_page_bytes"] = person.driver.execute_script(_WEIGHT)
    return found


def _seen(box: Clinic, person: Person, folder: Path, number: int) -> float:
    """Seconds from the start of storescu until the worklist, untouched, shows the patient with a result."""
    path = synthetic_film(folder, f"{number}.dcm", PatientName=f"Round {number:03d}.", PatientAge="045Y")
    begun = time.perf_counter()
    box.push(path)
    person.row(f"Round {number:03d}.")
    return time.perf_counter() - begun


def _alternative(box: Clinic, person: Person) -> dict[str, Any]:
    """What decoding on the box and deflating raw greys would cost it."""
    url = str(person.driver.execute_script("return document.querySelector('.image').dataset.frame"))
    path = box.state / "display" / url.split("/")[-2] / "frame-000.png"
    times: list[float] = []
    size = 0
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        with Image.open(path) as image:
            size = len(zlib.compress(np.asarray(image).astype("<u2").tobytes(), 1))
        times.append(1e3 * (time.perf_counter() - begun))
    cost = round(statistics.median(times))
    return {"png_bytes": path.stat().st_size, "raw_deflated_bytes": size, "raw_deflated_on_the_box_ms": cost}


if __name__ == "__main__":
    sys.exit(main())
