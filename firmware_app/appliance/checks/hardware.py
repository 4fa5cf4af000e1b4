"""The box's hardware: disk, temperature, memory. The kernel gives the values; each becomes one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core import disk as of_the_state
from firmware_app.core.errors import DiskTrouble
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, clear_away, free_bytes

ORDER: Final = 50
NAMES: Final = {"disk": N_("Space on the disk"), "memory": N_("Memory"), "temperature": N_("Temperature")}
HANDBOOK: Final = Section(N_("The machine"), ("machine.*",))
DISK_OK: Final = register("machine.disk_ok", N_("The disk can be written and read back; {free_mb} MB are free."))
DISK_LOW: Final = register(
    "machine.disk_low",
    N_("Only {free_mb} MB of disk are free; below {limit_mb} MB the box takes no image. Free some space."),
)
DISK_WRITE: Final = register(
    "machine.disk_write",
    N_("The disk does not take a test file: {detail}. Restart the box; if it stays so, call the technician."),
)
DISK_READ: Final = register(
    "machine.disk_read",
    N_("The disk gave back other bytes than were written to it. Replace the disk before it loses images."),
)
INODES_OK: Final = register("machine.inodes_ok", N_("The disk has room for {inodes} more files."))
INODES_LOW: Final = register(
    "machine.inodes_low",
    N_(
        "The disk has room for only {inodes} more files, however many MB are free. Delete old files that are not "
        "Lantern's, or use a larger disk."
    ),
)
COOL: Final = register("machine.temperature_ok", N_("The warmest sensor of the machine shows {celsius} °C."))
NO_SENSOR: Final = register("machine.temperature_none", N_("This machine does not report its temperature."))
HOT: Final = register(
    "machine.temperature_high",
    N_(
        "The machine is {celsius} °C hot ({sensor}); at {limit} °C it slows down or switches itself off. Free its "
        "vents, and move it away from sun and heat."
    ),
)
MEMORY_OK: Final = register("machine.memory_ok", N_("{available_mb} MB of memory are free."))
MEMORY_LOW: Final = register(
    "machine.memory_low",
    N_(
        "Only {available_mb} MB of memory are free, and reading an image takes about {needed_mb} MB. End other "
        "programs on this machine, or give it more memory."
    ),
)
MEMORY_PRESSED: Final = register(
    "machine.memory_pressed",
    N_(
        "In the last five minutes all programs stood still for {percent} percent of the time, waiting for memory. End "
        "other programs on this machine, or give it more memory."
    ),
)
THERMAL: Final = Path("/sys/class/thermal")
PROC: Final = Path("/proc")

_FEW_INODES, _NO_INODES = 20_000, 2_000
_PROBE_BYTES: Final = 1 << 20
_LIMIT_C: Final = 95.0  # where the machine names no critical temperature of its own
_WARM_C, _HOT_C = 15.0, 5.0  # below the limit
_PLAUSIBLE_C: Final = (1.0, 150.0)  # sensors that are not wired show 0, -40 or 255
NEEDED_MB: Final = 512
_LEAST_MB: Final = 200
_PRESSED, _STANDING = 10.0, 30.0  # percent


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """Free inodes, temperature and memory as they are now."""
    if state.root.is_dir():
        yield from check_inodes(state.root)
    yield from check_temperature()
    yield from check_memory()


def check_disk(folder: Path, limit_mb: int) -> Iterator[Check]:
    """Space, files, and a megabyte that is written, made durable and read back."""
    free_mb = free_bytes(folder) // 1_000_000
    if free_mb < 2 * limit_mb:
        details = {"free_mb": free_mb, "limit_mb": limit_mb}
        yield Check("disk", "fail" if free_mb < limit_mb else "warn", Reason(DISK_LOW, details))
    yield from check_inodes(folder)
    try:
        is_same = _can_write_and_read(folder / f".selftest.{os.getpid()}")
    except OSError as error:
        known = of_the_state.classify_disk_error(folder, error)
        other = Reason(DISK_WRITE, {"detail": error.strerror or type(error).__name__})
        yield Check("disk", "fail", Reason.from_error(known) if isinstance(known, DiskTrouble) else other)
        return
    if is_same:
        yield Check("disk", "ok", Reason(DISK_OK, {"free_mb": free_mb}))
    else:
        yield Check("disk", "fail", Reason(DISK_READ))


def check_inodes(folder: Path) -> Iterator[Check]:
    """How many more files fit; no check where the file system has no such limit."""
    file_system = os.statvfs(folder)
    if file_system.f_files:
        left = file_system.f_favail
        reason = Reason(INODES_LOW if left < _FEW_INODES else INODES_OK, {"inodes": left})
        yield Check("disk", "fail" if left < _NO_INODES else "warn" if left < _FEW_INODES else "ok", reason)


def _can_write_and_read(probe: Path) -> bool:
    """Whether random bytes come back from the disk itself, past the page cache as far as the kernel lets go of it."""
    data = os.urandom(_PROBE_BYTES)
    clear_away(probe)  # others write this folder, and no link is followed
    descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(descriptor, len(data) + 1, 0) == data
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)


def check_temperature(thermal: Path = THERMAL) -> Iterator[Check]:
    """The warmest sensor, held against the temperature at which the machine protects itself."""
    measured = list(list_sensors(thermal))
    if not measured:
        yield Check("temperature", "ok", Reason(NO_SENSOR))
        return
    name, celsius, limit = min(measured, key=lambda one: one[2] - one[1])
    if celsius < limit - _WARM_C:
        yield Check("temperature", "ok", Reason(COOL, {"celsius": round(max(one[1] for one in measured))}))
        return
    reason = Reason(HOT, {"celsius": round(celsius), "sensor": name, "limit": round(limit)})
    yield Check("temperature", "fail" if celsius >= limit - _HOT_C else "warn", reason)


def list_sensors(thermal: Path = THERMAL) -> Iterator[tuple[str, float, float]]:
    """Name, °C and critical °C of each sensor (kernel: Documentation/driver-api/thermal/sysfs-api.rst)."""
    for zone in sorted(thermal.glob("thermal_zone*")):
        celsius = _read_celsius(zone / "temp")
        if celsius is None:
            continue
        limits = [
            limit
            for kind in zone.glob("trip_point_*_type")
            if _read_text(kind) in ("critical", "hot")
            and (limit := _read_celsius(kind.with_name(kind.name.replace("_type", "_temp")))) is not None
        ]
        yield _read_text(zone / "type")[:40] or zone.name, celsius, min(limits, default=_LIMIT_C)


def check_memory(proc: Path = PROC) -> Iterator[Check]:
    """The memory that is free for another program, and whether programs wait for memory."""
    available = read_available_mb(proc)
    if available is not None and available < NEEDED_MB:
        reason = Reason(MEMORY_LOW, {"available_mb": available, "needed_mb": NEEDED_MB})
        yield Check("memory", "fail" if available < _LEAST_MB else "warn", reason)
    elif available is not None:
        yield Check("memory", "ok", Reason(MEMORY_OK, {"available_mb": available}))
    stalled = read_memory_stall_percent(proc)
    if stalled is not None and stalled >= _PRESSED:
        reason = Reason(MEMORY_PRESSED, {"percent": round(stalled)})
        yield Check("memory", "fail" if stalled >= _STANDING else "warn", reason)


def read_available_mb(proc: Path = PROC) -> int | None:
    """MemAvailable (proc(5))."""
    for line in _read_text(proc / "meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024 // 1_000_000
    return None


def read_memory_stall_percent(proc: Path = PROC) -> float | None:
    """``full avg300`` of /proc/pressure/memory (kernel: Documentation/accounting/psi.rst); None without PSI."""
    for line in _read_text(proc / "pressure" / "memory").splitlines():
        kind, *fields = line.split()
        values = dict(field.split("=", 1) for field in fields if "=" in field)
        if kind == "full" and "avg300" in values:
            return float(values["avg300"])
    return None


def _read_celsius(path: Path) -> float | None:
    try:
        celsius = int(_read_text(path)) / 1000
    except ValueError:
        return None
    return celsius if _PLAUSIBLE_C[0] <= celsius <= _PLAUSIBLE_C[1] else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:  # a sensor that is asleep answers with an error
        return ""
