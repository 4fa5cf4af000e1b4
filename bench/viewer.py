"""How soon a doctor sees a film: from `storescu` to the row on the screen, and from a click to the full image.

A whole box with its shipped packs, Debian's chromium as the screen. The film of the second table is as large as a
detector's (1841 × 1955, 15 bits) and made by code (`bench/sent_films.py`). The alternative to sending the reader's
own PNG would be to decode it on the box and to send raw greys deflated by HTTP, which spares the page a hundred lines
and costs the box the time shown.

    python -m bench.viewer [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import subprocess
import tempfile
import time
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from bench import harness, sent_films, viewer_limits
from bench.outcome import Row, Table
from firmware_app import __version__
from tests.browser.clinic import Clinic, Person, clinic, synthetic_film
from tests.peers import REPOSITORY, lacking

_PAGES: Final = {"worklist": "/", "page of the box": "/box"}
_VERSION: Final = f"Lantern {__version__}"

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


_LARGE_ON: Final = "/"
"""The list with the large film."""
_LINE_MBIT_S: Final = 5
_LINE_DELAY_MS: Final = 20


def main() -> None:
    """Measure and print."""
    parser = harness.parser("viewer", __doc__)
    parser.add_argument("--rounds", type=int, default=None, help="films that count (default 20; with --quick 3)")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 20)
    if packages := lacking("chromium", "chromedriver", "storescu"):
        harness.leave_out(f"needs Debian package {', '.join(packages)}")
    with tempfile.TemporaryDirectory() as name, clinic(Path(name), REPOSITORY / "models") as box:
        person = Person(Path(name))
        try:
            tables = _measured(box, person, Path(name), rounds)
            sent = {row.name: row.samples[0] for row in tables[-1].rows}
            goals = [
                *viewer_limits.weights(sent),
                *viewer_limits.presses(box, person, Path(name)),
                *viewer_limits.series(box, person, Path(name)),
            ]
        finally:
            person.close()
    harness.publish("Viewer", tables, goals, as_json=options.json, quick=options.quick)


def _measured(box: Clinic, person: Person, folder: Path, rounds: int) -> list[Table]:
    person.screen(1366, 768)
    person.claim(box.url, box.first_code(), "doctor")
    person.find("#lists")
    seconds = [_seen(box, person, folder, number) for number in range(rounds + 1)][1:]
    box.push(sent_films.large().write(1, folder / "large.dcm"))
    person.driver.get(box.url + _LARGE_ON)
    person.open_row("Nobody")
    weights = {"page of a case, without its film": person.driver.execute_script(_WEIGHT)}
    steps = zip(*(person.driver.execute_async_script(_DECODE) for _ in range(rounds)), strict=True)
    names = ("fetch the film", "decode it", "window it once, full size")
    times = {name: tuple(values) for name, values in zip(names, steps, strict=True)}
    png, deflated, costs = _alternative(box, person, rounds)
    weights |= {"the film as sent (PNG)": png, "the film as raw greys, deflated": deflated}
    for name, path in _PAGES.items():
        person.driver.get(box.url + path)
        weights[name] = person.driver.execute_script(_WEIGHT)
    first, full = _on_a_slow_line(box, person, max(3, rounds // 4))
    browser = subprocess.run(["chromium", "--version"], capture_output=True, text=True, check=True).stdout
    return [
        Table(
            "From `storescu` to the row on the doctor's screen",
            "s",
            (Row("storescu to row", tuple(seconds), version=_VERSION),),
            {"browser": browser.split(" built")[0].strip()},
            compared=False,
        ),
        Table(
            "Opening a film of 1841 × 1955",
            "ms",
            (
                *(Row(name, values, version=_VERSION) for name, values in times.items()),
                Row("not done: decode and deflate on the box", costs, version=_VERSION),
            ),
            compared=False,
            plotted=False,
        ),
        Table(
            f"The same film on a line of {_LINE_MBIT_S} Mbit/s, from the click to the screen",
            "s",
            (
                Row("the picture for the screen", first, version=_VERSION),
                Row("all its greys", full, version=_VERSION),
            ),
            {"delay": f"{_LINE_DELAY_MS} ms"},
            compared=False,
            plotted=False,
        ),
        Table(
            "What is sent to the browser",
            "kB",
            tuple(Row(name, (size / 1e3,), version=_VERSION) for name, size in weights.items()),
            compared=False,
            plotted=False,
        ),
    ]


def _seen(box: Clinic, person: Person, folder: Path, number: int) -> float:
    """Seconds from the start of storescu until the worklist, untouched, shows the patient with a result."""
    attributes = {"PatientName": f"Round {number:03d}.", "PatientAge": "003Y"}
    path = synthetic_film(folder, f"{number}.dcm", sent_films.GREYS, **attributes)
    begun = time.perf_counter()
    box.push(path)
    person.row(f"Round {number:03d}.")
    return time.perf_counter() - begun


def _on_a_slow_line(box: Clinic, person: Person, rounds: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds from the click on the row to the film on the screen, and to all its greys; nothing is cached."""
    line = {"offline": False, "latency": _LINE_DELAY_MS, "uploadThroughput": -1}
    person.driver.execute_cdp_cmd("Network.enable", {})
    first, full = [], []
    try:
        for _ in range(rounds):
            person.driver.get(box.url + _LARGE_ON)
            person.row("Nobody")
            person.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
            speed = {"downloadThroughput": _LINE_MBIT_S * 1e6 / 8}
            person.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**line, **speed})
            person.open_row("Nobody")
            person.until(lambda: person.find("#film").get_attribute("data-full-ms"))
            first.append(float(person.film("first-ms")) / 1e3)  # the page counts from the click
            full.append(float(person.film("full-ms")) / 1e3)
            person.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**line, "downloadThroughput": -1})
    finally:
        person.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**line, "downloadThroughput": -1})
    return tuple(first), tuple(full)


def _alternative(box: Clinic, person: Person, rounds: int) -> tuple[int, int, tuple[float, ...]]:
    """(bytes of the PNG, bytes of its greys deflated, milliseconds for decoding and deflating on the box)."""
    url = str(person.driver.execute_script("return document.querySelector('.image').dataset.frame"))
    path = box.state / "display" / url.split("/")[-2] / "frame-000.png"
    times: list[float] = []
    size = 0
    for _ in range(rounds):
        begun = time.perf_counter()
        with Image.open(path) as image:
            size = len(zlib.compress(np.asarray(image).astype("<u2").tobytes(), 1))
        times.append(1e3 * (time.perf_counter() - begun))
    return path.stat().st_size, size, tuple(times)


if __name__ == "__main__":
    main()
