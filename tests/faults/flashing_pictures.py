"""The pictures in docs/flashing.md, of a box that was flashed just now.

``python -m tests.faults.flashing_pictures`` after ``make image`` writes ``docs/flashing-*.png`` (root, half an hour).
The film is a synthetic golden film of a shipped pack: it shows nobody.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from PIL import Image

from demo import samples
from tests.browser.clinic import BrowserUser
from tests.faults.flashed_box import PASSWORD, FlashedBox, new_disk
from tests.peers import REPOSITORY

SIZE: Final = (1000, 640)
COLOURS: Final = 64
_SLOW_S: Final = 300.0


def main() -> int:
    [image] = sorted((REPOSITORY / "build").glob("lantern-[0-9]*.img"))
    with tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as name:
        folder = Path(name)
        disk = new_disk(image, folder / "box.img")
        with FlashedBox(disk, folder / "screen.log", efi=True, chip=folder / "chip") as box:
            box.wait("give this code: ")
            time.sleep(20)
            box.photograph(folder / "screen.png")
            _save_picture(folder / "screen.png", "screen")
            host = re.findall(r"Open https://([^/]+)/", box.screen_text)[-1]
            code = re.findall(r"give this code: (\S+)", box.screen_text)[-1]
            person = BrowserUser(
                folder,
                "--ignore-certificate-errors",
                f"--host-resolver-rules=MAP *.local:443 127.0.0.1:{box.https}",
                patience_s=_SLOW_S,
            )
            try:
                _walk(box, person, host, code)
            finally:
                person.close()
    return 0


def _walk(box: FlashedBox, person: BrowserUser, host: str, code: str) -> None:
    person.screen(*SIZE)
    for language, short in (("en", "en"), ("zh_CN", "zh")):
        person.driver.get(f"https://{host}/setup")
        person.choose_language(language)
        _save_picture(person.take_screenshot("code"), f"code-{short}")
    person.type("main [name=code]", code)
    person.send()
    person.type("main [name=clinic]", "清河卫生院")
    person.type("main [name=box]", "clinic-7")
    for language, short in (("en", "en"), ("zh_CN", "zh")):
        person.choose_language(language)
        _save_picture(person.take_screenshot("questions"), f"questions-{short}")
    person.type("main [name=clinic]", "清河卫生院")
    person.type("main [name=box]", "clinic-7")
    person.send()
    url = "https://lantern-clinic-7.local"
    end = time.monotonic() + 900
    while time.monotonic() < end:
        person.driver.get(f"{url}/claim")
        if person.all("main [name=again]"):
            break
        time.sleep(10)
    for selector, text in (("code", code), ("name", "陈医生"), ("password", PASSWORD), ("again", PASSWORD)):
        person.type(f"main [name={selector}]", text)
    person.send()
    samples.send([image for image in samples.load_golden_images() if "child" in image.title][:1], box.dicom)
    end = time.monotonic() + 900
    while time.monotonic() < end and not person.all("a.row:not(.unread)"):
        person.driver.get(f"{url}/")
        time.sleep(10)
    person.all("a.row")[0].click()
    time.sleep(30)
    for language, short in (("en", "en"), ("zh_CN", "zh")):
        person.choose_language(language)
        time.sleep(20)
        _save_picture(person.take_screenshot("reading"), f"reading-{short}")


def _save_picture(picture: Path, name: str) -> None:
    target = REPOSITORY / "docs" / f"flashing-{name}.png"
    with Image.open(picture) as image:
        image.convert("RGB").quantize(COLOURS).save(target, optimize=True)
    print(f"{target.relative_to(REPOSITORY)}: {target.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
