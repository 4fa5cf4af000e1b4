"""What the pages of one viewer share: the configuration, the databases, and the user of the request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, cast

from flask import current_app

from firmware_app.cases.accounts import Accounts
from firmware_app.cases.audit import Audit
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations
from firmware_app.cases.patients import Patients
from firmware_app.cases.remarks import Remarks
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from web.change_notifier import ChangeNotifier
from web.health_report import Checkup
from web.passwords import Passwords
from web.reading_status import DiskMonitor
from web.visits import Visits

_KEY: Final = "lantern"


@dataclass
class Box:
    """Configuration and databases of one viewer; every member may be used from any thread."""

    config: Config
    state: StateDir
    clinical: ClinicalDatabase
    accounts: Accounts
    pulse: ChangeNotifier
    checkup: Checkup
    disk: DiskMonitor
    passwords: Passwords = field(default_factory=Passwords)

    def __post_init__(self) -> None:
        self.lists = CaseLists(self.clinical, two_readers=self.config.review.two_readers)
        self.patients = Patients(self.clinical, self.state)
        self.visits = Visits(self.clinical, self.patients, self.lists, self.state)
        self.remarks = Remarks(self.clinical.database)
        self.audit = Audit(self.clinical.database)
        self.confirmations = Confirmations(self.clinical.database)


def install(extensions: dict[str, object], box: Box) -> None:
    """Make *box* the one that `current_box` returns."""
    extensions[_KEY] = box


def current_box() -> Box:
    """The box of the current request."""
    return cast(Box, current_app.extensions[_KEY])
