"""Run in the place of the reader: makes so many cases, one in ten urgent, one in seven with a late image; relays."""

from __future__ import annotations

import random
import select
import sys
from pathlib import Path

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock
from firmware_app.core.records import Priority
from firmware_app.core.settings import load_config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.relay import Relay
from tests.wire.line_rig import make_case


def main(config_file: str, cases: str, seed: str) -> None:
    config = load_config(Path(config_file), {})
    state = StateDir(config.state.dir)
    clock.start_clock(state, "reader")
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    relay = Relay.from_config(config, state, clinical)
    assert relay is not None
    for number in range(max(clinical.count_queue().cases - 1, 0), int(cases)):
        chance = random.Random(f"{seed}/{number}")
        priority = Priority.URGENT if chance.random() < 0.1 else Priority.ROUTINE
        make_case(clinical, number, priority)
        if chance.random() < 1 / 7:
            make_case(clinical, number, priority, image=1)
        relay.step()
        _pause()  # spread over the time in which the test kills
    print("all made", file=sys.stderr, flush=True)
    while True:
        relay.step()
        _pause()


def _pause() -> None:
    select.poll().poll(20)  # libfaketime 0.9.10 breaks time.sleep


if __name__ == "__main__":
    main(*sys.argv[1:])
