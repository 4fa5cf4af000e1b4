"""A house for units: this machine's own systemd as the first process of fresh namespaces, over an overlay of it.

What runs inside has its own mounts, processes, network, host name and control group; everything that is written lands
in memory and is gone with the house.  The box's programs are where an installed box has them (``/opt/lantern/venv``),
its units in ``/etc/systemd/system`` after `House.install`.

    with House() as house:
        house.install(CONFIG)                                # units, users, configuration; nothing is started yet
        house.run("systemctl start lantern.target")
        house.wait_active("lantern-reader.service")
        done = house.attempt("lantern-reader.service", "import socket; socket.create_connection(('127.0.0.1', 1))")
        assert "PermissionError" in done.stderr

`run` is root in the house and outside every unit; `attempt` is a unit's own user in that unit's own sandbox.

No line is taken out of a unit for it.  What a house does not do is to hold MemoryMax=, CPUWeight= and TasksMax= where
this machine keeps those controllers for version 1 of control groups: systemd goes without them, and says nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.peers import REPOSITORY, need_root, needed, skip_missing_packages, skip_or_fail

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEMD: Final = Path("/lib/systemd/systemd")
_START_S: Final = 30.0
_STEP_S: Final = 0.05
_NEVER_BEGAN: Final = range(200, 244)  # systemd.exec(5): the sandbox could not be made
UNITS: Final = Path("/etc/systemd/system")


class SystemdContainer:
    """See the module.  Entering it starts systemd, leaving it ends every process in it, also after a failure."""

    def __init__(self, *, udev: bool = False, network: bool = False, megabytes: int = 2048) -> None:
        """*udev*: /sys may be written, so that systemd-udevd runs in the house and device units exist.
        *network*: shares this machine's network instead of having only a loopback of its own.
        *megabytes*: how much memory what is written in the house may take."""
        self._udev, self._network, self._megabytes = udev, network, megabytes
        self._loops: list[str] = []
        self._attempts = 0
        self.first = 0
        """The house's systemd, by its number outside."""

    # --- its life -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        need_root()
        needed("unshare", "nsenter", "setpriv", "losetup", "tar")
        if not _SYSTEMD.exists():
            skip_missing_packages("systemd")
        self.base = Path(tempfile.mkdtemp(prefix="lantern-house-"))
        self.group = _control_group(self.base.name)
        self._log = (self.base.with_suffix(".log")).open("w+")
        command = [
            "unshare",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--cgroup",
            *([] if self._network else ["--net"]),
            "--fork",
            "--kill-child",
            "sh",
            str(Path(__file__).with_name("house.sh")),
            str(self.base),
            str(REPOSITORY),
            sys.prefix,
            sys.base_prefix,
            str(self._megabytes),
            "rw" if self._udev else "ro",
        ]
        # setpriv: when the test run itself is killed, the kernel kills `unshare`, and that its child, and so all.
        self._process = subprocess.Popen(
            ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec setpriv --pdeathsig KILL "$@"', str(self.group), *command],
            env={"PATH": _PATH, "container": "lantern-house", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        try:
            self.first = self._await("the house to begin", self._child)
            is_up = "systemctl is-active house.target"
            self._await("systemd to answer", lambda: self.run(is_up, check=False) == "active")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._process.poll() is None:
            print(self.run("journalctl --no-pager --lines=120 --output=short-monotonic", check=False))
        self._end()

    def _end(self) -> None:
        if self.first and self._process.poll() is None:
            os.kill(self.first, signal.SIGKILL)  # and with it, by the kernel, everything in its process namespace
        else:
            self._process.kill()
        self._process.wait()  # it has reaped the first one then
        for device in self._loops:
            subprocess.run(["losetup", "--detach", device], capture_output=True, check=False)
        self._log.close()
        Path(self._log.name).unlink()
        _remove_group(self.group)
        self.base.rmdir()  # empty: what was mounted on it has gone with the namespace

    def _child(self) -> int | None:
        if self._process.poll() is not None:
            self._log.seek(0)
            raise AssertionError(f"the house could not be made: {self._log.read()}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text("ascii").split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text("ascii").strip() != "systemd":
            return None
        return int(children[0])

    # --- what one does in it ------------------------------------------------------------------------------------

    def command(self, *words: str) -> list[str]:
        """*words* as a command of this machine that runs as root in the house, for those who need a Popen."""
        joined = ["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"]
        clean = ["env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8"]
        return ["nsenter", "--target", str(self.first), *joined, "--", *clean, *words]

    def run(self, script: str, *, check: bool = True, timeout: float = 60.0) -> str:
        """What the shell *script* prints, both streams, run as root in the house; raises when it fails, unless told
        not to *check*."""
        done = subprocess.run(
            self.command("sh", "-c", script),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        said = (done.stdout + done.stderr).strip()
        assert not check or done.returncode == 0, f"“{script}” ended with {done.returncode}: {said}"
        return said

    def write(self, path: Path | str, text: str, mode: int = 0o644) -> None:
        """Put a file into the house, with the folders above it."""
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"'
        command = self.command("sh", "-c", script, "sh", str(path), f"{mode:o}")
        subprocess.run(command, input=text, text=True, check=True, timeout=30)

    def copy(self, source: Path, target: Path) -> None:
        """Put a file or a folder of this machine into the house, as root's and with its modes."""
        packed = subprocess.run(
            ["tar", "-C", str(source.parent), "-cf", "-", source.name], capture_output=True, check=True, timeout=60
        ).stdout
        unpack = 'mkdir -p "$1/.new" && tar -C "$1/.new" --no-same-owner -xpf - && rm -rf "$1/$3" && '
        place = 'mv -T "$1/.new/$2" "$1/$3" && rmdir "$1/.new"'
        words = [str(target.parent), source.name, target.name]
        subprocess.run(self.command("sh", "-c", unpack + place, "sh", *words), input=packed, check=True, timeout=60)

    def read(self, path: Path | str) -> str:
        return self.run(f'cat "{path}"')

    def loop(self, image: Path, *, read_only: bool = False) -> str:
        """Attach *image*, a file of this machine, to a loop device, as if a stick came; returns /dev/loopN.

        It is detached when the house ends.  Only a house with *udev* hears of it.
        """
        device = subprocess.run(
            ["losetup", "--find", "--show", "--partscan", *(["--read-only"] if read_only else []), str(image)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        self._loops.append(device)
        return device

    # --- units --------------------------------------------------------------------------------------------------

    def install(self, config: str = "") -> None:
        """Put the units, the users and *config* (TOML) where `make install` puts them; nothing is started."""
        source = "/opt/lantern/source/systemd"
        self.write("/etc/lantern/lantern.toml", config)
        self.run(
            f"install -m 644 {source}/units/* {UNITS} &&"
            f" install -D -m 644 {source}/lantern.sysusers /etc/sysusers.d/lantern.conf &&"
            f" install -D -m 644 {source}/lantern.tmpfiles /etc/tmpfiles.d/lantern.conf &&"
            " systemd-sysusers lantern.conf && systemd-tmpfiles --create lantern.conf && systemctl daemon-reload"
        )

    def show(self, unit: str, name: str) -> str:
        """One property of *unit*, as `systemctl show` tells it."""
        return self.run(f"systemctl show --value --property {name} '{unit}'")

    def pid(self, unit: str) -> int:
        """The main process of *unit*, by its number inside the house; 0 when none runs."""
        return int(self.show(unit, "MainPID"))

    def wait_active(self, unit: str, seconds: float = 60.0) -> None:
        """Return when *unit* is active: for one of Type=notify, when it has said READY."""
        self.wait(f"{unit} to be active", lambda: self.show(unit, "ActiveState") == "active", seconds)

    def wait(self, what: str, asked: Callable[[], object], seconds: float = 30.0) -> None:
        """Return when *asked* answers with something true; raises with *what* was waited for."""
        self._await(what, asked, seconds)

    def log(self, unit: str) -> str:
        """What *unit* and systemd said about it."""
        return self.run(f"journalctl --no-pager --output=short-monotonic --unit '{unit}'")

    def attempt(
        self, unit: str, code: str, interpreter: str = "/opt/lantern/venv/bin/python"
    ) -> subprocess.CompletedProcess[str]:
        """Run Python *code* as *unit* would run: the same user, namespaces, system calls, devices and limits.

        It is a copy of the unit as systemd has it loaded, drop-ins included, whose command alone is another one; the
        unit itself need not run.
        """
        self._attempts += 1
        name, folder = f"attempt{self._attempts}-{unit}", f"/var/house/{self._attempts}"
        self.write(f"{folder}/code.py", code)
        self.write(
            f"/run/systemd/system/{name}",
            _copy(
                self.run(f"systemctl daemon-reload && systemctl cat '{unit}'"),
                f"{interpreter} {folder}/code.py",
                folder,
            ),
        )
        self.run(f"systemctl daemon-reload; systemctl start '{name}'", check=False)
        status = int(self.show(name, "ExecMainStatus"))  # 0 too of a unit that ended well and is forgotten by now
        assert status not in _NEVER_BEGAN, f"{unit} cannot be tried: {self.log(name)}"
        return subprocess.CompletedProcess(code, status, self.read(f"{folder}/stdout"), self.read(f"{folder}/stderr"))

    def _await(self, what: str, asked: Callable[[], object], seconds: float = _START_S) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            if answer := asked():
                return answer
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
            time.sleep(_STEP_S)


def _copy(text: str, command: str, folder: str) -> str:
    """The [Service] lines of a unit, with another command and nothing that starts, ends or watches it."""
    lines, inside = [], False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == "[Service]"
        elif inside:
            lines.append(line)
    others = ("ExecStart", "ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost", "ExecCondition", "ExecReload")
    return "\n".join(
        [
            "[Service]",
            *lines,
            *(f"{other}=" for other in others),
            "Type=oneshot",
            f"ExecStart={command}",
            f"StandardOutput=file:{folder}/stdout",
            f"StandardError=file:{folder}/stderr",
            "Restart=no",
            "WatchdogSec=0",
            "RemainAfterExit=no",
            "TimeoutStartSec=100",
            "SuccessExitStatus=",
            "RuntimeDirectoryPreserve=yes",
            "",
        ]
    )


def _control_group(name: str) -> Path:
    """A control group (version 2) of its own, so that the systemd in it sees no other."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text("ascii").splitlines()]
    mounted = next((mount for _, mount, kind, *_ in mounts if kind == "cgroup2"), None)
    if mounted is None:
        skip_or_fail("needs a control group file system of version 2")
    group = Path(mounted) / name
    group.mkdir()
    return group


def _remove_group(group: Path) -> None:
    """The innermost first; a process that has just been killed keeps its group for a moment."""
    deadline = time.monotonic() + 10.0
    for folder, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                Path(folder).rmdir()
                break
            except OSError:
                assert time.monotonic() < deadline, f"a process still lives in {folder}"
                time.sleep(_STEP_S)
