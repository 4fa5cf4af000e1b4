"""`make demo`: a throw-away box on this machine that is sent real images over a real DICOM association.

The real images come from the PyPI package pydicom-data; the two children's films are synthetic golden cases of the
shipped pack, wrapped as DICOM here and marked as made by code.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE

from firmware_app.cli import NOT_DIAGNOSTIC
from firmware_app.device import presence
from firmware_app.packs import shelf

_REAL: Final = (
    ("RG1_UNCR.dcm", "adult chest film RG1"),
    ("RG3_J2KR.dcm", "leg film RG3, JPEG 2000"),
    ("US1_J2KR.dcm", "ultrasound US1, JPEG 2000"),
    ("JPGLosslessP14SV1_1s_1f_8b.dcm", "ultrasound, JPEG lossless"),
    ("693_UNCR.dcm", "CT slice 693"),
    ("MR2_UNCR.dcm", "MR slice MR2"),
)
_WAIT_S: Final = 120.0


@dataclass(frozen=True)
class Sample:
    """One object to send: what it is, in words, and whether a patient ever stood behind it."""

    title: str
    origin: str  # "real" or "synthetic"
    dataset: Dataset


class DemoFailed(Exception):
    """The demo could not do what it promises; the message is for the person who ran it."""


def main() -> int:
    """Entry point of `make demo`.  Returns 0 when every image was answered for, 1 with a sentence otherwise."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when the table is complete")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    state = Path(tempfile.mkdtemp(prefix="lantern-demo-"))
    try:
        with _box(state) as events:
            port = _wait_ready(events)
            samples = [*_real_samples(), *_synthetic_samples()]
            print(f"Sending {len(samples)} images to LANTERN on port {port} …", flush=True)
            sent = _send(samples, port)
            _print_table(samples, _readings(state, sent))
            if not options.once:
                print(f"\nThe box stays up. Send it your own:  storescu -aec LANTERN 127.0.0.1 {port} FILE.dcm")
                print("and see them:  " + f"LANTERN_STATE__DIR={state} .venv/bin/lantern case list")
                print("Ctrl-C ends it and removes what it stored.", flush=True)
                signal.pause()
    except KeyboardInterrupt:
        print("\nStopped; the demo's state was removed.")
    except DemoFailed as failure:
        print(f"The demo failed: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(state, ignore_errors=True)
    return 0


# --- the box ------------------------------------------------------------------------------------------------------


def _environment(state: Path) -> dict[str, str]:
    return {
        **os.environ,
        "LANTERN_STATE__DIR": str(state),
        "LANTERN_DICOM__HOST": "127.0.0.1",
        "LANTERN_DICOM__PORT": "0",
        "LANTERN_VIEWER__HOST": "127.0.0.1",
        "LANTERN_VIEWER__PORT": "0",
        "LANTERN_BOX__LANGUAGE": os.environ.get("LANTERN_BOX__LANGUAGE", "en"),
        "LANTERN_LOG": os.environ.get("LANTERN_LOG", "WARNING"),
    }


@contextlib.contextmanager
def _box(state: Path) -> Iterator[IO[str]]:
    """A running `lantern serve` on *state*; yields its events, one JSON object per line."""
    command = [sys.executable, "-m", "firmware_app.cli", "serve", "--json"]
    process = subprocess.Popen(command, env=_environment(state), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def _wait_ready(events: IO[str]) -> int:
    """The DICOM port, once every process of the box has said that it is ready."""
    waiting, port = set(presence.PROCESSES), 0
    for line in events:
        event = json.loads(line)
        if event["event"] == "ended":
            raise DemoFailed(f"{event['process']} ended with status {event['status']}; see the log above.")
        if event["event"] == "ready":
            waiting.discard(event["process"])
            port = event["port"] if event["process"] == "gateway" else port
        if not waiting:
            return port
    raise DemoFailed("the box ended before it was ready; see the log above.")


# --- what is sent -------------------------------------------------------------------------------------------------


def _real_samples() -> list[Sample]:
    try:
        import data_store
    except ImportError:
        raise DemoFailed("the package pydicom-data is missing; run it through `make demo`.") from None
    folder = Path(data_store.__file__).parent / "data"
    return [Sample(title, "real", dcmread(folder / name)) for name, title in _REAL]


def _synthetic_samples() -> list[Sample]:
    """Of the golden films that the children's pack carries, the first below its threshold and the first above."""
    pack = next((p for p in shelf.list_packs(shelf.shipped_packs_dir()) if p.name == "chest-xray-child"), None)
    if pack is None:
        raise DemoFailed("the pack chest-xray-child is missing from this installation.")
    finding = pack.manifest.findings[0]
    films = [
        (golden.expected["fp32"][finding.code] >= finding.threshold, pack.folder / golden.path)
        for golden in pack.manifest.golden
        if golden.kind == "sample" and golden.path
    ]
    chosen = [next(path for found, path in films if found is wanted) for wanted in (False, True)]
    return [Sample(f"child of 3, {path.stem}", "synthetic", _film(path)) for path in chosen]


def _film(path: Path) -> Dataset:
    """The golden PNG at *path* as a Computed Radiography object (PS3.3 A.2) of a three-year-old made by code."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"), np.uint8)
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID = ComputedRadiographyImageStorage
    film.SOPInstanceUID = generate_uid()
    film.StudyInstanceUID = generate_uid()
    film.SeriesInstanceUID = generate_uid()
    film.PatientName, film.PatientID, film.PatientAge = "Made^By^Code", "SYNTHETIC", "003Y"
    film.PatientBirthDate = film.PatientSex = film.StudyDate = film.StudyTime = film.AccessionNumber = ""
    film.ReferringPhysicianName = film.StudyID = film.Manufacturer = ""
    film.SeriesNumber = film.InstanceNumber = 1
    film.Modality, film.BodyPartExamined, film.ViewPosition = "CR", "CHEST", "AP"
    film.Rows, film.Columns = pixels.shape
    film.SamplesPerPixel, film.PhotometricInterpretation, film.PixelRepresentation = 1, "MONOCHROME2", 0
    film.BitsAllocated = film.BitsStored = 8
    film.HighBit = 7
    film.PixelData = pixels.tobytes()
    return film


def _send(samples: list[Sample], port: int) -> list[str]:
    """C-STORE every sample over one association; returns their SOP Instance UIDs."""
    sender = AE("DEMO")
    for sample in samples:
        sender.add_requested_context(sample.dataset.SOPClassUID, sample.dataset.file_meta.TransferSyntaxUID)
    association = sender.associate("127.0.0.1", port, ae_title="LANTERN")
    if not association.is_established:
        raise DemoFailed("the box did not accept the association.")
    try:
        for sample in samples:
            status = association.send_c_store(sample.dataset)
            if "Status" not in status or status.Status != 0:
                raise DemoFailed(f"the box did not keep “{sample.title}”: {status.get('ErrorComment', 'no answer')}.")
    finally:
        association.release()
    return [str(sample.dataset.StudyInstanceUID) for sample in samples]


# --- what came out ------------------------------------------------------------------------------------------------


def _readings(state: Path, studies: list[str]) -> list[dict[str, Any]]:
    """The case of each study, as `lantern case list --json` prints it, once all have been read."""
    deadline = time.monotonic() + _WAIT_S
    command = [sys.executable, "-m", "firmware_app.cli", "case", "list", "--json"]
    while time.monotonic() < deadline:
        listed = subprocess.run(command, env=_environment(state), stdout=subprocess.PIPE, text=True, check=True).stdout
        cases = {case["study_instance_uid"]: case for case in map(json.loads, listed.splitlines())}
        if all(study in cases and cases[study]["revision"] > 0 for study in studies):
            return [cases[study] for study in studies]
        time.sleep(0.1)
    raise DemoFailed(f"not every image was read within {_WAIT_S:.0f} s; “lantern doctor” says more.")


def _print_table(samples: list[Sample], cases: list[dict[str, Any]]) -> None:
    rows = [("image", "", "result", "probability", "threshold", "pack", "runtime", "ms")]
    for sample, case in zip(samples, cases, strict=True):
        rows.append((sample.title, sample.origin, *_result(case)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    reasons = {
        f"{reading['reason']['code']}: {reading['reason']['text']}"
        for case in cases
        for reading in case["readings"]
        if reading["reason"]
    }
    print("\n" + "\n".join(sorted(reasons)))
    print(f"\n{NOT_DIAGNOSTIC} Synthetic films come from no patient.", flush=True)


def _result(case: dict[str, Any]) -> tuple[str, str, str, str, str, str]:
    reading = case["readings"][0]
    milliseconds = f"{reading['milliseconds']['total']:.0f}"
    if reading["status"] == "cannot-judge":
        return f"cannot judge: {reading['reason']['code']}", "", "", "", "", milliseconds
    finding, pack = reading["findings"][0], reading["pack"]
    verdict = f"{finding['label']}: {'found' if finding['positive'] else 'not found'}"
    return (
        verdict,
        f"{finding['probability']:.2f}",
        f"{finding['threshold']:.2f}",
        f"{pack['name']} {pack['version']}",
        f"{pack['runtime']} {pack['precision']}",
        milliseconds,
    )


if __name__ == "__main__":
    sys.exit(main())
