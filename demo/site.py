"""The hospital and the box: set up, provisioned, enrolled and started by the commands that people use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from demo import broker
from demo.stage import BackgroundProcess, DemoFailed, DemoStage, find_free_port
from firmware_app.core import run_status

BOX: Final = "demo-clinic"
CONFIG: Final = "lantern.toml"
DOCTOR: Final = "doctor"
_READY_S: Final = 60.0

# What a clinic decides for itself; everything about the hospital is added by `lantern provision`.
_SETTINGS: Final = """\
[box]
name = "Lantern demo"
language = "{language}"
[state]
dir = "{folder}/box"
[dicom]
host = "127.0.0.1"
port = 0
[viewer]
host = "127.0.0.1"
port = 0
[calibration]
before = 0
[retention]
high_water_free_mb = 64
ballast_mb = 0
"""


@dataclass(frozen=True, slots=True)
class Site:
    """What the rest of the demo needs to know about both sides."""

    dicom_port: int
    viewer_port: int
    hospital_page: str


def set_up_site(stage: DemoStage, wanted_broker: str | None) -> Site:
    """Set up both sides; returns when all their processes are ready.  Raises `DemoFailed`."""
    port = find_free_port()
    stage.say("The hospital makes its keys and starts its broker:")
    at_hospital = ("--dir", "hospital", "--json")
    stage.run("lantern-hospital", "keys", "new", "--host", "127.0.0.1", "--port", str(port), *at_hospital)
    broker.start(stage, port, wanted_broker)

    stage.say("\nThe box makes its own keys, the hospital enrols it, the box takes the answer:")
    (stage.folder / CONFIG).write_text(_SETTINGS.format(folder=stage.folder, language=choose_language()), "utf-8")
    of_box = ("--config", CONFIG, "--json")
    (asked,) = stage.run("lantern", "provision", "--id", BOX, "--hospital", "hospital/hospital.json", *of_box)
    (enrolled,) = stage.run("lantern-hospital", "enrol", "box/line/box.json", *at_hospital)
    if asked["fingerprint"] != enrolled["fingerprint"]:
        raise DemoFailed("the box and the hospital see different fingerprints.")
    answer = f"hospital/boxes/{BOX}.enrolment.json"
    stage.run("lantern", "provision", "--enrolment", answer, "--write", CONFIG, *of_box)
    stage.say("\nA person confirms the machine's clock; without that, times are marked as unconfirmed:")
    stage.run("lantern", "clock", "set", *of_box)

    stage.say("\nBoth start:")
    broker.wait(stage, port)
    hospital = stage.start("hospital", "lantern-hospital", "serve", "--page-port", "0", *at_hospital)
    box = stage.start("box", "lantern", "serve", *of_box)
    return _wait(stage, hospital, box)


def choose_language() -> str:
    """The language of the box's sentences, chosen as its setting is: by `LANTERN_BOX__LANGUAGE`."""
    return os.environ.get("LANTERN_BOX__LANGUAGE", "en")


def create_doctor(stage: DemoStage) -> str:
    """A code with which the demo's doctor chooses a password in the browser."""
    (answer,) = stage.run("lantern", "user", "add", DOCTOR, "--role", "doctor", "--config", CONFIG, "--json")
    return str(answer["code"])


def list_cases(stage: DemoStage) -> list[dict[str, Any]]:
    """The box's cases, as `lantern case list` prints them."""
    return [case for case in stage.ask("lantern", "case", "list", "--config", CONFIG, "--json") if case["case"]]


def list_summaries(stage: DemoStage) -> list[dict[str, Any]]:
    """The summaries that the hospital has opened and counted, as `lantern-hospital summaries` prints them."""
    return stage.ask("lantern-hospital", "summaries", "--dir", "hospital", "--json")


def _wait(stage: DemoStage, hospital: BackgroundProcess, box: BackgroundProcess) -> Site:
    ready: dict[str, dict[str, Any]] = {}
    page: list[str] = []

    def is_ready() -> bool:
        page[:] = [event["page"] for event in hospital.read_events() if event["event"] == "listening"]
        events = box.read_events()
        if gone := [event for event in events if event["event"] == "ended"]:
            raise DemoFailed(f"{gone[0]['process']} ended with status {gone[0]['status']}.\n{box.read_log_end()}")
        ready.update({event["process"]: event for event in events if event["event"] == "ready"})
        return bool(page) and {*run_status.PROCESSES, "uplink"} <= ready.keys()

    stage.wait_until(is_ready, _READY_S, f"the box and the hospital were not ready within {_READY_S:.0f} s.")
    return Site(int(ready["gateway"]["port"]), int(ready["viewer"]["port"]), page[0])
