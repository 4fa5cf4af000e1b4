"""The cases of a study: one for each patient whom its objects name, though a study has but one (PS3.3 7.3).

The first case has the Study Instance UID in `study_uid`, those of other patients in `shared_study`.  What the objects
of a case say of the patient is kept in `case_persons`, as they say it: a correction by people does not change whose
image it is, but a late image that says what people have entered belongs to the case too.

An object that says nothing which can be compared belongs to the only case of its study.  Where a study has several, it
belongs to that with its series, else to one of its own: nobody knows whose it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from firmware_app.cases.references import References
from firmware_app.core.language import N_, register
from firmware_app.core.records import Header, Reason
from firmware_app.core.rows import insert
from firmware_app.dicom.patient_data import Person, Relation, compare_persons, compare_with_known, have_same_number

SHARED: Final = register(
    "hint.study_shared",
    N_(
        "Under this examination's number (Study Instance UID) there are images of another patient too. The box keeps "
        "the patients apart, each in a case of its own. Check at the machine whose images these are."
    ),
)


def list_cases_of_study(connection: sqlite3.Connection, study: str | None) -> list[str]:
    """The cases of *study*, the first one first."""
    rows = connection.execute(
        "SELECT reference FROM cases WHERE study_uid = ?1 OR shared_study = ?1 ORDER BY rowid", (study,)
    )
    return [str(row[0]) for row in rows]


def get_study_uid(row: sqlite3.Row) -> str | None:
    """The Study Instance UID of a row of `cases`."""
    uid: str | None = row["study_uid"] or row["shared_study"]
    return uid


def explain_shared_study(connection: sqlite3.Connection, case: str) -> Reason | None:
    """Why *case* may be of a machine that mixed patients; None where its study has one only."""
    row = connection.execute("SELECT * FROM cases WHERE reference = ?", (case,)).fetchone()
    study = get_study_uid(row) if row is not None else None
    return Reason(SHARED) if study is not None and len(list_cases_of_study(connection, study)) > 1 else None


def find_case(connection: sqlite3.Connection, header: Header | None, person: Person) -> str | None:
    """The case that an object belongs to; None where it opens one."""
    cases = list_cases_of_study(connection, header.study_instance_uid) if header is not None else []
    if not cases or header is None:
        return None
    said = {case: _list_persons(connection, case) for case in cases}
    exact = [case for case, persons in said.items() if person in persons]
    if exact and not person.is_unknown:
        return exact[0]
    entered = [case for case in cases if _has_entered_number(connection, case, person)]
    if len(entered) == 1:
        return entered[0]
    relations = {case: compare_with_known(person, persons) for case, persons in said.items()}
    same = [case for case in cases if relations[case] is Relation.SAME]
    if len(same) == 1:
        return same[0]
    possible = same or [case for case in cases if relations[case] is Relation.OPEN]
    if len(cases) == 1:
        return next(iter(possible), None)
    return _find_with_series(connection, possible, header.series_instance_uid)


def identify_new_case(
    connection: sqlite3.Connection, references: References, header: Header | None, sha256: str, person: Person
) -> tuple[str, str | None, str | None]:
    """Reference, `study_uid` and `shared_study` of the case that an object opens."""
    study = header.study_instance_uid if header is not None else None
    others = list_cases_of_study(connection, study)
    if header is None or study is None or not others:
        return references.derive_case(header, sha256), study, None
    if len(others) == 1:  # its results say from now on that there is another patient
        connection.execute(
            "INSERT INTO results_due (case_reference) SELECT reference FROM cases WHERE reference = ? AND revision > 0"
            " ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1",
            others,
        )
    return references.derive_other_case(study, person.key()), None, study


def record_person(connection: sqlite3.Connection, case: str, header: Header | None, person: Person) -> None:
    """Keep what an object of *case* says of the patient."""
    if header is not None and header.study_instance_uid is not None:
        insert(connection, "case_persons", "INSERT OR IGNORE", case_reference=case, **asdict(person))


def matches_registered_person(
    connection: sqlite3.Connection, header: Header, person: Person, registered: Person
) -> bool:
    """Whether an object may be of the *registered* patient by what it says; in a shared study it has to say so."""
    found = compare_persons(person, registered)
    if len(list_cases_of_study(connection, header.study_instance_uid)) > 1:
        return found is Relation.SAME
    return found in (Relation.SAME, Relation.OPEN)


def _list_persons(connection: sqlite3.Connection, case: str) -> Sequence[Person]:
    """What the objects of *case* say of the patient."""
    query = "SELECT number, issuer, name, birth_date FROM case_persons WHERE case_reference = ?"
    return [Person(*row) for row in connection.execute(query, (case,))]


def _has_entered_number(connection: sqlite3.Connection, case: str, person: Person) -> bool:
    """Whether people have given *case* the number that an object states."""
    row = connection.execute(
        "SELECT patient_id FROM identities WHERE case_reference = ? ORDER BY version DESC LIMIT 1", (case,)
    ).fetchone()
    return row is not None and have_same_number(person, Person(row[0] or ""))


def _find_with_series(connection: sqlite3.Connection, cases: Sequence[str], series: str | None) -> str | None:
    """The only one of *cases* that has images of *series*."""
    held = "SELECT 1 FROM instances WHERE case_reference = ? AND series_uid = ? LIMIT 1"
    found = [case for case in cases if connection.execute(held, (case, series)).fetchone() is not None]
    return found[0] if len(found) == 1 else None
