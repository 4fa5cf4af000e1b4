"""The pieces of the attacks do what they say: a proxy that never failed and an auditor that never complained prove
nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests import reading_rig
from tests.faults import shifted_clock
from tests.faults.ledger import Ledger, audit, digest_of_file
from tests.faults.loopfs import loop_file_system
from tests.faults.receivers import Storescp
from tests.faults.storescu import Sender, make_series


def test_a_process_believes_the_shifted_clock_and_its_jumps(tmp_path: Path) -> None:
    clock = shifted_clock.ShiftedClock(tmp_path, shifted_clock.EPOCH)
    tell = "import time\nwhile input():\n    print(time.gmtime().tm_year, flush=True)"
    environment = {**os.environ, **clock.environment}
    with subprocess.Popen(
        [sys.executable, "-c", tell], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        years = []
        for time in (shifted_clock.EPOCH, shifted_clock.END_OF_32_BIT):
            clock.set(time)
            process.stdin.write("?\n")
            process.stdin.flush()
            years.append(int(process.stdout.readline()))
        process.kill()
    assert years == [1970, 2038]


def test_the_auditor_misses_what_is_gone_and_sees_what_was_done_twice(tmp_path: Path) -> None:
    with reading_rig.rig(reading_rig.config(tmp_path)) as box:
        films = [reading_rig.tiny_film(number) for number in range(3)]
        instances = [box.admit(film) for film in films]
        with reading_rig.reader(box) as reader:
            reading_rig.read_all(reader)
        root = box.state.root
        promised = {
            str(film.SOPInstanceUID): digest_of_file((root / instance.file).read_bytes())
            for film, instance in zip(films, instances, strict=True)
        }
        (root / instances[0].file).unlink()
        whole = bytearray((root / instances[1].file).read_bytes())
        whole[-1] ^= 1
        (root / instances[1].file).write_bytes(whole)
    twice = sqlite3.connect(box.state.clinical_db)
    twice.execute(
        "INSERT INTO readings SELECT 'again', case_reference, body, at FROM readings WHERE key = ?",
        (instances[2].reference,),
    )
    twice.execute("UPDATE cases SET revision = 2 WHERE reference = ?", (instances[2].case,))
    twice.commit()
    twice.close()
    audited = audit(root)
    uids = [str(film.SOPInstanceUID) for film in films]
    assert audited.lost(promised) == sorted(uids[:2])
    assert audited.read_twice == [uids[2]]
    assert audited.twice_revised == [uids[2]]
    assert audited.unread({"2.25.1": ""}) == ["2.25.1"]


def test_an_answer_after_the_cut_is_no_promise(tmp_path: Path) -> None:
    ledger = Ledger()
    with loop_file_system(tmp_path) as disk:
        ledger.acknowledge("2.25.1", "before", 0.0)
        cut = disk.cut_power()
        ledger.acknowledge("2.25.2", "the machine lives on", 0.0)
        disk.restore_power()
    assert ledger.list_acknowledged_before(cut) == {"2.25.1": "before"}
    assert set(ledger.snapshot()) == {"2.25.1", "2.25.2"}


def test_the_sender_of_the_durability_experiment_stamps_what_it_hears(tmp_path: Path) -> None:
    (tmp_path / Storescp.store).mkdir()
    series = make_series(tmp_path / "series", 4, seed=1)
    with Storescp().running(tmp_path) as port:
        sender = Sender(port, series, one_association=False)
        begun = time.monotonic()
        sender.await_successes(1)
        cut = time.monotonic()
        sender.await_successes(len(series))
        sender.stop()
    assert sender.count_successes_before(begun) == 0
    assert 1 <= sender.count_successes_before(cut) < len(series) == sender.successes
