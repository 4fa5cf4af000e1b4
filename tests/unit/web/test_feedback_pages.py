"""A clinic's feedback from the page: only with consent and one opinion, sealed, without a name, and audited."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from converters.data import feedback as reading
from firmware_app.cases.audit import Audit
from firmware_app.imaging import picture_encoding
from tests.viewer import HTML, SCRIPT, Desk, post

OWN = X25519PrivateKey.generate()
BOX = [[10, 20], [110, 220]]


@pytest.fixture
def giving(desk: Desk, tmp_path: Path) -> Desk:
    """The desk of a clinic that gives feedback, with a picture of its film, shown at half its size."""
    public = OWN.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "feedback.pub").write_bytes(public)
    export = desk.config.export.model_copy(update={"enabled": True, "feedback_key": tmp_path / "feedback.pub"})
    desk.config = desk.config.model_copy(update={"export": export})
    desk.app = desk.restarted()
    folder = desk.state.display / desk.instance.reference
    (folder / "frame-000.png").write_bytes(picture_encoding.encode_grey16(np.full((200, 150), 777, np.uint16)))
    facts = {
        "columns": 300,
        "rows": 400,
        "shown_columns": 150,
        "shown_rows": 200,
        "colour": False,
        "frames": 1,
        "frames_shown": 1,
    }
    (folder / "frame-000.json").write_text(json.dumps(facts))
    return desk


def test_a_film_leaves_only_with_consent_and_a_word_and_names_nobody(giving: Desk, tmp_path: Path) -> None:
    li, page = giving.person("li"), f"/case/{giving.case}"
    assert post(li, "/feedback", sure="on").status_code == 409
    drawing = json.dumps({"instance": giving.instance.reference, "frame": 0, "points": BOX})
    post(li, f"{page}/verdict", finding="pneumonia", verdict="agree", drawing=drawing)
    post(li, f"{page}/consent", given="on")  # nobody has looked at the pictures yet
    assert post(li, "/feedback", sure="on").status_code == 409
    post(li, f"{page}/consent", given="on", looked="on")
    assert "with consent: li" in li.get(page, headers=HTML).text
    assert '<dd id="due">1</dd>' in li.get("/feedback", headers=HTML).text
    assert post(li, "/feedback").status_code == 400
    answer = post(li, "/feedback", sure="on")
    path = tmp_path / "clinic.lnf"
    path.write_bytes(answer.data)
    (film,) = reading.unseal(path, OWN)
    assert (film.label, film.pack, film.version, film.drawn) == ("1", "p", "1.0.0", (((5, 10), (55, 110)),))
    assert int(np.asarray(reading.FeedbackFilm("f", path, 0, "p", png=film.png).read()).mean()) == 777
    for secret in (SCRIPT, giving.case, giving.instance.reference):
        assert secret.encode() not in answer.data
        assert secret not in f"{film.file} {film.patient}"
    (entry,) = (one for one in Audit(giving.clinical.database).latest(3) if one.action == "feedback.exported")
    assert (entry.actor, entry.case, entry.details["films"]) == ("li", giving.case, 1)
    assert post(li, "/feedback", sure="on").status_code == 409  # it was given
    path.write_bytes(post(li, "/feedback", sure="on", again="on").data)
    assert reading.unseal(path, OWN) == (film,)  # under the same name
    post(li, f"{page}/verdict", finding="pneumonia", verdict="disagree")
    assert '<dd id="due">1</dd>' in li.get("/feedback", headers=HTML).text  # another word makes it due again
    post(li, f"{page}/consent")
    assert post(li, "/feedback", sure="on", again="on").status_code == 409


@pytest.mark.parametrize("second", ["agree", "unsure"])
def test_a_film_on_which_doctors_differ_or_are_unsure_stays_here(giving: Desk, second: str) -> None:
    li, wang, page = giving.person("li"), giving.person("wang"), f"/case/{giving.case}"
    post(li, f"{page}/consent", given="on", looked="on")
    for doctor, verdict in ((li, "disagree"), (wang, second)):
        post(doctor, f"{page}/verdict", finding="pneumonia", verdict=verdict)
    assert post(li, "/feedback", sure="on").status_code == 409
    assert "1 film stays here" in li.get("/feedback", headers=HTML).text


def test_without_the_engineers_key_there_is_nothing_to_press(desk: Desk) -> None:
    li = desk.person("li")
    assert "consent" not in li.get(f"/case/{desk.case}", headers=HTML).text
    assert "Export is switched off" in li.get("/feedback", headers=HTML).text
    assert post(li, "/feedback", sure="on").status_code == 409
    assert post(li, f"/case/{desk.case}/consent", given="on", looked="on").status_code == 404
