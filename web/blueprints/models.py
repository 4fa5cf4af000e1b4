"""The models on the box: which serves which pictures, since when and how, the way back to the one before, and trials.

The reader changes a pack, because the viewer may only read them: the page leaves a row (`cases.pack_changes`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from flask import Blueprint, abort, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from firmware_app.cases.accounts import Role
from firmware_app.cases.pack_changes import PackAction, PackChange, PackChanges, PackTrial, PackTrials
from firmware_app.core import clock, run_status
from firmware_app.core.clock import Stamp
from firmware_app.core.language import N_, translate, translate_term
from firmware_app.core.records import Reason
from firmware_app.dicom import body_part
from firmware_app.monitoring.performance_drops import PerformanceDrop, PerformanceDrops
from firmware_app.packs import manifest_types
from firmware_app.packs.errors import PackError
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.pack_store import PackStore
from firmware_app.packs.requirements import Route
from web import guard, notices
from web.viewer_context import Box, current_box

blueprint = Blueprint("models", __name__)

_SPOKEN: Final = re.compile(r"(\S+) (\S+) \((\S+) (\S+)\)", re.ASCII)  # as the reader announces its packs
_LATE_S: Final = 30.0
_NON_COMMERCIAL: Final = N_(
    "Licence of the weights: {licence}. They learnt from non-commercial data: for research and non-commercial use only."
)
_AGES: Final = {
    (True, True): N_("{min} to {max} years"),
    (True, False): N_("{min} years and older"),
    (False, True): N_("up to {max} years"),
    (False, False): N_("every age"),
}


@dataclass(frozen=True, slots=True)
class Model:
    """One pack in use: `way` is the runtime and precision of the running reader, empty where it does not use it."""

    pack: Pack
    title: str
    pictures: str
    ages: str
    licence: str
    """A sentence on the licence of its weights."""
    way: str
    loaded: str
    """The version that the running reader has loaded; empty where it has none."""
    installed_at: Stamp | None
    """None: it came with the software of the box."""
    before: str | None
    """The version to which one tap goes back."""
    change: PackChange | None
    trial: PackTrial | None
    """The trial of another version that runs now, or that was left and nobody has noted."""
    fall: PerformanceDrop | None
    """Whether it does worse here than its card says."""


@blueprint.get("/models")
@guard.polled
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def page() -> ResponseReturnValue:
    box = current_box()
    store, shelf = PackStore.from_config(box.config), PackStore.from_config(box.config).survey()
    changes, trials = PackChanges(box.clinical.database).all(), PackTrials(box.clinical.database).all()
    spoken, fallen = _read_announced_packs(box), notices.find_drops(box.clinical, box.config)
    models = [
        replace(
            _build_model(
                store, pack, spoken, change=changes.get(pack.name), trial=trials.get(pack.name), language=g.language
            ),
            fall=fallen.get(pack.name),
        )
        for pack in shelf.packs
    ]
    return render_template(
        "models.html",
        models=models,
        broken=[Reason.from_error(error) for error in shelf.broken],
        reads=spoken is not None,
        late=any(_is_late(change) for change in changes.values()),
        waits=any(change.asked for change in changes.values()),
        trial_images=box.config.packs.trial_images,
    )


@blueprint.post("/models/<pack>/back")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def back(pack: str) -> ResponseReturnValue:
    """Have the version before taken into use again; a second tap on an old page changes nothing more."""
    box = current_box()
    store = PackStore.from_config(box.config)
    try:
        used = store.find(pack)
    except PackError:
        abort(404)
    if store.find_previous_version(used) is None:
        abort(404)
    PackChanges(box.clinical.database).request_change(pack, used.manifest.version, guard.require_actor())
    return redirect(url_for("models.page"), 303)


@blueprint.post("/models/<pack>/<any(commit, drop):wish>")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def end_trial(pack: str, wish: str) -> ResponseReturnValue:
    """Have the version on trial put in use at once, or dropped."""
    box = current_box()
    trial = PackTrials(box.clinical.database).find_trial(pack)
    if trial is None or not trial.is_running:
        abort(404)
    PackChanges(box.clinical.database).request_change(pack, trial.version, guard.require_actor(), PackAction(wish))
    return redirect(url_for("models.page"), 303)


@blueprint.post("/models/<pack>/noted")
@guard.require_role(Role.DOCTOR, Role.TECHNICIAN)
def noted(pack: str) -> ResponseReturnValue:
    """A person has seen that a version was left, or that one does worse than its card says."""
    PerformanceDrops(current_box().clinical.database).acknowledge(pack, guard.require_actor())
    PackTrials(current_box().clinical.database).acknowledge(pack, guard.require_actor())
    return redirect(url_for("models.page"), 303)


def _build_model(
    store: PackStore,
    pack: Pack,
    spoken: Mapping[str, tuple[str, str]] | None,
    change: PackChange | None,
    trial: PackTrial | None,
    language: str,
) -> Model:
    manifest = pack.manifest
    loaded, way = (spoken or {}).get(pack.name, ("", ""))
    return Model(
        pack=pack,
        title=manifest.title.text(language),
        pictures=_format_modalities(manifest.route, language),
        ages=_format_ages(manifest.route, language),
        licence=_format_licence(manifest.weights_licence, language),
        way=way,
        loaded=loaded,
        installed_at=_find_install_time(store, pack),
        before=store.find_previous_version(pack),
        change=change,
        trial=trial if trial is not None and (trial.is_running or trial.notice is not None) else None,
        fall=None,
    )


def _read_announced_packs(box: Box) -> dict[str, tuple[str, str]] | None:
    """Name → (version, runtime and precision) of what the running reader has loaded; None while it does not run."""
    told = run_status.read_announcement(box.state, "reader")
    if told is None:
        return None
    return {
        name: (version, f"{runtime} {precision}")
        for name, version, runtime, precision in _SPOKEN.findall(str(told.get("packs") or ""))
    }


def _find_install_time(store: PackStore, pack: Pack) -> Stamp | None:
    if not store.is_installed(pack):
        return None
    try:
        at = store.link_of(pack.name).lstat().st_mtime
    except OSError:
        return None
    return Stamp(datetime.fromtimestamp(at, UTC), clock.stamp().trusted)


def _format_modalities(route: Route, language: str) -> str:
    """``X-ray: chest``: the modalities and the parts of the body, each named once."""
    separator = translate(N_(", "), language)
    machines = dict.fromkeys(translate_term("modality", modality, language) for modality in route.modalities)
    parts = dict.fromkeys(
        translate_term("body_part", body_part.parse_body_part(part) or part, language) for part in route.body_parts
    )
    return translate(N_("{machines}: {parts}"), language).format(
        machines=separator.join(machines), parts=separator.join(parts)
    )


def _format_ages(route: Route, language: str) -> str:
    span = route.age_years
    text = _AGES[span.min is not None, span.max is not None]
    return translate(text, language).format(min=span.min, max=span.max)


def _format_licence(of_weights: str | None, language: str) -> str:
    if of_weights is None:
        return translate(N_("Licence of the weights: not stated."), language)
    text = _NON_COMMERCIAL if manifest_types.is_non_commercial(of_weights) else N_("Licence of the weights: {licence}.")
    return translate(text, language).format(licence=manifest_types.format_licence(of_weights))


def _is_late(change: PackChange) -> bool:
    return change.asked and (clock.now() - change.at.at).total_seconds() > _LATE_S
