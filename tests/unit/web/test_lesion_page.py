"""The page of a case tells its lesions in the report's words, shows what should follow, and takes the background."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.records import (
    Feature,
    Finding,
    Header,
    Instance,
    Lesion,
    PackIdentity,
    Priority,
    Reading,
    ReadingStatus,
    Scope,
    Timing,
)
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs.manifest import Manifest
from firmware_app.reading import reader_steps
from firmware_app.results import case_text
from tests import toy_pack
from tests.viewer import HTML, PASSWORD, Silent, post
from web.app import create_app
from web.case_page import Image

OUTLINE = ((10.0, 10.0), (50.0, 10.0), (30.0, 40.0))
MASS = Lesion(
    "",
    0,
    (10.0, 10.0, 50.0, 40.0),
    0.9,
    long_axis_mm=12.0,
    short_axis_mm=8.0,
    tags={"finding": "bright"},
    picture=(90, 90),
    outline=OUTLINE,
    axes=((10.0, 10.0, 50.0, 10.0), (30.0, 10.0, 30.0, 40.0)),
    features=(Feature("shape", "irregular", 0.8),),
)


@dataclass
class Desk:
    """A viewer with one ultrasound case that has a lesion, read by a pack with rules, and a doctor at it."""

    clinical: ClinicalDatabase
    manifest: Manifest
    case: str
    doctor: FlaskClient

    def page(self, more: str = "") -> str:
        return self.doctor.get(f"/case/{self.case}{more}", headers=HTML).text

    def close(self) -> None:
        manifests = {"toy": self.manifest}
        self.clinical.close_revisions(
            0, advise=lambda case, known: reader_steps.advise_follow_up(case, manifests, known)
        )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    pack = toy_pack.write(tmp_path / "packs", "toy", "adult", 18, None)
    manifest = json.loads((pack / "manifest.json").read_text())
    words = {"en": "See a doctor soon.", "zh": "请尽快就诊。"}
    row = {"advice": words, "rule": {"en": "Rule A"}, "source": "Guideline, 2020;1:2", "finding": "bright"}
    manifest["follow_up"] = {
        "background": [{"code": "family", "label": {"en": "Illness in the family"}}],
        "rows": [{**row, "code": "seen"}, {**row, "code": "raised", "background": ["family"]}],
    }
    (pack / "manifest.json").write_text(json.dumps(manifest))
    config = Config.model_validate(
        {"state": {"dir": tmp_path / "state"}, "packs": {"dir": tmp_path / "packs"}, "box": {"language": "en"}}
    )
    state = StateDir(config.state.dir)
    state.prepare()
    clinical, accounts = ClinicalDatabase(state.clinical_db), Accounts(state.accounts_db)
    clinical.create()
    accounts.create()
    header = Header("1.2", "1.2.3.1", "1.2.3", "1.2.3.9", "1.2.840.10008.1.2", modality="US")
    one = clinical.admit(path="a", file="images/a", sha256="a" * 64, size=1, header=header, association=None)
    assert isinstance(one, Instance)
    finding = Finding("bright", {"en": "Bright", "zh_CN": "亮"}, 0.9, 0.5)
    identity = PackIdentity("toy", "0.0.1", "onnxruntime", "fp32")
    lesion = Lesion(**{name: getattr(MASS, name) for name in MASS.__slots__} | {"instance": one.reference})
    reading = Reading(
        Scope.INSTANCE, (one.reference,), ReadingStatus.READ, None, identity, Timing(1, 1, 2), (finding,), (lesion,)
    )
    clinical.finish(one, reading, Priority.SOON)
    app = create_app(config, state, clinical, accounts, Silent(None))
    doctor = app.test_client()
    assert post(doctor, "/claim", code=accounts.add("li", Role.DOCTOR), password=PASSWORD, again=PASSWORD)
    made = Desk(clinical, Manifest.load(pack), one.case, doctor)
    made.close()
    yield made
    clinical.database.close()
    accounts.database.close()


@pytest.mark.parametrize("more", ["", "/report"])
def test_page_and_report_tell_the_lesion_and_the_follow_up_in_the_words_of_the_command(desk: Desk, more: str) -> None:
    told = case_text.describe_case(desk.clinical.load_case(desk.case), "en")
    page = desk.page(more)
    assert "Lesions marked: 1." in told
    for line in told[1:]:  # the finding has a card of its own
        assert line.startswith("Priority") or line in page
    assert "shape irregular (80%)" in page
    assert "See a doctor soon. (Rule: Rule A. Source: Guideline, 2020;1:2)" in page


def test_the_background_is_asked_for_and_raises_the_advice_with_its_reason(desk: Desk) -> None:
    assert "Illness in the family" in desk.page()
    assert post(desk.doctor, f"/case/{desk.case}/background", fact="family").status_code == 302
    state = desk.doctor.get(f"/case/{desk.case}/state").json
    assert state is not None
    assert state["advice"] == "", "the next revision is not closed yet"
    desk.close()
    page = desk.page()
    assert "because of: Illness in the family" in page
    assert 'value="family" checked' in page
    post(desk.doctor, f"/case/{desk.case}/background")
    desk.close()
    assert "because of" not in desk.page()
    assert desk.clinical.load_case(desk.case).revision == 3


def test_the_film_gets_outline_and_axes_to_draw(desk: Desk) -> None:
    (reading,) = desk.clinical.load_case(desk.case).readings
    (drawn,) = Image(reading.instances[0], (0,), 1, reading).list_lesions("en")
    assert (drawn["outline"], drawn["axes"]) == (OUTLINE, MASS.axes)
