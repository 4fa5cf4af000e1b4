"""A machine whose clocks a test sets, for what cannot be waited for; tests/faults/test_clock.py has real ones."""

from __future__ import annotations

from datetime import UTC, datetime

from firmware_app.core.clock import KernelClock

TODAY = datetime(2026, 11, 21, 8, tzinfo=UTC).timestamp()
IN_1970 = 120.0
IN_2040 = datetime(2040, 6, 1, tzinfo=UTC).timestamp()


class FakeClock(KernelClock):
    """Its boot, its seconds, its wall clock, and whether network time holds that."""

    def __init__(self, wall: float = TODAY) -> None:
        super().__init__()
        self.now, self.up, self.name, self.network = wall, 30.0, "0" * 16, False

    def boot(self) -> str:
        return self.name

    def elapsed(self) -> float:
        return self.up

    def wall(self) -> float:
        return self.now

    def synchronised(self) -> bool:
        return self.network

    def battery(self) -> float | None:
        return None

    def wait(self, seconds: float) -> None:
        self.up += seconds
        self.now += seconds

    def restart(self, wall: float) -> None:
        self.now, self.up, self.name = wall, 30.0, f"{int(self.name, 16) + 1:016x}"
