"""A file system that is really full, at the one door of all images."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.errors import SpaceShort
from firmware_app.ingest.intake import ImageIntake
from tests.objects import file_of, film, new_uid
from tests.peers import need_root
from tests.small_disk import small_disk


@pytest.mark.parametrize("options", ["size=24m", "size=64m,nr_inodes=40"])
def test_a_really_full_disk_is_space_short_and_loses_nothing(tmp_path: Path, options: str) -> None:
    need_root()
    with small_disk(tmp_path / "small", options) as mount:
        state = StateDir(mount / "state")
        state.prepare()
        clinical = ClinicalDatabase(state.clinical_db)
        clinical.create()
        door = ImageIntake(state, clinical, high_water_free_mb=0, max_object_mb=64)
        given, accepted = tmp_path / "given", 0
        with pytest.raises(SpaceShort):  # noqa: PT012 - the number that fitted is part of what is asserted
            for _ in range(40):
                given.write_bytes(file_of(film(rows=700, columns=800, sop_instance=new_uid())))
                door.accept_file(given)
                accepted += 1
        rows = clinical.database.connection.execute("SELECT file, sha256 FROM instances").fetchall()
        assert len(rows) == accepted > 3
        assert all(sha256((state.root / row[0]).read_bytes()).hexdigest() == row[1] for row in rows)
        assert len([path for path in state.images.rglob("*") if path.is_file()]) == accepted
        assert list(state.incoming.iterdir()) == []
        clinical.database.close()
