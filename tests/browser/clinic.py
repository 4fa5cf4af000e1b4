"""A small clinic for the browser's tests: a whole `lantern serve`, a modality that sends, and someone at the screen."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.films import film, save, shapes
from tests.peers import peer

PASSWORD = "a lamp in the village"
WAIT_S = 30
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--force-color-profile=srgb",
    "--lang=zh-CN",
)


class Clinic:
    """A running box."""

    def __init__(self, folder: Path, packs: Path, config: Path | None = None, **settings: str) -> None:
        """*config*: the box's own file, as on an installed one; then it says everything."""
        self.folder, self.state, self.log = folder, folder / "state", folder / "serve.log"
        self._environment = {
            **os.environ,
            "LANTERN_STATE__DIR": str(self.state),
            "LANTERN_PACKS__DIR": str(packs),
            "LANTERN_DICOM__HOST": "127.0.0.1",
            "LANTERN_DICOM__PORT": "0",
            "LANTERN_VIEWER__HOST": "127.0.0.1",
            "LANTERN_VIEWER__PORT": "0",
            "LANTERN_CALIBRATION__BEFORE": "0",  # every result is shown at once, whatever the box would have drawn
            "LANTERN_BOX__NAME": "清河卫生院",
            **settings,
        }
        self._options = ["--config", str(config)] if config else []
        if config:
            self._environment = {**os.environ, **settings}
        self.ports: dict[str, int] = {}
        self.pids: dict[str, int] = {}
        self._process: subprocess.Popen[str] | None = None

    def open(self) -> None:
        """Start the box and return when all its processes are ready."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "firmware_app", "serve", "--json", *self._options],
                env=self._environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.expect("gateway", "reader", "viewer")

    def expect(self, *names: str) -> None:
        """Return when each of these processes has said that it is ready."""
        wanted, ended = set(names), Counter[str]()
        assert self._process is not None
        assert self._process.stdout is not None
        while wanted:
            line = self._process.stdout.readline()
            assert line, f"the box ended before {wanted} was ready: {self.log.read_text()[-2000:]}"
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "ended":
                ended[event["process"]] += 1
                assert ended[event["process"]] < 3, f"{event['process']} does not start: {self.log.read_text()[-2000:]}"
            if event["event"] == "ready":
                wanted.discard(event["process"])
                self.pids[event["process"]] = event["pid"]
                if event.get("port"):
                    self.ports[event["process"]] = event["port"]

    def close(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @contextmanager
    def nobody_restarts(self) -> Iterator[None]:
        """Inside the block a process that dies stays dead."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['viewer']}"

    def lantern(self, *arguments: str) -> str:
        """The output of a `lantern` command on this box."""
        command = [sys.executable, "-m", "firmware_app", *arguments, *self._options]
        return subprocess.run(command, env=self._environment, text=True, capture_output=True, check=True).stdout

    @contextmanager
    def run_watch(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`lantern watch` on this box, until the block ends; its lines are JSON."""
        command = [sys.executable, "-m", "firmware_app", "watch", "--json", *arguments, *self._options]
        with subprocess.Popen(
            command, env=self._environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.communicate(timeout=30)

    def first_code(self) -> str:
        return str(json.loads(self.lantern("user", "claim", "--json"))["code"])

    def send_images(self, *files: Path, taken: bool = True) -> None:
        """Send *files* as a modality would, with dcmtk's storescu; unless *taken*, the box may refuse them."""
        subprocess.run(
            ["storescu", "-aec", "LANTERN", "127.0.0.1", str(self.ports["gateway"]), *map(str, files)], check=taken
        )

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/healthz") as answer:
            health: dict[str, Any] = json.load(answer)
        return health


@contextmanager
def clinic(folder: Path, packs: Path, config: Path | None = None, **settings: str) -> Iterator[Clinic]:
    made = Clinic(folder, packs, config, **settings)
    made.lantern("clock", "set")  # as the technician does, so that pages look alike on every machine
    try:
        made.open()
        yield made
    finally:
        made.close()


class BrowserUser:
    """Someone before the screen: finds things, waits for them, and takes pictures of what is shown."""

    def __init__(self, folder: Path, *flags: str, patience_s: float = WAIT_S) -> None:
        """*flags*: further ones of Chromium; *patience_s*: for a page to load."""
        options = ChromeOptions()
        options.binary_location = peer("chromium")
        for flag in (*_FLAGS, *flags, f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options=options, service=Service(peer("chromedriver")))
        self.driver.set_page_load_timeout(patience_s)
        self._folder = folder

    def screen(self, width: int, height: int, ratio: float = 1) -> None:
        """Sit before a screen of this size in CSS pixels."""
        facts = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", facts)

    def find(self, selector: str) -> WebElement:
        """The first element that fits, as soon as it is there and visible."""

        def seen() -> WebElement | None:
            elements = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return next((element for element in elements if element.is_displayed()), None)

        element: WebElement = self.until(seen)
        return element

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def until(self, fact: Callable[[], Any]) -> Any:
        """What *fact* answers as soon as that is true."""
        gone = (StaleElementReferenceException,)  # the worklist replaces its rows whenever something comes
        wait = WebDriverWait(self.driver, WAIT_S, poll_frequency=0.1, ignored_exceptions=gone)
        return wait.until(lambda _driver: fact())

    def type(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def claim(self, url: str, code: str, name: str) -> None:
        """Make the first account."""
        self.driver.get(f"{url}/claim")
        for selector, text in (("code", code), ("name", name), ("password", PASSWORD), ("again", PASSWORD)):
            self.type(f"main [name={selector}]", text)
        self.find("main button.main").click()

    def log_in(self, url: str, name: str, password: str = PASSWORD) -> None:
        self.driver.get(f"{url}/login")
        self.type("main [name=name]", name)
        self.type("main [name=password]", password)
        self.find("main button.main").click()

    def press(self, selector: str) -> None:
        """Scroll there and click."""
        element = self.find(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def send(self, selector: str = "main button.main") -> None:
        """Press what leads to another page, and return when the page before is gone: the next one may look just like
        it, and whoever looks too early finds fields that are about to vanish."""
        self.driver.execute_script("window.before = true")
        self.press(selector)
        between = (WebDriverException,)  # there is an instant in which there is no page to ask
        wait = WebDriverWait(self.driver, WAIT_S, poll_frequency=0.1, ignored_exceptions=between)
        wait.until(lambda driver: driver.execute_script("return !window.before && document.readyState == 'complete'"))

    def row(self, text: str) -> str:
        """What the worklist says of the patient called *text*, as soon as they are on it and have been read."""

        def seen() -> str | None:
            rows = [row.text for row in self.all("a.row:not(.unread)")]
            return next((row for row in rows if text in row), None)

        return str(self.until(seen))

    def open_row(self, text: str) -> None:
        """Open the case of the patient called *text* and wait for the film."""
        self.row(text)

        def clicked() -> bool:
            matching = next((row for row in self.all("a.row") if text in row.text), None)
            if matching is not None:
                matching.click()
            return matching is not None

        self.until(clicked)
        self.wait_for_film()

    def choose_language(self, language: str) -> None:
        self.send(f".tongue button[value={language}]")
        self.until(lambda: self.find(f".tongue button[value={language}]").get_attribute("aria-pressed") == "true")

    def slide(self, selector: str, value: int) -> None:
        """Move a slider there, as a hand would: with the event that the page hears."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
        self.driver.execute_script(script, self.find(selector), value)

    def touch(self, kind: str, *fingers: tuple[int, int]) -> None:
        """Have *fingers* begin, move or end on the film, at these places from a point well within it."""
        script = "arguments[0].scrollIntoView(); const { x, y } = arguments[0].getBoundingClientRect(); return [x, y]"
        x, y = self.driver.execute_script(script, self.find("#film"))
        where = [{"x": x + 150 + dx, "y": y + 150 + dy, "id": number} for number, (dx, dy) in enumerate(fingers)]
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": where})

    def film(self, fact: str) -> str:
        """What the film's canvas says of itself: centre, width, zoom, heat."""
        return str(self.find("#film").get_attribute(f"data-{fact}"))

    def wait_for_film(self) -> None:
        self.until(lambda: self.film("shown") == "1")

    def read_canvas_colour(self, x: float = 0.5, y: float = 0.5) -> tuple[int, ...]:
        """The colour of the film's canvas at a share of its size."""
        script = (
            "const c = document.getElementById('film');"
            "const x = c.width * arguments[0] | 0, y = c.height * arguments[1] | 0;"
            "return Array.from(c.getContext('2d').getImageData(x, y, 1, 1).data)"
        )
        return tuple(self.driver.execute_script(script, x, y))

    def find_overflow(self) -> list[str]:
        """What makes somebody scroll sideways, on the whole page or within a part of it; a field may be shorter
        than what stands in it."""
        script = """
            const width = document.documentElement.clientWidth, scrolls = element =>
                element.scrollWidth > element.clientWidth && /auto|scroll/.test(getComputedStyle(element).overflowX);
            return [...document.querySelectorAll('body *')].filter(element => {
                if (element.matches('input, textarea')) return false;
                const style = getComputedStyle(element), { right, height } = element.getBoundingClientRect();
                return height && style.position != 'absolute' && (right > width + 1 || scrolls(element));
            }).map(element => element.outerHTML.slice(0, 120)).concat(
                document.documentElement.scrollWidth > width ? ['the page'] : []);
        """
        selectors: list[str] = self.driver.execute_script(script)
        return selectors

    def find_covered(self) -> list[str]:
        """Buttons, links and fields within the screen that something else lies over, even in part."""
        script = """
            const inside = ({ left, top, right, bottom }) => left >= 0 && top >= 0
                && right <= document.documentElement.clientWidth && bottom <= innerHeight;
            return [...document.querySelectorAll('button, a, input, select, summary')].filter(element => {
                const box = element.getBoundingClientRect();
                if (!element.checkVisibility() || !box.height || !inside(box)) return false;
                return [[.5, .5], [.5, .1], [.5, .9]].some(([across, down]) => {
                    const top = document.elementFromPoint(box.left + across * box.width, box.top + down * box.height);
                    return !element.contains(top) && !top?.contains(element);
                });
            }).map(element => element.outerHTML.slice(0, 120));
        """
        selectors: list[str] = self.driver.execute_script(script)
        return selectors

    def take_screenshot(self, name: str, *, whole: bool = False) -> Path:
        """Of the screen, or of the *whole* page."""
        path = self._folder / f"{name}.png"
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(taken["data"]))
        return path

    def close(self) -> None:
        self.driver.quit()


def synthetic_clip(folder: Path, name: str, frames: int, **attributes: Any) -> Path:
    """A clip whose every frame is brighter than the one before."""
    rows, columns = 64, 96
    base = shapes(1, rows, columns, 1200)
    greys = np.concatenate([base + np.uint16(light) for light in np.linspace(0, 2800, frames)])
    greys[::rows, 0], greys[1::rows, 0] = 0, 4095  # so that all frames have one range
    shape = {"Rows": rows, "NumberOfFrames": frames, "BitsStored": 12, "HighBit": 11}
    return save(folder, name, film(greys, **{**shape, **attributes}))


def synthetic_film(folder: Path, name: str = "film.dcm", picture: Path | None = None, **attributes: Any) -> Path:
    """A film made by code: soft shapes over a gradient in twelve bits, or the greys of *picture*."""
    if picture is not None:
        with Image.open(picture) as image:
            pixels = (np.asarray(image.convert("L"), dtype=np.uint16) << 4).astype(np.uint16)
    else:
        rows, columns = np.mgrid[0:700, 0:600].astype(np.float32)
        lungs = sum(np.exp(-(((columns - x) / 110) ** 2 + ((rows - 330) / 220) ** 2)) for x in (180, 420))
        pixels = np.clip(3300 - 2400 * lungs + 500 * rows / 700, 0, 4095).astype(np.uint16)
    return save(folder, name, film(pixels, BitsStored=12, HighBit=11, **attributes))
