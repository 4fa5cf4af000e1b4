"""What a pack does not look for travels from its manifest to the doctor's pages."""

from __future__ import annotations

import json
from pathlib import Path

from firmware_app.cases.accounts import Accounts, Role
from firmware_app.packs.manifest import MANIFEST_FILE
from tests import films, reading_rig, toy_pack, viewer
from web.app import create_app


def test_the_page_and_the_report_of_a_film_say_what_was_not_looked_for(tmp_path: Path) -> None:
    packs = toy_pack.write_both(tmp_path / "packs")
    path = packs / "toy-adult" / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "not_looked_for": {"en": "nodules", "zh": "结节"}}))
    label = manifest["findings"][0]["label"]["en"]
    with reading_rig.rig(reading_rig.config(tmp_path, packs)) as box:
        adult = box.admit(films.film(films.shapes(7, 512, 512)))
        assert box.read(adult).not_looked_for == {"en": "nodules", "zh_CN": "结节"}
        child = box.admit(films.film(films.shapes(8, 512, 512), PatientAge="003Y"))
        assert box.read(child).not_looked_for == {}
        accounts = Accounts(box.state.accounts_db)
        accounts.create()
        client = create_app(box.config, box.state, box.clinical, accounts, viewer.Silent(None)).test_client()
        code = accounts.add("he", Role.DOCTOR)
        viewer.post(client, "/claim", code=code, password=viewer.PASSWORD, again=viewer.PASSWORD)
        for page in ("/case/{}", "/case/{}/report"):
            for instance, times in ((adult, 1), (child, 0)):
                shown = client.get(page.format(instance.case), headers=viewer.HTML).get_data(as_text=True)
                assert shown.count("Not looked for: nodules.") == times, page
                assert label in shown
        accounts.database.close()
