"""The viewer over a state with one case, and people before it: a rig for the tests of its pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.records import Instance
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import patient_data
from tests.cases import read_case
from web.app import create_app
from web.health_report import Checkup

PASSWORD = "a lamp in the village"
SCRIPT = "<script>alert('x')</script>"
HTML = {"Accept": "text/html"}


class Silent(Checkup):
    """No doctor is started for these tests."""

    def latest(self) -> None:
        return None


@dataclass
class Desk:
    """An application over a state with one case."""

    config: Config
    state: StateDir
    clinical: ClinicalDatabase
    accounts: Accounts
    app: Flask
    instance: Instance

    @property
    def case(self) -> str:
        return self.instance.case

    def restarted(self) -> Flask:
        """The same box after its viewer was started again."""
        return create_app(self.config, self.state, self.clinical, Accounts(self.state.accounts_db), Silent(None))

    def person(self, name: str, role: Role = Role.DOCTOR) -> FlaskClient:
        """A browser in which *name* has just claimed an account of *role*."""
        code = self.accounts.add(name, role)
        client = self.app.test_client()
        assert post(client, "/claim", code=code, password=PASSWORD, again=PASSWORD).status_code == 302
        return client


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    config = Config.model_validate({"state": {"dir": tmp_path / "state"}, "box": {"language": "en"}})
    state = StateDir(config.state.dir)
    state.prepare()
    clinical, accounts = ClinicalDatabase(state.clinical_db), Accounts(state.accounts_db)
    clinical.create()
    accounts.create()
    instance = read_case(clinical)
    patient_data.write_identity(
        {"name": SCRIPT, "patient_id": '"><img src=x onerror=alert(1)>'}, state.display / instance.reference
    )
    app = create_app(config, state, clinical, accounts, Silent(None))
    yield Desk(config, state, clinical, accounts, app, instance)
    clinical.database.close()
    accounts.database.close()


def token(client: FlaskClient, page: str = "/login") -> str:
    field = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page, headers=HTML).text)
    assert field
    return field[1]


def post(client: FlaskClient, page: str, **fields: str) -> TestResponse:
    """Send a form as a page that was opened just now would."""
    if page.endswith(("/verdict", "/done")):
        fields = {"seen": (client.get(f"{page.rsplit('/', 1)[0]}/state").json or {}).get("seen", ""), **fields}
    return client.post(page, data={"csrf_token": token(client, "/claim"), **fields}, headers=HTML)
