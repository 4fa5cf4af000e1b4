"""The page of the models: which is used since when, and one tap back to the version before, done by the reader once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_app.cases.accounts import Role
from firmware_app.cases.audit import Audit
from firmware_app.cases.pack_changes import PackChanges, PackTrials
from firmware_app.core import run_status
from firmware_app.core.settings import Config
from firmware_app.packs.pack_store import PackStore
from firmware_app.reading import trial_runner
from tests.publishing_rig import NAME, PackPublisher
from tests.viewer import HTML, Desk, post


@pytest.fixture
def world(desk: Desk, tmp_path: Path) -> PackPublisher:
    made = PackPublisher(tmp_path / "publisher")
    made.store = PackStore(desk.state.packs, made.store.shipped)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        made.publish(version)
    made.install(version="1.1.0", root=made.root)
    made.install(version="1.2.0")
    packs = {"dir": made.store.shipped}
    desk.config = Config.model_validate({**desk.config.model_dump(), "packs": packs})
    desk.app = desk.restarted()
    return made


def test_one_tap_goes_back_one_version_and_is_audited_under_the_person(desk: Desk, world: PackPublisher) -> None:
    technician = desk.person("zhou", Role.TECHNICIAN)
    page = technician.get("/models", headers=HTML).text
    for text in (f"{NAME} 1.2.0", "in use since", "Go back to 1.1.0", "does not run"):
        assert text in page, text
    with run_status.hold_process_lock(desk.state, "reader"):
        run_status.announce_process(desk.state, "reader", {"packs": f"{NAME} 1.2.0 (onnxruntime int8)"})
        assert "onnxruntime int8" in technician.get("/models", headers=HTML).text
    assert post(technician, f"/models/{NAME}/back").status_code == 303
    assert "asked for by zhou" in technician.get("/models", headers=HTML).text
    assert trial_runner.apply_pack_changes(desk.config, desk.clinical.database)
    assert not trial_runner.apply_pack_changes(desk.config, desk.clinical.database)
    page = technician.get("/models", headers=HTML).text
    assert f"{NAME} 1.1.0" in page
    assert "Go back" not in page  # nothing lower is left on the box
    assert post(technician, f"/models/{NAME}/back").status_code == 404
    entries = [(one.actor, one.action) for one in Audit(desk.clinical.database).latest(9)]
    assert ("zhou", "pack.rollback_asked") in entries
    assert ("zhou", "pack.rolled_back") in entries


@pytest.mark.parametrize(
    ("licence", "said", "in_chinese"),
    [
        (None, ": not stated.", "：未注明。"),
        ("Apache-2.0", ": Apache-2.0.", "：Apache-2.0。"),
        (
            "CC-BY-NC-4.0",
            ": CC BY-NC 4.0. They learnt from non-commercial data: for research and non-commercial use only.",
            "：CC BY-NC 4.0。训练所用数据限非商业用途：仅供科研及非商业使用。",
        ),
    ],
)
def test_each_model_says_under_which_licence_its_weights_may_be_used(
    desk: Desk, world: PackPublisher, licence: str | None, said: str, in_chinese: str
) -> None:
    path = world.store.folder_of(NAME, "1.2.0") / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "weights_licence": licence}))
    technician = desk.person("zhou", Role.TECHNICIAN)
    page = technician.get("/models", headers=HTML).text
    assert page.count("Licence of the weights") == 1
    assert f"Licence of the weights{said}" in page
    with technician.session_transaction() as session:
        session["language"] = "zh_CN"
    assert f"模型权重的使用许可{in_chinese}" in technician.get("/models", headers=HTML).text


def test_a_reader_killed_in_the_middle_goes_back_once(desk: Desk, world: PackPublisher) -> None:
    changes = PackChanges(desk.clinical.database)
    changes.request_change(NAME, "1.2.0", "zhou")
    [change] = changes.list_requested()
    trial_runner._apply_pack_change(
        world.store, change, PackTrials(desk.clinical.database)
    )  # and killed before it was noted
    assert trial_runner.apply_pack_changes(desk.config, desk.clinical.database)
    assert world.store.find_linked_version(NAME) == "1.1.0"
    assert changes.list_requested() == []
