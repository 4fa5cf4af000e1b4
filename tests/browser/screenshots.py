"""The two pictures of the viewer in the README, from a real box with its shipped packs.

``python -m tests.browser.screenshots`` writes ``docs/viewer-zh.png`` and ``docs/viewer-en.png``.  The film is a
synthetic golden film of the shipped pack: it shows nobody, and the name beside it is made up.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser.clinic import BrowserUser, Clinic, clinic, synthetic_film
from tests.peers import REPOSITORY, lacking

FILM = REPOSITORY / "models" / "chest-xray-child" / "golden" / "sample-positive-1.png"
SIZE = (1280, 760)
MOST_BYTES = 250_000


def main() -> int:
    """Start a box, send it the film, and take a picture of its case in each language."""
    if packages := lacking("chromium", "chromedriver", "storescu"):
        raise SystemExit(f"apt install {' '.join(packages)}")
    with tempfile.TemporaryDirectory() as name, clinic(Path(name), REPOSITORY / "models") as box:
        attributes = {
            "SpecificCharacterSet": "ISO_IR 192",
            "PatientID": "QH-2041",
            "PatientAge": "003Y",
            "PatientSex": "M",
        }
        box.send_images(synthetic_film(Path(name), "film.dcm", FILM, PatientName="Wang^Xiaoming=王^小明", **attributes))
        person = BrowserUser(Path(name))
        try:
            _pictures(box, person)
        finally:
            person.close()
    return 0


def _pictures(box: Clinic, person: BrowserUser) -> None:
    person.screen(*SIZE)
    person.claim(box.url, box.first_code(), "陈医生")
    person.open_row("王小明")
    for language, name in (("zh_CN", "zh"), ("en", "en")):
        person.choose_language(language)
        person.wait_for_film()
        person.find("#heat-tool")
        person.slide("#heat", 50)
        person.until(lambda: person.film("heat") == "0.50")
        target = REPOSITORY / "docs" / f"viewer-{name}.png"
        with Image.open(person.take_screenshot(name)) as image:
            image.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.FLOYDSTEINBERG).save(target, optimize=True)
        size = target.stat().st_size
        print(f"{target.relative_to(REPOSITORY)}: {size} bytes")
        if size > MOST_BYTES:
            raise SystemExit(f"that is more than {MOST_BYTES} bytes")


if __name__ == "__main__":
    sys.exit(main())
