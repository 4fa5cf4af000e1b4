"""dcmtk's storescu as a sender in the background that tells after each image what it has heard, and what it sends."""

from __future__ import annotations

import hashlib
import random
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.objects import element, file_of, short
from tests.peers import peer

ROWS: Final = 512
_CT: Final = "1.2.840.10008.5.1.4.1.1.2"
_SENT_SECONDS: Final = 120


@dataclass(frozen=True)
class Image:
    """One image to send, and by what its bytes are known again."""

    path: Path
    sop_instance: str
    data_set_sha256: str
    data_set_bytes: int


class Sender:
    """dcmtk's storescu in the background, and how many of the images, in order, it has heard a success for."""

    def __init__(self, port: int, series: list[Image], *, one_association: bool) -> None:
        paths = [str(image.path) for image in series]
        self._batches = [paths] if one_association else [[path] for path in paths]
        self._command = [peer("storescu"), "-v", "127.0.0.1", str(port)]
        self._said: list[str] = []
        self._heard = threading.Condition()
        self._ended = self._stopped = False
        self._child: subprocess.Popen[str] | None = None
        self._answered_at: list[float] = []  # CLOCK_MONOTONIC, seconds
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    @property
    def successes(self) -> int:
        return len(self._answered_at)

    def count_successes_before(self, instant: float) -> int:
        """How many successes were heard before *instant*, a power cut's."""
        with self._heard:
            return sum(answered < instant for answered in self._answered_at)

    def await_successes(self, count: int) -> None:
        with self._heard:
            is_there = self._heard.wait_for(lambda: self.successes >= count or self._ended, _SENT_SECONDS)
        if not is_there or self.successes < count:
            raise RuntimeError(f"{self.successes} of {count} images acknowledged; storescu: {self._said[-3:]}")

    def stop(self) -> None:
        with self._heard:
            self._stopped = True
            if self._child is not None:
                self._child.kill()
        self._thread.join()

    def _send(self) -> None:
        for batch in self._batches:
            with self._heard:
                if self._stopped:
                    break
                self._child = subprocess.Popen(
                    [*self._command, *batch], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
                )
            with self._child as child:
                assert child.stderr is not None
                for line in child.stderr:
                    self._read_line(line)
            if child.returncode != 0:
                break
        with self._heard:
            self._ended = True
            self._heard.notify_all()

    def _read_line(self, line: str) -> None:
        with self._heard:
            self._said.append(line.strip())
            if "Received Store Response (Success)" in line:
                self._answered_at.append(time.monotonic())
                self._heard.notify_all()


def make_series(folder: Path, count: int, seed: int) -> list[Image]:
    """*count* CT slices of noise, the same for the same *seed*; their data sets are all of one length."""
    folder.mkdir()
    chance = random.Random(seed)
    study, slices = f"2.25.{chance.randrange(10**29, 10**30)}", f"2.25.{chance.randrange(10**29, 10**30)}"
    series = []
    for number in range(count):
        instance = f"2.25.{chance.randrange(10**29, 10**30)}"
        data_set = b"".join(
            (
                element(0x00080016, b"UI", _CT.encode()),
                element(0x00080018, b"UI", instance.encode()),
                element(0x00080060, b"CS", b"CT"),
                element(0x00100020, b"LO", b"DURABILITY"),
                element(0x0020000D, b"UI", study.encode()),
                element(0x0020000E, b"UI", slices.encode()),
                element(0x00280002, b"US", short(1)),
                element(0x00280004, b"CS", b"MONOCHROME2"),
                element(0x00280010, b"US", short(ROWS)),
                element(0x00280011, b"US", short(ROWS)),
                element(0x00280100, b"US", short(16)),
                element(0x00280101, b"US", short(16)),
                element(0x00280102, b"US", short(15)),
                element(0x00280103, b"US", short(0)),
                element(0x7FE00010, b"OW", chance.randbytes(2 * ROWS * ROWS)),
            )
        )
        path = folder / f"{number:04}.dcm"
        path.write_bytes(file_of(data_set, sop_class=_CT, sop_instance=instance))
        series.append(Image(path, instance, hashlib.sha256(data_set).hexdigest(), len(data_set)))
    return series
