"""Entry point of `make demo`: set up both sides, send images, show the results on the box and at the hospital."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from demo import broker, samples, site, tables
from demo.stage import DemoFailed, DemoStage, open_stage
from firmware_app.cli.terminal import NOT_DIAGNOSTIC

_WAIT_S: Final = 120.0
_PAUSE_S: Final = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when the hospital holds a summary of every image, 1 with a sentence otherwise."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when the hospital holds every summary")
    parser.add_argument("--broker", choices=broker.KINDS, help="default: mosquitto where it is installed")
    options = parser.parse_args(arguments)
    try:
        with open_stage() as made:
            _run_demo(made, options.broker, stays=not options.once)
    except KeyboardInterrupt:
        print("\nStopped; everything the demo made is removed.")
        return 130 if options.once else 0
    except DemoFailed as failure:
        print(f"The demo failed: {failure}", file=sys.stderr)
        return 1
    return 0


def _run_demo(made: DemoStage, wanted_broker: str | None, *, stays: bool) -> None:
    begun = time.monotonic()
    made.say(f"A clinic's box and a hospital, both temporary, in {made.folder}. {NOT_DIAGNOSTIC}\n")
    chosen = samples.load_samples()
    place = site.set_up_site(made, wanted_broker)
    made.say(f"Ready after {time.monotonic() - begun:.1f} s.\n")

    made.say(f"{len(chosen)} images go to LANTERN on port {place.dicom_port}, as an X-ray machine would send them.")
    studies = samples.send(chosen, place.dicom_port)
    read = _await_readings(made, studies)
    made.say(f"What the box says:\n\n{tables.format_readings(chosen, read)}\n")
    made.say("Synthetic films come from no patient.\n")

    received = _await_summaries(made, studies)
    made.say("What the hospital gets: no image, no name, no patient id, no age, and times only to the hour.")
    made.show(("lantern-hospital", "summaries", "--dir", "hospital", "--json"))
    made.say(f"\n{tables.format_summaries(received)}\n")

    made.say(f"The hospital holds every summary, {time.monotonic() - begun:.1f} s after the start.\n")

    made.say("A doctor's account, and the one-time code with which she chooses her password:")
    code = site.create_doctor(made)
    if stays:
        _wait_for_interrupt(made, place, code)
    else:  # the viewer is closed before anyone could open its address
        made.say(
            "\nBoth are removed now. Without ONCE=1 they stay, with the viewer to open and the code to type there."
        )


def _wait_for_interrupt(made: DemoStage, place: site.Site, code: str) -> None:
    port = place.viewer_port
    address = f"http://127.0.0.1:{port}/claim"
    made.say(f"\nThe viewer      {address}   user: {site.DOCTOR}   one-time code: {code}")
    made.say("                Open it in a browser here, type the code and choose a password.")
    made.say(f"                From another machine, first:  ssh -L {port}:127.0.0.1:{port} THIS-MACHINE")
    made.say(f"The hospital    {place.hospital_page}")
    made.say(f"Send your own   storescu -aec LANTERN 127.0.0.1 {place.dicom_port} FILE.dcm")
    made.say(f"Ask the box     .venv/bin/lantern case list --config {made.folder / site.CONFIG}")
    made.say("\nIt all stays up until Ctrl-C, which ends it and removes what it stored.")
    signal.pause()


def _await_readings(made: DemoStage, studies: Sequence[str]) -> list[dict[str, Any]]:
    """The case of each study once all have been read."""
    case_of: dict[str, dict[str, Any]] = {}

    def all_read() -> bool:
        case_of.update({case["study_instance_uid"]: case for case in site.list_cases(made)})
        return all(study in case_of and case_of[study]["revision"] > 0 for study in studies)

    made.wait_until(all_read, _WAIT_S, f"not every image was read within {_WAIT_S:.0f} s.", _PAUSE_S)
    return [case_of[study] for study in studies]


def _await_summaries(made: DemoStage, studies: Sequence[str]) -> list[dict[str, Any]]:
    """What the hospital holds, once that is every revision of every case."""
    received: list[dict[str, Any]] = []

    def all_there() -> bool:
        received[:] = site.list_summaries(made)
        there = {(row["case"], row["revision"]) for row in received}
        sent = [case for case in site.list_cases(made) if case["study_instance_uid"] in studies]
        return all((case["case"], number) in there for case in sent for number in range(1, case["revision"] + 1))

    sentence = f"the hospital does not hold every summary after {_WAIT_S:.0f} s."
    made.wait_until(all_there, _WAIT_S, sentence, _PAUSE_S)
    return received


if __name__ == "__main__":
    sys.exit(main())
