"""A language is a catalogue and the words of the packs: with these two the box speaks it, and nothing else changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from firmware_app.core.language import MORE_CATALOGUES
from firmware_app.dicom.errors import NOT_AN_IMAGE
from tests import films, reading_rig, toy_pack

ROOT = Path(__file__).parents[2]
SENTENCES = {
    "English": "Esperanto",
    "soon": "baldaŭ",
    "Report of the reading box": "Raporto de la legilo",
    "Not for diagnostic use without a doctor.": "Ne por diagnozo sen kuracisto.",
    NOT_AN_IMAGE.sentence: "Ĉi tio ne estas bildo.",
}
LABEL = "Hela"

# The pages of the one case in the state, as a person sees them who has just logged in.
PAGES = """
import json, re, sys
from pathlib import Path
from firmware_app.core.settings import load_config
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.state_dir import StateDir
from web.app import create_app
from web.health_report import Checkup

config = load_config()
state = StateDir(config.state.dir)
clinical, accounts = ClinicalDatabase(state.clinical_db), Accounts(state.accounts_db)
accounts.create()
case = next(iter(clinical.load_cases())).reference
client = create_app(config, state, clinical, accounts, Checkup(None)).test_client()
token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/claim").text)[1]
code, word = accounts.add("li", Role.DOCTOR), "a lamp in the village"
client.post("/claim", data={"csrf_token": token, "code": code, "password": word, "again": word})
print(json.dumps([client.get(page).text for page in ("/", f"/case/{case}", f"/case/{case}/report")]))
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """A folder with the one catalogue of Esperanto."""
    folder = tmp_path / "catalogues"
    file = folder / "eo" / "LC_MESSAGES" / "lantern.mo"
    file.parent.mkdir(parents=True)
    made = Catalog("eo")
    for english, text in SENTENCES.items():
        made.add(english, text)
    with file.open("wb") as out:
        write_mo(out, made)
    return folder


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """A pack that has a label in it."""
    folder = toy_pack.write(tmp_path / "packs", "toy-adult", "adult", 18, None, threshold=0.01)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["findings"][0]["label"]["eo"] = LABEL
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return folder.parent


def test_a_third_language_needs_a_catalogue_and_words_of_packs_only(
    tmp_path: Path, catalogue: Path, packs: Path
) -> None:
    config = reading_rig.config(tmp_path, packs)
    environment = {
        **os.environ,
        MORE_CATALOGUES: str(catalogue),
        "LANTERN_BOX__LANGUAGE": "eo",
        "LANTERN_BOX__USUAL_POPULATION": "adult",
        "LANTERN_STATE__DIR": str(config.state.dir),
        "LANTERN_PACKS__DIR": str(packs),
        "LANTERN_READER__PRECISION": "fp32",
    }

    def said(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 3), done.stderr
        return done.stdout

    stick = tmp_path / "stick"
    stick.mkdir()
    films.save(stick, "film.dcm", reading_rig.tiny_film(1))
    (stick / "notes.txt").write_text("not an image")
    lines = [json.loads(line) for line in said("-m", "firmware_app", "read", str(stick), "--json").splitlines()]
    assert [one["label"] for line in lines for one in line.get("findings", ())] == [LABEL]
    texts = {entry["path"]: (entry["reason"] or {}).get("text") for line in lines for entry in line["files"]}
    assert texts[str(stick / "notes.txt")] == SENTENCES[NOT_AN_IMAGE.sentence]

    with reading_rig.rig(config) as rig, reading_rig.reader(rig) as reader:
        rig.admit(reading_rig.tiny_film(1))
        reading_rig.read_all(reader)
        rig.clinical.close_revisions(0)
    worklist, page, report = json.loads(said("-c", PAGES))
    assert '<html lang="eo">' in page
    assert all(f">{name}</button>" in page for name in ("Esperanto", "中文", "English"))
    assert SENTENCES["soon"] in worklist
    assert LABEL in page
    assert SENTENCES["Report of the reading box"] in report
    assert LABEL in report
