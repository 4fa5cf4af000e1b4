"""The demo's MQTT broker: mosquitto where it is installed, otherwise amqtt in a process of its own.

Both use TLS with the hospital's certificates.  mosquitto also enforces an ACL, as at a real hospital; amqtt supports
MQTT 3.1.1 only and has no ACL, which is good enough for one box on one machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import Final

from demo.stage import BackgroundProcess, DemoFailed, DemoStage, is_listening

KINDS: Final = ("mosquitto", "embedded")
_START_S: Final = 15.0
_CONFIG: Final = "hospital/broker/mosquitto.conf"


def start(stage: DemoStage, port: int, wanted: str | None = None) -> BackgroundProcess:
    """A broker on *port* for the hospital in the stage's folder; returns before it listens.  Raises `DemoFailed`."""
    program = _find_mosquitto()
    if wanted == "mosquitto" and program is None:
        raise DemoFailed("mosquitto is not installed; on Debian: apt install mosquitto.")
    if program is None or wanted == "embedded":
        stage.say("(Without mosquitto the broker is Python's amqtt; connecting takes both sides ten seconds longer.)")
        return stage.start("broker", sys.executable, "-m", "demo.embedded", str(port), "hospital/tls")
    config = (stage.folder / _CONFIG).read_text("utf-8")
    config = config.replace(f"listener {port}\n", f"listener {port} 127.0.0.1\n")
    (stage.folder / _CONFIG).write_text(config, "utf-8")
    return stage.start("broker", program, "-c", _CONFIG)


def wait(stage: DemoStage, port: int) -> None:
    """Return when the broker listens; raises `DemoFailed`."""
    stage.wait_until(lambda: is_listening(port), _START_S, f"the broker does not listen on port {port}.")


def _find_mosquitto() -> str | None:
    """The program's path; Debian keeps it where only root looks."""
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))
