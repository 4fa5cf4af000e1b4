"""The gateway as a process of its own, for tests that kill it: prints its port as JSON, ends on SIGTERM."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading

from firmware_app.appliance.processes import gateway
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    config = Config.model_validate_json(sys.argv[1])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    state = StateDir(config.state.dir)
    state.prepare()
    ClinicalDatabase(state.clinical_db).create()
    gateway.run(config, lambda facts: print(json.dumps(dict(facts)), flush=True), stop)


if __name__ == "__main__":
    main()
