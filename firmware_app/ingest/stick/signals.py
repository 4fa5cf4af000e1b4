"""How a box without a screen shows the state of a stick: a light and beeps, where the machine has them.

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
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

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
class Signals:
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
