"""What the box itself did with its models, for the banner of every page until a person has noted it."""

from __future__ import annotations

from firmware_app.records import Reason
from firmware_app.store.accounts.accounts_db import Role
from firmware_app.store.clinical.clinical_db import Clinical
from firmware_app.store.clinical.pack_trials import PackTrials


def of(clinical: Clinical, role: Role) -> list[Reason]:
    """The sentences for a person of that *role*; an auditor changes no models."""
    if role not in (Role.DOCTOR, Role.TECHNICIAN):
        return []
    return [told for one in PackTrials(clinical.database).all().values() if (told := one.tells) is not None]
