"""What people get to see and hear of a stick's import: a written receipt, a light and beeps.

The receipt is a page of plain text in the box's language, kept in ``usb/``, never written to the stick.  It holds
counts and case references; no patient name, no UID and no path.

A box without a screen shows the state of a stick by a light and beeps, where the hardware has them:

| what happens | light | sound |
| --- | --- | --- |
| copying | blinks slowly, once a second | one short beep at the start |
| everything came in, the stick can be taken out | steady | one long beep |
| not everything came in, or the stick was refused | blinks fast, five times a second | three short beeps |
| the finished stick was taken out | off | |

The light is a LED of the kernel (sysfs, ``timer`` trigger), the sound is the PC speaker as an input device (EV_SND,
SND_TONE).  The udev rule gives the importer access to both; one that is missing is silently left out.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from firmware_app.cases import usb_import
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core.language import N_, translate

MOST_RECEIPTS: Final = 500
_TITLE: Final = N_("Receipt of a stick")
_LINES: Final = {
    "box": N_("Box: {value}"),
    "since": N_("Begun: {value} (by the box's clock)"),
    "ended": N_("Ended: {value} (by the box's clock)"),
    "kind": N_("Kind of stick: {value}"),
    "found": N_("Files found: {value}"),
    "new": N_("Images copied and safe: {value}"),
    "known": N_("Images that the box had already: {value}"),
    "refused": N_("Files damaged or refused: {value}"),
    "passed_by": N_("No images, left on the stick: {value}"),
}
_WHOLE: Final = N_("Everything on the stick was looked at. It can be taken out.")
_CASES: Final = N_("Cases:")
_INCOMPLETE: Final = N_("incomplete")


def format_receipt(status: StickStatus, box: str, cases: Mapping[str, bool], language: str) -> str:
    """The page; *cases* maps each case reference to whether the case is incomplete."""
    values = {"box": box, "since": status.since, "ended": status.ended, "kind": status.kind or "-"}
    counts = {
        "found": status.found,
        "new": status.new,
        "known": status.known,
        "refused": status.refusals,
        "passed_by": status.passed_by,
    }
    lines = [translate(_TITLE, language), ""]
    lines += [translate(_LINES[name], language).format(value=value) for name, value in values.items()]
    lines.append("")
    if status.stage is not StickStage.REFUSED:
        lines += [translate(_LINES[name], language).format(value=count) for name, count in counts.items()]
    lines += [f"  {sentence}" for sentence in usb_import.sentences(status.refused, language)]
    lines += ["", status.reason.text(language) if status.reason else translate(_WHOLE, language)]
    if cases:
        lines += ["", translate(_CASES, language)]
        mark = f"  ({translate(_INCOMPLETE, language)})"
        lines += [f"  {case}{mark if incomplete else ''}" for case, incomplete in sorted(cases.items())]
    return "\n".join(lines) + "\n"


def write_receipt(folder: Path, page: str) -> int:
    """Write *page* durably to *folder* under the next number, which is returned.  Raises `OSError`."""
    numbers = sorted(int(path.stem) for path in folder.glob("*.txt") if path.stem.isdecimal())
    number = numbers[-1] + 1 if numbers else 1
    path = folder / f"{number:06d}.txt"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(page)
        handle.flush()
        os.fsync(handle.fileno())
    for old in numbers[: max(0, len(numbers) + 1 - MOST_RECEIPTS)]:
        (folder / f"{old:06d}.txt").unlink(missing_ok=True)
    return number


LED: Final = Path("/run/lantern/status-led")
SPEAKER: Final = Path("/dev/lantern-speaker")
TONE_HZ: Final = 880
_SHORT_S, _LONG_S, _PAUSE_S = 0.12, 0.8, 0.12
_TIMER_S: Final = 1.0
_EVENT: Final = struct.Struct("@llHHi")  # linux/input.h, struct input_event
_EV_SYN, _EV_SND, _SND_TONE = 0x00, 0x12, 0x02


class Signal(Enum):
    """Milliseconds of light and dark (a 0 in either: steadily on or off), and the lengths of the beeps in seconds."""

    COPYING = ((500, 500), (_SHORT_S,))
    DONE = ((1, 0), (_LONG_S,))
    ATTENTION = ((100, 100), (_SHORT_S, _SHORT_S, _SHORT_S))
    DARK = ((0, 1), ())


@dataclass(frozen=True, slots=True)
class StatusIndicator:
    """The light and the speaker of this machine, where it has them."""

    led: Path = LED
    speaker: Path = SPEAKER

    def give(self, signal: Signal) -> None:
        """Show *signal*; returns after its last beep."""
        (light, dark), beeps = signal.value
        with suppress(OSError):
            self._show(light, dark)
        with suppress(OSError):
            self._sound(beeps)

    def _show(self, light: int, dark: int) -> None:
        if not self.led.is_dir():
            return
        if light and dark:
            (self.led / "trigger").write_text("timer", "ascii")
            self._wait_for_timer()
            (self.led / "delay_on").write_text(str(light), "ascii")
            (self.led / "delay_off").write_text(str(dark), "ascii")
            return
        (self.led / "trigger").write_text("none", "ascii")
        brightest = (self.led / "max_brightness").read_text("ascii").strip() if light else "0"
        (self.led / "brightness").write_text(brightest, "ascii")

    def _wait_for_timer(self) -> None:
        """Wait until udev has given access to the timer's files; without them the light blinks slowly."""
        deadline = time.monotonic() + _TIMER_S
        while not os.access(self.led / "delay_off", os.W_OK) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _sound(self, beeps: tuple[float, ...]) -> None:
        if not beeps or not self.speaker.exists():
            return
        with self.speaker.open("wb", buffering=0) as speaker:
            for seconds in beeps:
                for tone in (TONE_HZ, 0):
                    speaker.write(_EVENT.pack(0, 0, _EV_SND, _SND_TONE, tone) + _EVENT.pack(0, 0, _EV_SYN, 0, 0))
                    time.sleep(seconds if tone else _PAUSE_S)
