"""“What is this?”: what an image shows, as a doctor says it where the image does not; the case is then read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from flask import Blueprint, abort, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.remarks import ImageDescription, ImageDescriptions
from firmware_app.core.language import N_, translate
from firmware_app.core.records import EnteredFacts, Header
from firmware_app.dicom.view import lacks_modality, lacks_part
from firmware_app.dicom.worklist import EXAMINATIONS
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.pack_store import PackStore
from firmware_app.reading import entry_choices
from firmware_app.reading.entry_choices import EntryChoice
from firmware_app.results import terms
from web import case_page, guard
from web.case_page import CasePage
from web.viewer_context import Box, current_box

blueprint = Blueprint("descriptions", __name__)

ALL: Final = "all"
_AGES: Final = {
    (True, True): N_("{whom}, {least} to {most} years"),
    (True, False): N_("{whom}, {least} years and over"),
    (False, True): N_("{whom}, up to {most} years"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What the page asks of one image, `instance`, and of those like it.

    `kinds` and `others` are (key, name), `whom` is (population, name).  `alike` are (instance, number on the page).
    `urgent`: the image has no result only for want of this.
    """

    instance: str
    kinds: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, str], ...]
    whom: tuple[tuple[str, str], ...]
    alike: tuple[tuple[str, int], ...]
    urgent: bool
    kind: str
    population: str


@dataclass(frozen=True, slots=True)
class Description:
    """What was said of the case's images, each with its number on the page, and what is asked."""

    said: tuple[tuple[int, str, ImageDescription], ...]
    question: Question | None
    images: int


def build_description(shown: CasePage) -> Description | None:
    """The description of a case; None where its images say all that is needed."""
    box, case = current_box(), shown.view.case.reference or ""
    entries = ImageDescriptions(box.clinical).list_for_case(case)
    asking = [
        image for image in shown.images if image.reading is not None and entry_choices.is_undecided(image.reading)
    ]
    doubtful = [
        image for image in shown.images if image.reading is not None and entry_choices.is_correctable(image.reading)
    ]
    wanted = asking or doubtful or [image for image in shown.images if image.instance in entries]
    if not wanted:
        return None
    numbers = {one.instance: number for number, one in enumerate(shown.images, 1)}
    said = tuple(
        (numbers[instance], terms.format_entry(entry.said, g.language), entry)
        for instance, entry in entries.items()
        if instance in numbers
    )
    headers = {image.reference: image.header for image in box.clinical.list_images(case)}
    packs = _load_packs(box)
    first = wanted[0].instance
    offered = _list_choices(headers.get(first), packs)
    alike = [one.instance for one in wanted if _list_choices(headers.get(one.instance), packs) == offered]
    before = entries[first].said if first in entries else EnteredFacts()
    question = _build_question(headers.get(first), packs, offered, first, before)
    question = replace(
        question, alike=tuple((one, numbers[one]) for one in alike) if len(alike) > 1 else (), urgent=bool(asking)
    )
    return Description(said, question if question.kinds or question.others or question.whom else None, len(numbers))


@blueprint.post("/case/<case:reference>/description")
@guard.require_role(Role.DOCTOR)
def describe(reference: str) -> ResponseReturnValue:
    """Keep what the doctor says of an image, or of all that are like it."""
    box, form = current_box(), request.form
    shown = case_page.gather_page(box, reference)
    asked = build_description(shown)
    question = asked.question if asked is not None else None
    if question is None:
        abort(400)
    alike = [instance for instance, _ in question.alike] or [question.instance]
    instances = alike if form.get("image") == ALL else [form.get("image", question.instance)]
    said = EnteredFacts() if "back" in form else _parse_form(form, question)
    if not set(instances) <= set(alike) or said is None:
        abort(400)
    ImageDescriptions(box.clinical).enter(reference, instances, said, guard.require_actor())
    return redirect(url_for("cases.page", reference=reference))


def _parse_form(form: Mapping[str, str], question: Question) -> EnteredFacts | None:
    """What a form says; None for what its page did not offer."""
    kind, whom = form.get("kind", ""), form.get("whom", "")
    if kind == "other":
        kind = form.get("other", "")
    if (kind and kind not in dict([*question.kinds, *question.others])) or (whom and whom not in dict(question.whom)):
        return None
    if not kind and not whom:
        return None
    modality, part, seen = kind.split("-") if kind else ("", "", "")
    return EnteredFacts(modality, part, seen, whom)


def _build_question(
    header: Header | None, packs: Mapping[str, Pack], offered: list[EntryChoice], instance: str, before: EnteredFacts
) -> Question:
    needed = len(offered) > 1 or lacks_modality(header) or lacks_part(header)
    language = g.language
    rules = [(name, pack.manifest.route) for name, pack in packs.items()]
    whom = []
    for population, rule in sorted(entry_choices.list_populations(header, rules).items()):
        ages = rule.age_years
        named = translate(terms.POPULATIONS[population], language)
        sentence = _AGES.get((ages.min is not None, ages.max is not None))
        if sentence is not None:
            named = translate(sentence, language).format(whom=named, least=ages.min, most=ages.max)
        whom.append((population, named))
    chosen = EntryChoice("", before).key if before.modality or before.view else ""
    return Question(
        instance=instance,
        kinds=tuple((entry_choice.key, _name_choice(entry_choice, packs)) for entry_choice in offered)
        if needed
        else (),
        others=tuple(
            (choice.key, _name_choice(choice, packs)) for choice in entry_choices.list_other_choices(header, offered)
        )
        if needed
        else (),
        whom=tuple(whom),
        alike=(),
        urgent=False,
        kind=chosen,
        population=before.population,
    )


def _name_choice(choice: EntryChoice, packs: Mapping[str, Pack]) -> str:
    """A choice for people: the examination's name, or where none is like it the title of the pack that reads it."""
    if choice.said.body_part == entry_choices.OTHER_PART:
        return translate(N_("None of these"), g.language)
    if choice.examination:
        what = EXAMINATIONS[choice.examination].text(g.language)
    else:
        what = packs[choice.pack].manifest.title.text(g.language)
    return terms.add_side(what, choice.said.view, g.language)


def _list_choices(header: Header | None, packs: Mapping[str, Pack]) -> list[EntryChoice]:
    return entry_choices.list_choices(header, [(name, pack.manifest.route) for name, pack in packs.items()])


def _load_packs(box: Box) -> dict[str, Pack]:
    return {pack.name: pack for pack in PackStore.from_config(box.config).survey().packs}
