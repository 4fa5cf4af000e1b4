"""Promise 1: acknowledged means kept.  The power is cut one instruction after the last 0x0000."""

from __future__ import annotations

import hashlib
from pathlib import Path

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir
from tests.faults.loopfs import loop_file_system
from tests.objects import EXPLICIT, film, new_uid
from tests.wire.gateways import process
from tests.wire.raw import RawClient

CT = "1.2.840.10008.5.1.4.1.1.2"
IMAGES = 50


def test_fifty_of_fifty_acknowledged_images_survive_a_power_cut(tmp_path: Path) -> None:
    with loop_file_system(tmp_path) as disk:
        sent: dict[str, bytes] = {}
        with process(disk.mount / "state") as gateway:
            assert gateway.process is not None
            with RawClient(gateway.port, [(CT, [EXPLICIT])]) as client:
                for _ in range(IMAGES):
                    instance = new_uid()
                    data_set = film(sop_class=CT, sop_instance=instance, rows=256, columns=256)
                    assert client.store(CT, instance, data_set).status == 0
                    sent[instance] = data_set
                disk.cut_power()
            gateway.process.kill()
            gateway.process.wait()
        disk.restore_power()
        assert read_kept_images(StateDir(disk.mount / "state")) == {
            uid: hashlib.sha256(data).hexdigest() for uid, data in sent.items()
        }


def test_an_image_cut_off_midway_is_gone_and_the_box_takes_it_again(tmp_path: Path) -> None:
    with loop_file_system(tmp_path) as disk:
        instance = new_uid()
        data_set = film(sop_class=CT, sop_instance=instance, rows=512, columns=512)
        with process(disk.mount / "state") as gateway:
            assert gateway.process is not None
            with RawClient(gateway.port, [(CT, [EXPLICIT])]) as client:
                client.begin_store(CT, instance)
                client.send_fragments(1, data_set[:300_000], command=False, size=16000, last=False)
                disk.cut_power()
                client.send_fragments(1, data_set[300_000:], command=False, size=16000)
                assert client.answer().status != 0  # a dead disk is never a success
            gateway.process.kill()
            gateway.process.wait()
        disk.restore_power()
        assert read_kept_images(StateDir(disk.mount / "state")) == {}
        with process(disk.mount / "state") as again, RawClient(again.port, [(CT, [EXPLICIT])]) as client:
            assert client.store(CT, instance, data_set).status == 0
            client.release()
            assert len(again.files()) == 1
            assert again.incoming() == []


def read_kept_images(state: StateDir) -> dict[str, str]:
    """SOP Instance UID → sha256 of the data set, of every image that has its row and whose bytes are intact."""
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        clinical.create()
        assert clinical.database.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        digests = {}
        for row in clinical.database.connection.execute("SELECT sop_uid, file, sha256, bytes FROM instances"):
            content = (state.root / row["file"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
            assert len(content) == row["bytes"]
            data_set = content[132 + 12 + int.from_bytes(content[140:144], "little") :]
            digests[row["sop_uid"]] = hashlib.sha256(data_set).hexdigest()
        return digests
    finally:
        clinical.database.close()
