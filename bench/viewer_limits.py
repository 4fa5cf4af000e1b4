"""What the pages of the viewer must keep to: weights, a series of 300 slices, the memory of a tab, and presses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psutil

from bench import sent_films
from bench.outcome import Goal
from tests.browser.clinic import PASSWORD, Clinic, Person, synthetic_film
from tests.films import film, save, shapes

SLICES: Final = 300
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


def weights(kilobytes: dict[str, float]) -> list[Goal]:
    """The goals of what is sent, of the table's own figures."""
    return [
        Goal("the worklist, all that is sent for it", kilobytes["worklist"], 40, "kB"),
        Goal("the page of a case, without its film", kilobytes["page of a case, without its film"], 70, "kB"),
    ]


def series(box: Clinic, person: Person, folder: Path) -> list[Goal]:
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
    for at in range(SLICES):
        place: dict[str, Any] = {"ImagePositionPatient": [0, 0, 5 * at], "InstanceNumber": at + 1}
        made = film(greys + at, BitsStored=12, HighBit=11, **place, **one, **who)
        paths.append(save(folder, f"slice-{at}.dcm", made))
    box.push(*paths)
    person.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _ROOMY})
    person.driver.get(box.url + "/?tab=cannot-judge")
    person.open_row("Three Hundred")
    person.driver.set_script_timeout(180)
    person.until(lambda: person.find("#frame").get_attribute("max") == str(SLICES - 1) or _again(person))
    kept = int(person.driver.execute_async_script(_WARM, SLICES))
    rate = float(person.driver.execute_async_script(_SCROLL, _STEPS))
    tab = max(process.memory_full_info().uss for process in _renderers(person))
    return [
        Goal(f"slices a second, of {kept} fetched before", rate, 20, "1/s", at_least=True),
        Goal(f"memory of the tab with {SLICES} slices of {_SIDE_PX} × {_SIDE_PX}", tab / _MB, 300, "MB"),
    ]


def _again(person: Person) -> bool:
    """Load the page again: the series may still be coming."""
    person.driver.refresh()
    return False


def presses(box: Clinic, person: Person, folder: Path) -> list[Goal]:
    """Presses of the mouse, and of keys, from the log-in to the first verdict, and for each patient after it."""
    for name in ("First", "Second", "Third", "Fourth"):
        who = {"PatientName": f"Press {name}.", "PatientAge": "003Y"}
        path = synthetic_film(folder, f"{name}.dcm", sent_films.GREYS, **who)
        box.push(path)
        person.driver.get(box.url)
        person.row(f"Press {name}.")
    said = []
    for hand in (_Mouse(person), _Keyboard(person)):
        person.driver.delete_all_cookies()
        person.log_in(box.url, "doctor", PASSWORD)
        person.find("#lists a.row")
        person.driver.execute_script("localStorage.clear()")
        hand.open_first()
        hand.agree()
        first, hand.count = hand.count, 0
        hand.agree()
        said += [
            Goal(f"{hand.of} from the log-in to the first verdict", first, 3, hand.of),
            Goal(f"{hand.of} for each patient after it", hand.count, 1, hand.of),
        ]
    return said


class _Hand:
    """Counts what it presses; each verdict leads to the next patient."""

    of = ""

    def __init__(self, person: Person) -> None:
        self.person, self.count = person, 0

    def press(self, selector: str, key: str) -> None:
        raise NotImplementedError

    def open_first(self) -> None:
        self.press("#lists a.row", "n")
        self.person.find(".choices button")

    def agree(self) -> None:
        before = self.person.driver.current_url
        self.person.find(".choices button")
        self.press(".choices button", "1")
        self.person.until(lambda: self.person.driver.current_url != before)


class _Mouse(_Hand):
    of = "clicks"

    def press(self, selector: str, key: str) -> None:
        self.count += 1
        self.person.press(selector)


class _Keyboard(_Hand):
    of = "keys"

    def press(self, selector: str, key: str) -> None:
        self.count += 1
        self.person.driver.switch_to.active_element.send_keys(key)


def _renderers(person: Person) -> list[psutil.Process]:
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
