"""Makes the tables of docs/conformance.md and all of docs/conformance-objects.md from the running code.

    python -m tests.statement [--check]

The words between the tables are written by hand.  A table stands between ``<!-- made: NAME -->`` and ``<!-- end -->``;
what the port answers is asked of the port's own negotiation, what is proposed to an archive of the code that proposes
it, and what objects hold of objects that are made for it.  With ``--check`` the exit status is 1 when a page is stale,
and so fails `tests/unit/dicom/test_conformance.py`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydicom.config import IGNORE
from pydicom.uid import UID
from pynetdicom import sop_class
from pynetdicom._globals import DEFAULT_MAX_LENGTH

from firmware_app.cases import worklist_import as hospital
from firmware_app.core.errors import LanternError
from firmware_app.core.errors.base import Refusal, errors_of
from firmware_app.core.language import ENGLISH
from firmware_app.core.settings import Config
from firmware_app.dicom import (
    charset,
    file_meta,
    negotiation,
    qido_rs,
    query_scu,
    sop_classes,
    storage_scu,
    transfer_syntax,
)
from firmware_app.dicom.commitment import PUSH_MODEL
from firmware_app.dicom.errors import IntakeError
from firmware_app.dicom.scp import association_server, worklist_scp
from firmware_app.ingest.archive_search import FETCHABLE
from firmware_app.results import archive_workers as line
from firmware_app.results.dicom_objects import coded_concepts
from firmware_app.results.dicom_objects import objects as result_objects
from tests.made_objects import Element, elements, samples
from tests.peers import REPOSITORY

PAGE: Final = REPOSITORY / "docs" / "conformance.md"
OBJECTS: Final = REPOSITORY / "docs" / "conformance-objects.md"
_BLOCK: Final = re.compile(r"(<!-- made: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
_STATION: Final = "STATION"
Rows = Iterator[tuple[object, ...]]


def _table(*heads: str) -> Callable[[Callable[[], Rows]], Callable[[], str]]:
    def decorate(rows: Callable[[], Rows]) -> Callable[[], str]:
        def render() -> str:
            lines = [heads, ("---",) * len(heads), *rows()]
            return "".join(f"| {' | '.join(map(str, row))} |\n" for row in lines)

        return render

    return decorate


# --- the port --------------------------------------------------------------------------------------------------------


def _list_accepted_syntaxes(calling_ae: str, uids: list[str], syntaxes: tuple[str, ...]) -> dict[str, list[str]]:
    """SOP Class UID -> transfer syntaxes that the port accepts of *calling_ae*, by asking for each by itself."""
    config = Config.model_validate({"worklist": {"stations": {_STATION: "DX"}}})
    found: dict[str, list[str]] = {}
    pairs = [(uid, syntax) for uid in uids for syntax in syntaxes]
    for start in range(0, len(pairs), 128):
        proposed = tuple((2 * n + 1, uid, (syntax,)) for n, (uid, syntax) in enumerate(pairs[start : start + 128]))
        request = negotiation.AssociationRequest(calling_ae, "ANY", negotiation.APPLICATION_CONTEXT, 0, proposed)
        for context in negotiation.accept_request(request, config.dicom.max_pdu, config.worklist).contexts.values():
            found.setdefault(context.abstract_syntax, []).append(context.transfer_syntax)
    return found


def _known_classes() -> list[str]:
    """Every SOP Class that pynetdicom or the box knows by name."""
    groups = [value for name, value in vars(sop_class).items() if re.fullmatch(r"_[A-Z_]+_CLASSES", name)]
    named = {uid for group in groups for uid in group.values() if isinstance(uid, str)}
    return sorted(named | set(sop_classes.RETIRED.values()))


def _name(uid: str) -> str:
    named = UID(uid, validation_mode=IGNORE).name
    return _keywords().get(uid, uid) if named == uid else named


@cache
def _keywords() -> dict[str, str]:
    """pynetdicom's own names, for classes that pydicom's dictionary does not have yet."""
    return {uid: name for name, uid in sop_class._STORAGE_CLASSES.items()}


@_table("service", "SOP class", "UID", "user", "provider")
def services() -> Rows:
    known = _known_classes()
    anyone, station = (
        _list_accepted_syntaxes(title, known, (transfer_syntax.IMPLICIT_LITTLE,)) for title in ("ANY", _STATION)
    )
    proposed = {
        str(context.abstract_syntax) for context in storage_scu.build_contexts((sop_classes.VERIFICATION, PUSH_MODEL))
    }
    storage = [uid for uid in anyone if uid in negotiation.STORAGE]
    for service, uid in (("Verification", sop_classes.VERIFICATION), ("Storage Commitment", PUSH_MODEL)):
        yield service, _name(uid), uid, _yes(uid in proposed), _yes(uid in anyone)
    worklist = worklist_scp.MODALITY_WORKLIST
    assert worklist in station
    assert worklist not in anyone
    assert worklist == hospital.MODEL
    yield "Modality Worklist", _name(worklist), worklist, "yes", "yes, to the stations of the configuration"
    yield "Query/Retrieve", _name(query_scu.FIND), query_scu.FIND, "yes", "no"
    yield "Query/Retrieve", _name(query_scu.GET), query_scu.GET, "yes", "no"
    user = "those of the result objects (8.1)"
    yield "Storage", f"{len(storage)} classes, listed in annex 8.4", "", user, "yes"
    assert set(FETCHABLE) <= set(storage)
    assert set(anyone) - set(storage) == {sop_classes.VERIFICATION, PUSH_MODEL}, "the page lacks a service"


@_table("SOP class", "UID", "read")
def storage() -> Rows:
    from firmware_app.dicom.sop_classes import OBJECT_KINDS, kind_of_class

    for uid in sorted(
        _list_accepted_syntaxes("ANY", sorted(negotiation.STORAGE), (transfer_syntax.IMPLICIT_LITTLE,)), key=_name
    ):
        kind = kind_of_class(uid)
        yield _name(uid), uid, "yes" if kind is None else f"no: {errors_text(OBJECT_KINDS[kind])}"


def errors_text(code: str) -> str:
    from firmware_app.core.language import render_sentence

    return render_sentence(code, {}, ENGLISH)


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


@_table("abstract syntax", "transfer syntaxes accepted, of those proposed the first")
def acceptance() -> Rows:
    every = tuple(transfer_syntax.ACCEPTED_SYNTAXES)
    for name, uid, title in (
        ("Verification", sop_classes.VERIFICATION, "ANY"),
        ("Storage Commitment Push Model", PUSH_MODEL, "ANY"),
        ("Modality Worklist", worklist_scp.MODALITY_WORKLIST, _STATION),
        ("each Storage SOP class", "1.2.840.10008.5.1.4.1.1.1", "ANY"),
    ):
        taken = _list_accepted_syntaxes(title, [uid], every)[uid]
        told = f"the {len(taken)} of 4.2.3" if len(taken) > 3 else ", ".join(UID(one).name for one in taken)
        yield name, told


@_table("parameter", "value")
def association() -> Rows:
    dicom = Config().dicom
    yield "Application Context Name", negotiation.APPLICATION_CONTEXT
    yield "Implementation Class UID", file_meta.IMPLEMENTATION_CLASS_UID
    yield "Implementation Version Name", file_meta.IMPLEMENTATION_VERSION_NAME
    yield "Maximum PDU length told to the requestor", f"{dicom.max_pdu} bytes (`[dicom] max_pdu`)"
    yield ("Associations at once", f"{dicom.max_associations} (`[dicom] max_associations`), half of one address")
    yield "Asynchronous operations", "not negotiated: one"
    yield "SCP/SCU role selection", "answered for Storage Commitment Push Model only: both roles"
    yield "Time for a complete A-ASSOCIATE-RQ", f"{association_server.REQUEST_SECONDS:g} s"
    yield "Idle limit", f"{dicom.idle_seconds:g} s (`[dicom] idle_seconds`)"
    yield "Longest association", f"{dicom.association_seconds:g} s (`[dicom] association_seconds`)"
    yield "Largest object", f"{dicom.max_object_mb} MB (`[dicom] max_object_mb`)"


@_table("when", "result", "source", "reason")
def rejections() -> Rows:
    for when, one in (
        ("another application context", negotiation._BAD_APPLICATION),
        ("the calling AE title is not in `[dicom] allowed_calling`", negotiation._UNKNOWN_CALLER),
        ("the address is not in `[dicom] allowed_addresses`", negotiation._UNKNOWN_ADDRESS),
        ("as many associations as are allowed, in all or from one address, and none is silent", negotiation.NO_SLOT),
    ):
        yield when, one.result, one.source, one.diagnostic


@_table("status", "code", "what is said")
def statuses() -> Rows:
    yield "0000H", "", "kept, or held already"
    for kind in sorted(errors_of(IntakeError), key=lambda kind: (dimse_status_of(kind), kind.code)):
        if kind.code not in _NEVER_OVER_DICOM:
            yield f"{dimse_status_of(kind):04X}H", f"`{kind.code}`", _short(kind.sentence)


def dimse_status_of(kind: type[LanternError] | Refusal[Any]) -> int:
    """The status of a C-STORE that the error answers."""
    error = kind(**dict.fromkeys(kind.placeholders, "value"))
    assert isinstance(error, IntakeError)
    return error.dimse_status


_NEVER_OVER_DICOM: Final = ("intake.archive", "intake.phone_picture", "intake.not_regular", "intake.end_not_marked")


def _short(sentence: str) -> str:
    return sentence.split(". ")[0].rstrip(".").replace("|", "/").replace("{", "‹").replace("}", "›")


# --- the archives ----------------------------------------------------------------------------------------------------


@_table("activity", "abstract syntax", "transfer syntaxes, one context each", "role")
def initiation() -> Rows:
    syntaxes = ", ".join(syntax.name for syntax in storage_scu.SYNTAXES)
    yield "`lantern doctor`", "Verification", syntaxes, "user"
    for kind, made in samples().items():
        names = sorted({_name(str(one.SOPClassUID)) for one in made})
        yield f"results, `{kind}`", ", ".join(names), syntaxes, "user"
    yield "results, with `commitment = true`", "Storage Commitment Push Model", syntaxes, "user"
    yield "answer to a machine that asked and left", "Storage Commitment Push Model", syntaxes, "provider"
    yield "the hospital's worklist", _name(hospital.MODEL), syntaxes, "user"
    yield "search for earlier studies (gateway)", _name(query_scu.FIND), syntaxes, "user"
    yield "fetching an earlier study (gateway)", _name(query_scu.GET), syntaxes, "user"
    told = f"{len(FETCHABLE)} Storage SOP classes of 8.4, but for radiotherapy, waveforms and others that are no image"
    yield (
        "the same association",
        told,
        f"the {len(transfer_syntax.ACCEPTED_SYNTAXES)} of 4.2.3 in one context",
        "provider",
    )


@_table("parameter", "value")
def dialling() -> Rows:
    yield (
        "Implementation Class UID and Version Name",
        f"{file_meta.IMPLEMENTATION_CLASS_UID}, {file_meta.IMPLEMENTATION_VERSION_NAME}",
    )
    yield "Maximum PDU length told to the archive", f"{DEFAULT_MAX_LENGTH} bytes"
    yield "Time for connection and A-ASSOCIATE-AC", f"{storage_scu.ASSOCIATE_S:g} s"
    yield "Time for a response", f"{storage_scu.ANSWER_S:g} s"
    yield "Pause after a failure of the archive", f"{line.DELAY_FIRST_S:g} s, doubled up to {line.DELAY_MOST_S:g} s"
    yield "Pause after a refused object", f"{line.REFUSED_FIRST_S:g} s, doubled up to {line.REFUSED_MOST_S:g} s"
    yield (
        "Commitment asked for again after",
        ", ".join(f"{one:g}" for one in line.ASK_AGAIN_S) + " s, then each time the last",
    )
    yield "Wait for the answer on the same association", f"{line.ON_THIS_ASSOCIATION_S:g} s"
    yield "TLS", "1.2 or newer, where `tls_ca` is set (PS3.15 B.9, B.10)"


@_table("status", "what the box makes of it")
def answers() -> Rows:
    said: dict[str, list[str]] = {}
    for status in (0x0000, 0x0111, 0xB000, 0xB006, 0xB007, 0x0122, 0x0124, 0xA700, 0xA7FF, 0xA900, 0xC000, 0x0110):
        said.setdefault(storage_scu.classify_status(status), []).append(f"{status:04X}H")
    for meaning, which in said.items():
        yield ", ".join(which), meaning


# --- settings, words, characters -------------------------------------------------------------------------------------


@_table("key", "default", "meaning")
def configuration() -> Rows:
    sections = {
        "dicom": Config().dicom,
        "worklist": Config().worklist,
        "worklist.hospital": Config().worklist.hospital,
        "pacs": Config().pacs,
        "dicomweb": Config().dicomweb,
    }
    for name, section in sections.items():
        for key, field in type(section).model_fields.items():
            value = getattr(section, key)
            if isinstance(value, BaseModel):
                continue
            shown = "" if value in (None, (), {}, "") else ", ".join(value) if isinstance(value, tuple) else value
            yield (
                f"`[{name}] {key}`",
                str(shown).lower() if isinstance(shown, bool) else shown,
                (f"{field.title}: {field.description}".replace("|", "/")),
            )


@_table("level", "attributes told")
def searched() -> Rows:
    for level, tags in qido_rs._RETURNED.items():
        names = ", ".join(f"{Element.name_of(int(tag, 16))} ({tag[:4]},{tag[4:]})" for tag in tags)
        yield level.value, names


@_table("attribute", "tag", "of")
def asked() -> Rows:
    for what, tags in (
        ("Query/Retrieve, study level", query_scu.KEYS),
        ("the hospital's worklist", hospital.KEYS),
        ("the same, in the step's sequence", hospital.KEYS_OF_STEP),
    ):
        for tag in tags:
            yield Element.name_of(tag), f"({tag >> 16:04X},{tag & 0xFFFF:04X})", what


@_table("attribute", "tag", "in the step's sequence")
def worklist_keys() -> Rows:
    for keys, in_step in ((worklist_scp.MATCHED, "no"), (worklist_scp.MATCHED_IN_STEP, "yes")):
        for tag in sorted(keys):
            yield Element.name_of(tag), f"({tag >> 16:04X},{tag & 0xFFFF:04X})", in_step


@_table("defined term", "read as")
def characters() -> Rows:
    numbered = {**charset._LATIN, **charset._OTHERS}
    for number in sorted(numbered, key=int):
        yield f"ISO_IR {number}, ISO 2022 IR {number}", numbered[number]
    yield from charset._NAMED.items()


@_table("code of the pack", "standard code", "scheme", "meaning")
def findings() -> Rows:
    for code, concept in coded_concepts.FINDINGS.items():
        yield f"`{code}`", concept.value, concept.scheme_designator, concept.meaning


@_table("value", "scheme", "meaning", "used for")
def codes() -> Rows:
    for name, value in vars(coded_concepts).items():
        for one in value.values() if name == "ASSESSMENTS" else [value]:
            if type(one).__name__ == "Code":
                yield one.value, one.scheme_designator, one.meaning, name.replace("_", " ").lower()


@_table("tag", "VR", "holds")
def private() -> Rows:
    yield f"({sop_classes.OWN_GROUP:04X},0010)", "LO", f"private creator `{sop_classes.OWN_CREATOR}`"
    yield (
        f"({sop_classes.OWN_GROUP:04X},xx01)",
        "CS",
        "the kind: " + ", ".join(type_.kind.upper() for type_ in result_objects.TYPES),
    )


@_table("kind", "SOP class", "UID", "Series Number", "transfer syntax")
def created() -> Rows:
    numbers = {type_.kind: type_.series_number for type_ in result_objects.TYPES}
    for kind, made in samples().items():
        classes = {str(one.SOPClassUID) for one in made}
        syntaxes = {one.file_meta.TransferSyntaxUID.name for one in made}
        yield (
            f"`{kind}`",
            ", ".join(sorted(map(_name, classes))),
            ", ".join(sorted(classes)),
            numbers[kind],
            ", ".join(sorted(syntaxes)),
        )


BLOCKS: Final[dict[str, Callable[[], str]]] = {
    "services": services,
    "storage": storage,
    "acceptance": acceptance,
    "association": association,
    "rejections": rejections,
    "statuses": statuses,
    "initiation": initiation,
    "dialling": dialling,
    "answers": answers,
    "configuration": configuration,
    "worklist-keys": worklist_keys,
    "characters": characters,
    "findings": findings,
    "codes": codes,
    "private": private,
    "created": created,
    "searched": searched,
    "asked": asked,
}


# --- the pages -------------------------------------------------------------------------------------------------------


def page(text: str) -> str:
    """*text* with every table made anew; raises `KeyError` for one that nobody makes."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found['name']]()}\n{found[4]}", text)


_ANNEX: Final = """\
Annex to the [conformance statement](conformance.md), made by `python -m tests.statement` from objects that were made of
a film, a CT slice, a clip and a picture without a DICOM header, unsigned and signed. *Always*: in each of them;
*empty*: without a value in all of them, as where an image has none. A value is given where it was the same in all."""


def objects() -> str:
    """The page of the attributes that each kind of result object holds."""
    lines = ["# What the result objects hold", "", _ANNEX, ""]
    for kind, made in samples().items():
        lines += [f"## `{kind}`", "", "| tag | attribute | VR | present | value |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {element.tag} | {element.name} | {element.vr} | {element.present} | {element.value} |"
            for element in elements(made)
        ]
        lines.append("")
    return "\n".join(lines)


def find_stale_pages() -> dict[Path, str]:
    """The pages that are not as the code makes them, and how they ought to be."""
    wanted = {PAGE: page(PAGE.read_text("utf-8")), OBJECTS: objects()}
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text}


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.statement", description=(__doc__ or "").split("\n")[0])
    options.add_argument("--check", action="store_true", help="only say which page is stale")
    check = options.parse_args().check
    for path, text in find_stale_pages().items():
        print(f"{path.name} is stale" if check else f"{path.name} is made anew")
        if check:
            return 1
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
