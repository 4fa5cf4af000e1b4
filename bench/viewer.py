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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from PIL import Image

from bench import harness, sent_films
from bench.outcome import Fact, Goal, Row, Table
from firmware_app import __version__
from tests.browser.clinic import PASSWORD, BrowserUser, Clinic, clinic, synthetic_film
from tests.films import film, save, shapes
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
_LINE_MBIT_S: Final = 5
_LINE_DELAY_MS: Final = 20
_SLICES: Final = 300
_SIDE_PX: Final = 512
_STEPS: Final = 300
_MB: Final = 1e6

_ROOMY: Final = "performance.setResourceTimingBufferSize(5000)"
_WARM: Final = """
    const [wanted, done] = arguments, began = performance.now();
    (function look() {
      const films = performance.getEntriesByType('resource').filter(one => /[/]film[/].*[.]png$/.test(one.name)).length;
      if (films >= wanted || performance.now() - began > 170000) done(films); else setTimeout(look, 200);
    })();
"""
_SCROLL: Final = """
    const [wanted, done] = arguments, canvas = document.getElementById('film');
    const slider = document.getElementById('frame');
    const drawn = () => new Promise(next => requestAnimationFrame(() => requestAnimationFrame(next)));
    (async () => {
      const began = performance.now();
      let steps = 0;
      for (let up = Number(slider.value) < Number(slider.max) / 2; steps < wanted; steps++) {
        if (slider.value === (up ? slider.max : '0')) up = !up;
        canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: up ? 1 : -1, cancelable: true }));
        while (canvas.dataset.number !== slider.value) await new Promise(next => setTimeout(next));
        await drawn();
      }
      done(1000 * steps / (performance.now() - began));
    })();
"""


def main() -> None:
    """Measure and print."""
    options = harness.parse(harness.parser(rounds=(20, 3, "films that count")))
    rounds = options.rounds
    if packages := lacking("chromium", "chromedriver", "storescu"):
        harness.leave_out(f"needs Debian package {', '.join(packages)}")
    with tempfile.TemporaryDirectory() as name, clinic(Path(name), REPOSITORY / "models") as box:
        person = BrowserUser(Path(name))
        try:
            tables = _measure(box, person, Path(name), rounds)
            sent = {row.name: row.samples[0] for row in tables[-1].rows}
            goals = [*_weights(sent), *_count_presses(box, person, Path(name)), *_series(box, person, Path(name))]
        finally:
            person.close()
    harness.publish(options, "Viewer", tables, goals)


def _measure(box: Clinic, person: BrowserUser, folder: Path, rounds: int) -> list[Table]:
    person.screen(1366, 768)
    person.claim(box.url, box.first_code(), "doctor")
    person.find("#lists")
    seconds = [_measure_arrival(box, person, folder, number) for number in range(rounds + 1)][1:]
    box.send_images(sent_films.large().write(1, folder / "large.dcm"))
    person.driver.get(box.url + "/")
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
        _aside("Opening a film of 1841 × 1955", "ms", times | {"not done: decode and deflate on the box": costs}),
        _aside(
            f"The same film on a line of {_LINE_MBIT_S} Mbit/s, from the click to the screen",
            "s",
            {"the picture for the screen": first, "all its greys": full},
            {"delay": f"{_LINE_DELAY_MS} ms"},
        ),
        _aside("What is sent to the browser", "kB", {name: (size / 1e3,) for name, size in weights.items()}),
    ]


def _aside(
    title: str, unit: str, rows: Mapping[str, tuple[float, ...]], facts: Mapping[str, Fact] | None = None
) -> Table:
    return Table.aside(title, unit, (Row(name, values, version=_VERSION) for name, values in rows.items()), facts)


def _measure_arrival(box: Clinic, person: BrowserUser, folder: Path, number: int) -> float:
    """Seconds from the start of storescu until the worklist, untouched, shows the patient with a result."""
    attributes = {"PatientName": f"Round {number:03d}.", "PatientAge": "003Y"}
    path = synthetic_film(folder, f"{number}.dcm", sent_films.GREYS, **attributes)
    begun = time.perf_counter()
    box.send_images(path)
    person.row(f"Round {number:03d}.")
    return time.perf_counter() - begun


def _on_a_slow_line(box: Clinic, person: BrowserUser, rounds: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds from the click on the row to the film on the screen, and to all its greys; nothing is cached."""
    line = {"offline": False, "latency": _LINE_DELAY_MS, "uploadThroughput": -1}
    person.driver.execute_cdp_cmd("Network.enable", {})
    first, full = [], []
    try:
        for _ in range(rounds):
            person.driver.get(box.url + "/")
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


def _alternative(box: Clinic, person: BrowserUser, rounds: int) -> tuple[int, int, tuple[float, ...]]:
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


# --- what the pages must keep to --------------------------------------------------------------------------------------


def _weights(kilobytes: dict[str, float]) -> list[Goal]:
    """The goals of what is sent, of the table's own figures."""
    return [
        Goal("the worklist, all that is sent for it", kilobytes["worklist"], 40, "kB"),
        Goal("the page of a case, without its film", kilobytes["page of a case, without its film"], 70, "kB"),
    ]


def _series(box: Clinic, person: BrowserUser, folder: Path) -> list[Goal]:
    """Slices a second from a warm cache, each drawn before the next is asked for, and what the tab then holds."""
    greys = shapes(1, _SIDE_PX, _SIDE_PX, 1200)
    one: dict[str, Any] = {
        "StudyInstanceUID": "1.2.826.0.1.3680043.9.1",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.9.2",
    }
    who: dict[str, Any] = {
        "PatientName": "Three^Hundred",
        "PatientAge": "050Y",
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
    }
    paths = []
    for at in range(_SLICES):
        place: dict[str, Any] = {"ImagePositionPatient": [0, 0, 5 * at], "InstanceNumber": at + 1}
        made = film(greys + at, BitsStored=12, HighBit=11, **place, **one, **who)
        paths.append(save(folder, f"slice-{at}.dcm", made))
    box.send_images(*paths)
    person.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _ROOMY})
    person.driver.get(box.url + "/?tab=cannot-judge")
    person.open_row("Three Hundred")
    person.driver.set_script_timeout(180)
    person.until(lambda: person.find("#frame").get_attribute("max") == str(_SLICES - 1) or _reload(person))
    kept = int(person.driver.execute_async_script(_WARM, _SLICES))
    rate = float(person.driver.execute_async_script(_SCROLL, _STEPS))
    tab = max(process.memory_full_info().uss for process in _renderers(person))
    return [
        Goal(f"slices a second, of {kept} fetched before", rate, 20, "1/s", at_least=True),
        Goal(f"memory of the tab with {_SLICES} slices of {_SIDE_PX} × {_SIDE_PX}", tab / _MB, 300, "MB"),
    ]


def _reload(person: BrowserUser) -> bool:
    """Load the page again: the series may still be coming."""
    person.driver.refresh()
    return False


def _count_presses(box: Clinic, person: BrowserUser, folder: Path) -> list[Goal]:
    """Presses of the mouse, and of keys, from the log-in to the first verdict, and for each patient after it."""
    for name in ("First", "Second", "Third", "Fourth"):
        who = {"PatientName": f"Press {name}.", "PatientAge": "003Y"}
        path = synthetic_film(folder, f"{name}.dcm", sent_films.GREYS, **who)
        box.send_images(path)
        person.driver.get(box.url)
        person.row(f"Press {name}.")
    said = []
    for of, press in (("clicks", _click), ("keys", _key)):
        person.driver.delete_all_cookies()
        person.log_in(box.url, "doctor", PASSWORD)
        person.find("#lists a.row")
        person.driver.execute_script("localStorage.clear()")
        press(person, "#lists a.row", "n")
        pressed, counts = 1, []
        for _ in range(2):
            _press_verdict(person, press)
            counts.append(pressed + 1)
            pressed = 0
        said += [
            Goal(f"{of} from the log-in to the first verdict", counts[0], 3, of),
            Goal(f"{of} for each patient after it", counts[1], 1, of),
        ]
    return said


def _press_verdict(person: BrowserUser, press: Callable[[BrowserUser, str, str], None]) -> None:
    """A verdict, which leads to the next patient."""
    person.find(".choices button")
    before = person.driver.current_url
    press(person, ".choices button", "1")
    person.until(lambda: person.driver.current_url != before)


def _click(person: BrowserUser, selector: str, _key: str) -> None:
    person.press(selector)


def _key(person: BrowserUser, _selector: str, key: str) -> None:
    person.driver.switch_to.active_element.send_keys(key)


def _renderers(person: BrowserUser) -> list[psutil.Process]:
    """The browser's processes that hold pages."""
    driver = psutil.Process(person.driver.service.process.pid)
    found = []
    for process in driver.children(recursive=True):
        try:
            if "--type=renderer" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


if __name__ == "__main__":
    main()
