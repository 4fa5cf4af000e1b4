"""An image that is right but for a UID that breaks PS3.5 9.1, or for bytes behind it: taken, and noted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pydicom import config as pydicom_config
from pydicom import dcmread

from tests import films, reading_rig
from tests.exporting_rig import Box
from tests.exporting_rig import box as box
from tests.objects import EXPLICIT, film
from tests.peers import peer
from tests.wire.gateways import Running
from tests.wire.raw import RawClient

CR = "1.2.840.10008.5.1.4.1.1.1"
LONG = "1.2." + "3" * 75
ODD = "1..2"


@pytest.fixture
def long_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for mode in ("_writing_validation_mode", "reading_validation_mode"):
        monkeypatch.setattr(pydicom_config.settings, mode, pydicom_config.IGNORE)
    made = reading_rig.tiny_film(1, SOPInstanceUID=LONG, StudyInstanceUID=LONG + "4", SeriesInstanceUID=ODD)
    folder = tmp_path / "long"
    folder.mkdir()
    return films.save(folder, "long.dcm", made)


def test_an_association_brings_it_in_and_dcmtk_does_which_announces_64_characters(
    gateway: Running, long_film: Path
) -> None:
    sent = subprocess.run([peer("storescu"), "127.0.0.1", str(gateway.port), str(long_film)], check=False)
    with RawClient(gateway.port, [(CR, [EXPLICIT])]) as client:
        assert client.store(CR, LONG + "5", film(sop_class=CR, sop_instance=LONG + "5")).status == 0
        client.release()
    assert (sent.returncode, gateway.outcomes()) == (0, [("accepted", None)] * 2)
    kept = gateway.clinical.database.connection.execute("SELECT sop_uid FROM instances ORDER BY sequence").fetchall()
    assert [row[0] for row in kept] == [LONG, LONG + "5"]
    assert len(gateway.files()) == 2


def test_it_leaves_de_identified_under_valid_uids(box: Box, long_film: Path) -> None:
    case = box.take(long_film)
    assert box.run(case=case) == 0
    left = dcmread(box.stick / case / "00001.dcm")
    for uid in (left.SOPInstanceUID, left.StudyInstanceUID, left.SeriesInstanceUID):
        assert uid.is_valid
