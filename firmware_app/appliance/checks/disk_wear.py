"""How worn the disks are, by their own word, and whether security updates wait for a restart of the machine.

The kernel tells of eMMC, as JEDEC's JESD84-B51 has it in EXT_CSD; of SATA and NVMe disks smartctl does (smartmontools),
where it is installed and root asks.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

ORDER: Final = 70
NAMES: Final = {"disk_wear": N_("Wear of the disk"), "restart": N_("Restart")}
HANDBOOK: Final = Section(N_("The machine"), ("machine.*",))
WEAR_OK: Final = register("machine.wear_ok", N_("The disk {disk} has used about {percent} percent of its life."))
WEAR_HIGH: Final = register(
    "machine.wear_high",
    N_("The disk {disk} has used about {percent} percent of its life. Make a backup, and plan to replace it."),
)
SPARE_LOW: Final = register(
    "machine.spare_low",
    N_("The disk {disk} has used {percent} percent of its spare blocks. Make a backup, and plan to replace it."),
)
SMART_OK: Final = register("machine.smart_ok", N_("The disk {disk} says of itself that it is healthy."))
SMART_FAILING: Final = register(
    "machine.smart_failing", N_("The disk {disk} says of itself that it is failing. Make a backup now, and replace it.")
)
RESTART: Final = register(
    "machine.restart_waits",
    N_("Security updates wait for a restart of the machine. Restart it when no image is being taken."),
)
BLOCK: Final = Path("/sys/block")
_RESTART: Final = Path("/run/reboot-required")  # by Debian's kernels, where unattended-upgrades is installed
_SMARTCTL: Final = "/usr/sbin/smartctl"
_SMARTCTL_S: Final = 20.0  # a disk that sleeps takes ten seconds to wake
_WORN, _SPENT = 80, 100  # percent
_SPARE_USED: Final = {2: 80, 3: 90}  # PRE_EOL_INFO: 1 is normal
_PER_STEP: Final = 10  # DEVICE_LIFE_TIME_EST: 1 is 0 to 10 percent, 11 is more than all of it


def examine(_config: Config, _state: StateDir) -> Iterator[Check]:
    """For `lantern doctor`."""
    yield from check_disks(BLOCK, _run_smartctl if os.geteuid() == 0 and Path(_SMARTCTL).exists() else None)
    if _RESTART.exists():
        yield Check("restart", "warn", Reason(RESTART))


def check_disks(block: Path, smart: Callable[[str], str] | None) -> Iterator[Check]:
    """Each disk that stays in the machine; *smart* gives what smartctl says of one."""
    for disk in sorted(block.glob("*")):
        if disk.name.startswith("mmcblk"):
            yield from _check_emmc(disk)
        elif smart is not None and disk.name.startswith(("sd", "nvme")) and _read_text(disk / "removable") != "1":
            yield from _check_smart(disk.name, smart(disk.name))


def _check_emmc(disk: Path) -> Iterator[Check]:
    """An SD card says nothing of all this."""
    steps = [int(word, 16) for word in _read_text(disk / "device/life_time").split()]
    if any(steps):
        yield _make_wear_check(disk.name, max(steps) * _PER_STEP)
    spare = _SPARE_USED.get(int(_read_text(disk / "device/pre_eol_info") or "0", 16))
    if spare is not None:
        yield Check("disk_wear", "warn", Reason(SPARE_LOW, {"disk": disk.name, "percent": spare}))


def _check_smart(name: str, said: str) -> Iterator[Check]:
    """What smartctl's ``--json`` says of the disk's verdict on itself, and of a solid state disk's wear."""
    try:
        report: dict[str, Any] = json.loads(said)
    except ValueError:
        return
    passed = report.get("smart_status", {}).get("passed")
    if passed is not None:
        yield Check(
            "disk_wear", "ok" if passed else "fail", Reason(SMART_OK if passed else SMART_FAILING, {"disk": name})
        )
    used = report.get("nvme_smart_health_information_log", {}).get("percentage_used")
    used = used if used is not None else report.get("endurance_used", {}).get("current_percent")
    if used is not None:
        yield _make_wear_check(name, int(used))


def _make_wear_check(name: str, percent: int) -> Check:
    reason = Reason(WEAR_HIGH if percent >= _WORN else WEAR_OK, {"disk": name, "percent": min(percent, _SPENT)})
    return Check("disk_wear", "fail" if percent > _SPENT else "warn" if percent >= _WORN else "ok", reason)


def _run_smartctl(name: str) -> str:
    try:
        done = subprocess.run(
            [_SMARTCTL, "--json=c", "-H", "-A", f"/dev/{name}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SMARTCTL_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout  # its exit status says again what is in there


def _read_text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""
