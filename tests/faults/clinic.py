"""A whole box under attack, with its line to a hospital: started, killed and started again as a machine would be."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from firmware_app.appliance import box_identity
from firmware_app.core import run_status
from firmware_app.core.settings import Config, describe_config
from firmware_app.core.state_dir import StateDir
from tests.box import LANTERN, make_environment
from tests.wire.line_rig import HospitalRig, free_port

ROLES = ("supervisor", "gateway", "reader", "decode_child", "inference_child", "viewer", "uplink")
_WORDS = {
    "decode_child": "firmware_app.reading.children.decode_child",
    "inference_child": "firmware_app.reading.children.inference_child",
    "viewer": "web.server",
    "gateway": "--only gateway",
    "reader": "--only reader",
    "uplink": "--only uplink",
    "supervisor": "firmware_app serve",
}


class Clinic:
    """`lantern serve` on *root*; every process of it is in a session of its own, by which it is found and killed."""

    def __init__(
        self,
        folder: Path,
        root: Path,
        packs: Path,
        site: HospitalRig | None = None,
        broker: int | None = None,
        **more: str,
    ) -> None:
        """*folder*'s name is the box's; *broker* is the port at which it finds the broker of *site*, if a proxy's."""
        self.name, self.state, self.port = folder.name, StateDir(root), free_port()
        self.log, self.temporary = folder / "box.log", folder / "tmp"
        self.temporary.mkdir(parents=True)
        self._config = folder / "lantern.toml"
        self._sessions: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        tree: dict[str, Any] = {"state": {"dir": str(root)}}
        if site is not None:
            tree |= _provision(self.state, site, self.name)
            tree["uplink"]["port"] = broker or site.port
        self._config.write_text(describe_config(Config.model_validate(tree)), "utf-8")
        self.environment = make_environment(
            root,
            LANTERN_DICOM__PORT=str(self.port),
            LANTERN_PACKS__DIR=str(packs),
            LANTERN_READER__PRECISION="fp32",
            TMPDIR=str(self.temporary),
            **more,
        )

    def start(self) -> None:
        """Power on."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*LANTERN, "serve", "--config", str(self._config)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._sessions.add(self._process.pid)
        self.starts += 1

    def list_processes(self) -> dict[int, psutil.Process]:
        """Every living process of the box by pid, those whose supervisor was killed included."""
        processes = {}
        for pid in psutil.pids():
            try:
                if os.getsid(pid) in self._sessions:
                    process = psutil.Process(pid)
                    if process.status() != psutil.STATUS_ZOMBIE:
                        processes[pid] = process
            except (ProcessLookupError, psutil.Error):
                continue
        return processes

    def list_processes_by_role(self) -> dict[str, psutil.Process]:
        """The oldest living process for each role: between fork and exec a child has its parent's command line."""
        processes: dict[str, psutil.Process] = {}
        for process in (one for _, one in sorted(self.list_processes().items())):
            try:
                words = " ".join(process.cmdline())
            except psutil.Error:
                continue
            role = next((role for role, word in _WORDS.items() if word in words), None)
            if role is not None:
                processes.setdefault(role, process)
        return processes

    def kill(self) -> None:
        """SIGKILL to every process, and none is left."""
        deadline = time.monotonic() + 20
        while family := self.list_processes():
            for process in family.values():
                _kill(process)
            assert time.monotonic() < deadline, "a process of the box cannot be killed"
            time.sleep(0.01)
        if self._process is not None:
            self._process.wait()
            self._process = None
        self._sessions.clear()

    def stop(self) -> int | None:
        """SIGTERM, as systemd does; the exit status of the supervisor.  Whoever is left then is killed."""
        status = None
        if self._process is not None:
            self._process.terminate()
            try:
                status = self._process.wait(30)
            except subprocess.TimeoutExpired:
                status = None
        self.kill()
        return status

    def read_exit_status(self) -> int | None:
        """The exit status of the supervisor when it is no more."""
        return self._process.poll() if self._process is not None else None

    def read_announcement(self, role: str) -> dict[str, str | int | None] | None:
        """What a process that is ready says of itself."""
        return run_status.read_announcement(self.state, role)

    def ready(self, *roles: str, seconds: float = 60.0) -> float:
        """Wait until *roles* are ready; the seconds that took."""
        return wait_until(
            lambda: all(self.read_announcement(role) for role in roles), seconds, f"ready: {', '.join(roles)}"
        )


class Keeper(threading.Thread):
    """What systemd is to the supervisor: starts the box again when it has gone."""

    def __init__(self, clinic: Clinic) -> None:
        super().__init__(name="keeper")
        self._clinic = clinic
        self._enough = threading.Event()

    def run(self) -> None:
        while not self._enough.wait(0.1):
            if self._clinic.read_exit_status() is not None:
                self._clinic.start()

    def stop(self) -> None:
        self._enough.set()
        self.join()


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Return the seconds until *condition* holds; raises `TimeoutError` that names *what*."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - begun


def _kill(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.Error:
        return


def _provision(state: StateDir, site: HospitalRig, name: str) -> dict[str, Any]:
    """The two steps of `lantern provision`, and the settings they give."""
    state.prepare()
    box_identity.begin_identity(state.line_keys, name, site.house.bundle_file)
    _, enrolment = site.house.enrol(state.line_keys / "box.json")
    box_identity.complete_identity(state.line_keys, enrolment)
    return {"state": {"dir": str(state.root)}, **box_identity.make_settings(state.line_keys)}
