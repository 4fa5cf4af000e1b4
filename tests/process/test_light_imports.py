"""What a program loads, and what it does without."""

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.converters.test_evaluate import folder as folder
from tests.unit.converters.test_evaluate import pack as pack


def test_evaluating_needs_no_pytorch(pack: Path, folder: Path) -> None:
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom converters import cli\n"
        f"raise SystemExit(cli.main(['evaluate', {str(pack)!r}, '--data', {str(folder)!r}, '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 12


def test_the_arithmetic_needs_no_numpy() -> None:
    code = "import sys, firmware_app.packs.prevalence_adjustment; raise SystemExit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_viewer_loads_no_runtime_and_no_dicom() -> None:
    forbidden = (
        "firmware_app.packs.runtimes.onnxruntime",
        "firmware_app.ingest.intake",
        "onnxruntime",
        "openvino",
        "pydicom",
        "pynetdicom",
        "gdcm",
    )
    script = (
        "import sys, web.server, web.app, web.blueprints.cases, web.blueprints.health\n"
        f"print([m for m in {forbidden!r} if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], text=True, capture_output=True, check=True).stdout == "[]\n"
