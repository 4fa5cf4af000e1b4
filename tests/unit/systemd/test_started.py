"""Every unit of the box is started by something: the machine, the target, a timer, a waiting path, or a stick."""

from __future__ import annotations

import re

from tests.peers import REPOSITORY

UNITS = sorted((REPOSITORY / "systemd" / "units").iterdir())
TRIGGERS = {".timer": ".service", ".path": ".service"}  # systemd.timer(5), systemd.path(5): of the same name


def list_started_units() -> set[str]:
    """What is started, beginning with what systemd and the kernel do by themselves on an installed box."""
    texts = {unit.name: unit.read_text("utf-8") for unit in UNITS}
    rules = "".join(path.read_text("utf-8") for path in (REPOSITORY / "systemd" / "udev").glob("*.rules"))
    begun = {"multi-user.target", *(f"{name}@.service" for name in re.findall(r"SYSTEMD_WANTS.*?=\"(\S+?)@", rules))}
    while True:
        more = {name for name, text in texts.items() if begun & set(_words(text, "WantedBy"))}
        for name in begun & texts.keys():
            more |= {re.sub(r"@.*\.", "@.", word) for word in _words(texts[name], "Wants|Requires|BindsTo")}
            stem, _, kind = name.rpartition(".")
            more |= {f"{stem}{TRIGGERS[f'.{kind}']}"} if f".{kind}" in TRIGGERS else set()
        if more <= begun:
            return begun
        begun |= more


def _words(text: str, keys: str) -> list[str]:
    return [word for line in re.findall(rf"^(?:{keys})=(.+)$", text, re.MULTILINE) for word in line.split()]


def test_every_unit_is_started_by_something() -> None:
    assert {unit.name for unit in UNITS} - list_started_units() == set()


def test_the_screen_and_the_name_of_a_new_box_come_with_the_box() -> None:
    """Not at the next start of the machine only: the technician stands there now."""
    target = (REPOSITORY / "systemd" / "units" / "lantern.target").read_text("utf-8")
    assert {"lantern-console.service", "lantern-mdns.service"} <= set(_words(target, "Wants"))
