"""Where an image fits several packs, who is asked is decided by a person, and never by a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_app.appliance import doctor
from firmware_app.appliance.checks import packs
from firmware_app.core.settings import Config
from firmware_app.packs.pack_store import KEPT_FOLDER, PackStore
from firmware_app.reading import routing
from tests import reading_rig, toy_pack

OWN = "a-own-model"


def box(folder: Path, *prefer: str) -> Config:
    """A box with two shipped packs and OWN, which was installed and reads what the shipped adult one reads."""
    shipped, state = folder / "shipped", folder / "state"
    if not shipped.exists():
        toy_pack.write_both(shipped)
        toy_pack.write(state / "packs" / KEPT_FOLDER / "1.0.0", OWN, "adult", 18, None)
        (state / "packs" / OWN).symlink_to(Path(KEPT_FOLDER, "1.0.0", OWN))
    sections = {"state": {"dir": state}, "packs": {"dir": shipped, "prefer": prefer}, "reader": {"precision": "fp32"}}
    return Config.model_validate(sections)


def run_checks(config: Config) -> list[tuple[str, str, dict[str, Any]]]:
    checks = list(packs._check_precedence(config))
    return [(check.result, check.reason.code, dict(check.reason.details)) for check in checks]


@pytest.mark.parametrize(("prefer", "asked"), [((), "toy-adult"), ((OWN,), OWN)])
def test_the_reader_asks_the_pack_that_the_doctor_names(tmp_path: Path, prefer: tuple[str, ...], asked: str) -> None:
    config = box(tmp_path, *prefer)
    with reading_rig.rig(config) as rig, reading_rig.reader(rig) as reader:
        film = rig.admit(reading_rig.tiny_film(1))
        reading_rig.read_all(reader)
        reading = rig.reading(film)
    assert reading.pack is not None
    assert reading.pack.name == asked
    assert [about["asked"] for _, code, about in run_checks(config) if code.startswith("doctor.packs_")] == [asked]


def test_the_doctor_warns_of_an_order_that_nobody_chose_and_of_a_name_that_is_not_there(tmp_path: Path) -> None:
    pair = {"asked": "toy-adult", "passed_over": OWN}
    assert run_checks(box(tmp_path)) == [("warn", "doctor.packs_overlap", pair)]
    assert run_checks(box(tmp_path, "toy-adult")) == [("ok", "doctor.packs_chosen", pair)]
    assert run_checks(box(tmp_path, "toy-adult", "gone"))[1:] == [("warn", "doctor.prefer_idle", {"pack": "gone"})]
    checks = [check for check in doctor.run_checks(box(tmp_path)) if check.reason.code == "doctor.packs_overlap"]
    assert [(check.name, check.result) for check in checks] == [("packs", "warn")]


def test_the_shipped_packs_share_no_image() -> None:
    config = Config.model_validate({"state": {"dir": "/nowhere"}})
    for usual in ("ask", "adult", "children"):
        usual_config = config.model_copy(update={"box": config.box.model_copy(update={"usual_population": usual})})
        store = PackStore.from_config(usual_config)
        assert len(store.survey().packs) >= 3
        assert routing.find_overlaps(store.survey().packs, usual_config, store) == []


def test_an_image_that_one_pack_finds_unfit_names_the_pack_in_its_line(tmp_path: Path) -> None:
    import numpy as np

    from firmware_app.results.case_json import case_to_json
    from tests import films

    with reading_rig.rig(reading_rig.config(tmp_path)) as rig, reading_rig.reader(rig) as reader:
        small = rig.admit(films.film(np.full((1, 1), 9, np.uint16)))
        raw = rig.admit(reading_rig.tiny_film(1, PresentationIntentType="FOR PROCESSING"))
        reading_rig.read_all(reader)
        lines = [case_to_json(rig.case(film), "en") for film in (small, raw)]
    reasons = [reading["reason"] for line in lines for reading in line["readings"]]
    packs_of = {reason["code"]: reason.get("pack") for reason in json.loads(json.dumps(reasons))}
    assert packs_of == {"quality.too_small": "toy-adult", "reading.for_processing": None}
