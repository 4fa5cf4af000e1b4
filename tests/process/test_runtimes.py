"""The runtimes' libraries in a process of their own: what they load, whom they tell, which signals they leave."""

import os
import subprocess
import sys
from pathlib import Path

from tests.peers import peer
from tests.unit.packs.test_runtimes import model as model
from tests.unit.packs.test_runtimes import runtime as runtime


def test_a_signal_is_still_handled_when_models_have_gone_in_any_order(
    tmp_path: Path, model: Path, runtime: str
) -> None:
    """What a library left of its own signal stack would end the process here, without a word."""
    lines = (
        "import gc, signal, sys\n"
        "from pathlib import Path\n"
        "from firmware_app.packs.runtimes import registry as choice\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled'))\n"
        "first, second = (choice.get_runtime(sys.argv[1]).load(Path(sys.argv[2])) for _ in range(2))\n"
        "del first\ngc.collect()\ndel second\ngc.collect()\n"
        "signal.raise_signal(signal.SIGUSR1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", lines, runtime, str(model)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_a_runtime_reports_to_nobody(tmp_path: Path, runtime: str) -> None:
    """The wheels of two carry a telemetry client: ONNX Runtime's leaves its id in the temporary folder once it runs,
    OpenVINO's in the home folder when it is imported, and asks for its maker's address."""
    code = (
        f"from firmware_app.packs.runtimes import registry; print(registry.get_runtime('{runtime}').probe().available)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    trace = tmp_path / "trace"
    command = [peer("strace"), "-f", "-e", "trace=network", "-o", str(trace), sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert [path.name for path in tmp_path.iterdir() if path != trace] == []
    assert "AF_INET" not in trace.read_text()
