"""The deletion of old cases, killed at every step."""

from __future__ import annotations

import shutil
from pathlib import Path

from firmware_app.cases.audit import Audit
from firmware_app.cases.case_deletion import CaseDeletion
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir
from tests.finished import kill_at_call, list_case_files, make_finished_cases
from tests.unit.cases.test_clearing import clear, files_with_a_row


def test_a_kill_at_any_file_operation_leaves_each_case_whole_or_gone(tmp_path: Path) -> None:
    whole, clinical, _, cases = make_finished_cases(tmp_path / "whole", [200, 150, 1])
    clinical.database.close()
    killed = 0
    for call in range(0, 45, 3):
        state = StateDir(Path(shutil.copytree(whole.root, tmp_path / str(call))))
        killed += kill_at_call(call, lambda state=state: _cleared_anew(state))  # type: ignore[misc]
        clinical = ClinicalDatabase(state.clinical_db)
        listed = {row[0] for row in clinical.database.connection.execute("SELECT name FROM leaving")}
        assert files_with_a_row(clinical) <= list_case_files(state), "a case that is there has its files"
        unknown = {name for name in list_case_files(state) if name.startswith("images/")} - files_with_a_row(clinical)
        assert unknown <= listed, "a file without a row is known to leave"
        assert Audit(clinical.database).verify()[0]
        clearing = CaseDeletion(state, clinical)
        clearing.finish()
        clear(clearing)
        assert [case.reference for case in clinical.load_cases()] == cases[2:]
        assert len(list_case_files(state)) == 3
        clinical.database.close()
    assert killed > 5


def _cleared_anew(state: StateDir) -> None:
    clear(CaseDeletion(state, ClinicalDatabase(state.clinical_db)))
