"""`lantern pack`: lists, shows, verifies, installs and removes model packs.

A change is audited under the name "console", as `lantern user` is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from firmware_app.cli import pack_measure
from firmware_app.cli.terminal import DONE, FAILED, Commands, add_command, open_clinical, print_json
from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.cases.pack_changes import PackTrial
    from firmware_app.core.settings import Config
    from firmware_app.packs.installer import PackChange
    from firmware_app.packs.pack_folder import Pack
    from firmware_app.packs.pack_store import PackStore
    from firmware_app.reading.routing import PackOverlap


def add_to(commands: Commands) -> None:
    """Add `pack` with its commands to the parser."""
    pack = commands.add_parser("pack", help="model packs on this box", epilog="Example: lantern pack list")
    below = pack.add_subparsers(required=True, metavar="COMMAND")
    pack_measure.add_to(below)
    add_command(below, "list", _list, "every pack in use, its version, origin and licence", "lantern pack list --json")
    show = add_command(
        below,
        "show",
        _show,
        "what a pack is for, how accurate it is and its limits",
        "lantern pack show chest-xray-child",
    )
    verify = add_command(
        below,
        "verify",
        _verify,
        "compare packs, file by file, with what was shipped or signed",
        "lantern pack verify --json",
    )
    verify.add_argument("pack", metavar="NAME", nargs="?", help="default: every pack")
    install = add_command(
        below,
        "install",
        _install,
        "fetch a signed pack from a stick or a web server and use it",
        "lantern pack install chest-xray-child --repository /media/stick/packs",
    )
    install.add_argument("--repository", required=True, metavar="PLACE", help="a folder, or an http(s) address")
    install.add_argument("--root", type=Path, metavar="FILE", help="the publisher's root.json; needed the first time")
    install.add_argument("--version", metavar="X.Y.Z", help="default: the newest that is offered")
    back = add_command(
        below, "rollback", _rollback, "go back to the previous version", "lantern pack rollback chest-xray-child"
    )
    won = add_command(
        below,
        "commit",
        _commit,
        "put the version that is on trial in use at once",
        "lantern pack commit chest-xray-child",
    )
    lost = add_command(
        below, "drop", _drop, "end the trial of a version; the one in use stays", "lantern pack drop chest-xray-child"
    )
    gone = add_command(below, "remove", _remove, "remove an installed pack", "lantern pack remove my-own-model")
    for parser in (show, install, back, won, lost, gone):
        parser.add_argument("pack", metavar="NAME", help="as `lantern pack list` prints it")


def _list(options: argparse.Namespace) -> int:
    from firmware_app.packs.manifest_types import format_licence
    from firmware_app.reading import routing

    config, store = _open(options)
    shelf = store.survey()
    shared = routing.find_overlaps(shelf.packs, config, store)
    language = config.box.language if options.json else printable_language(config.box.language)
    trials = _load_trials(config)
    for pack in shelf.packs:
        entry = {
            **_describe_pack(pack),
            "title": pack.manifest.title.text(language),
            "from": _describe_origin(pack, store),
        }
        entry["weights_licence"] = pack.manifest.weights_licence
        entry |= _describe_precedence(pack.name, shared) | _describe_trial(pack.name, store, trials)
        if options.json:
            print_json(entry)
        else:
            under = format_licence(pack.manifest.weights_licence)
            print("{name:<24}{version:<10}{from:<11}{under:<15}{title}".format(**entry, under=under))
            _print_trial(pack.name, store, trials, config)
    for overlap in shared if not options.json else ():
        print(overlap.reason.text(printable_language(config.box.language)))
    for error in shelf.broken:
        print(f"{error.code}: {error.text(printable_language(config.box.language, sys.stderr))}", file=sys.stderr)
    if not shelf.packs and not options.json:
        print("There is no model pack on this box. “lantern pack install NAME --repository PLACE” brings one.")
    return DONE


def _show(options: argparse.Namespace) -> int:
    config, store = _open(options)
    pack = store.find(options.pack)
    manifest, language = pack.manifest, printable_language(config.box.language)
    if options.json:
        described = manifest.model_dump(mode="json", by_alias=True)
        print_json({**described, "from": _describe_origin(pack, store), "folder": str(pack.folder)})
        return DONE
    title = manifest.title.text(language)
    print(f"{pack.name} {manifest.version}   {title}   ({_describe_origin(pack, store)}, {pack.folder})")
    _print_licence(pack, indent="  ")
    for text in (manifest.intended_use, manifest.not_for, *manifest.weak_points):
        print(f"  {text.text(language)}")
    if manifest.not_looked_for is not None:
        sentence = translate(N_("Not looked for: {others}."), language)
        print("  " + sentence.format(others=manifest.not_looked_for.text(language)))
    for finding in manifest.findings:
        print(f"  {finding.code}: threshold {finding.threshold:.3f}, {finding.priority}")
    for artefact in manifest.artefacts:
        print(f"  {artefact.runtime:<13}{artefact.precision:<6}{artefact.bytes / 1e6:>6.2f} MB  {artefact.path}")
    return DONE


def _verify(options: argparse.Namespace) -> int:
    from firmware_app.packs import installer
    from firmware_app.packs.errors import PackError

    config, store = _open(options)
    shelf = store.survey()
    packs = [store.find(options.pack)] if options.pack else list(shelf.packs)
    wrong: list[PackError] = [] if options.pack else list(shelf.broken)
    for pack in packs:
        try:
            installer.verify_pack(pack, store)
        except PackError as error:
            wrong.append(error)
        else:
            if options.json:
                print_json({**_describe_pack(pack), "whole": True, "code": None, "text": None})
            else:
                print(f"{pack.name:<24}{pack.manifest.version:<10}whole")
    for unusable in wrong:
        if options.json:
            entry = {"name": unusable.details.get("pack"), "version": None, "whole": False}
            print_json({**entry, "code": unusable.code, "text": unusable.text(config.box.language)})
        else:
            print(f"{unusable.code}: {unusable.text(printable_language(config.box.language))}")
    return FAILED if wrong else DONE


def _install(options: argparse.Namespace) -> int:
    from firmware_app.core import console
    from firmware_app.packs import installer
    from firmware_app.packs.repository import ROOT_FILE, fingerprint
    from firmware_app.reading import routing

    config, store = _open(options, writing=True)
    trial, was = config.packs.trial_images > 0, store.find_trial_version(options.pack)
    request = installer.InstallRequest(options.pack, options.repository, options.version, options.root, trial)
    with console.show_progress("fetched bytes", enabled=not options.json) as advance:
        change = installer.install_pack(store, request, advance, _make_checks(config, store))
    publisher = fingerprint((store.publisher / ROOT_FILE).read_bytes())
    if not change.age_judged:
        print("The box's clock is not confirmed, so the age of this repository was not checked.", file=sys.stderr)
    if change.before != change.pack.manifest.version:
        _audit_change(config, "pack.installed", change)
    elif change.on_trial not in (None, was):
        _record(config, "pack.installed", pack=options.pack, version=str(change.on_trial), before=change.before)
    shared = [
        overlap
        for overlap in routing.find_overlaps(store.survey().packs, config, store)
        if options.pack in overlap.names
    ]
    _print_change(
        options,
        store,
        change,
        publisher=publisher,
        age_judged=change.age_judged,
        **_describe_precedence(options.pack, shared),
    )
    for overlap in shared if not options.json else ():
        print(overlap.reason.text(printable_language(config.box.language)))
    if options.root and not options.json:
        print(f"Trusted from now on: the publisher {publisher}. Compare these figures with the publisher by telephone.")
    return DONE


def _make_checks(config: Config, store: PackStore) -> Callable[[Pack], None]:
    """The checks before a pack is used: its precedence is settled, and its golden cases give the right results here."""
    right_here = pack_measure.make_golden_check(config)

    def judge(pack: Pack) -> None:
        _refuse_unordered(pack, config, store)
        right_here(pack)

    return judge


def _refuse_unordered(pack: Pack, config: Config, store: PackStore) -> None:
    """Refuse a new pack that shares images with another until `[packs] prefer` says which is used."""
    from firmware_app.cli.errors import PACK_OVERLAPS
    from firmware_app.reading import routing

    packs = store.survey().packs
    shared = routing.find_overlaps(packs, config, store)
    known = {frozenset(overlap.names) for overlap in shared}
    others = [other for other in packs if other.name != pack.name]
    for overlap in routing.find_overlaps([*others, pack], config, store):
        if pack.name in overlap.names and not overlap.is_chosen and frozenset(overlap.names) not in known:
            raise PACK_OVERLAPS(pack=pack.name, other=next(name for name in overlap.names if name != pack.name))


def _rollback(options: argparse.Namespace) -> int:
    from firmware_app.packs import installer

    config, store = _open(options, writing=True)
    change = installer.roll_back(store, options.pack)
    _audit_change(config, "pack.rolled_back", change)
    _print_change(options, store, change)
    return DONE


def _commit(options: argparse.Namespace) -> int:
    from firmware_app.packs import installer

    config, store = _open(options, writing=True)
    change = installer.commit_trial(store, options.pack)
    _end_trial(config, change.pack.name, change.pack.manifest.version, "committed")
    if options.json:
        _print_change(options, store, change)
    else:
        print(f"{change.pack.name} {change.pack.manifest.version} is in use instead of {change.before}.")
        _print_licence(change.pack)
        print("A running reader starts anew with it by itself.")
    return DONE


def _drop(options: argparse.Namespace) -> int:
    from firmware_app.packs import installer

    config, store = _open(options, writing=True)
    version = installer.drop_trial(store, options.pack)
    _end_trial(config, options.pack, version, "dropped")
    serving = store.find(options.pack)
    if options.json:
        print_json({**_describe_pack(serving), "dropped": version})
    else:
        print(f"The trial of {options.pack} {version} is over; {serving.manifest.version} stays in use.")
    return DONE


def _remove(options: argparse.Namespace) -> int:
    from firmware_app.packs import installer

    config, store = _open(options, writing=True)
    gone = installer.remove_pack(store, options.pack)
    left = gone.left.manifest.version if gone.left else None
    _record(config, "pack.removed", pack=options.pack, version=left or "", before=gone.version)
    if options.json:
        print_json({"name": options.pack, "removed": gone.version, "version": left})
        return DONE
    print(f"{options.pack} {gone.version} is removed" + (f"; the shipped {left} takes its place." if left else "."))
    print("A running reader starts anew without it by itself.")
    return DONE


# --- printing -----------------------------------------------------------------------------------------------------


def _print_change(options: argparse.Namespace, store: PackStore, change: PackChange, **more: object) -> None:
    came = _load_changed_pack(change, store)
    if options.json:
        on_trial = {"on_trial": change.on_trial} if change.on_trial else {}
        licence = {"weights_licence": came.manifest.weights_licence}
        print_json({**_describe_pack(change.pack), "before": change.before, **licence, **on_trial, **more})
    elif change.on_trial:
        print(f"{change.pack.name} {change.on_trial} is on trial beside {change.before}, which goes on reading.")
        _print_licence(came)
        name = change.pack.name
        print("The trial begins by itself; “lantern pack list” shows how it goes.")
        print(f"“lantern pack commit {name}” puts it in use now, “lantern pack drop {name}” ends the trial.")
    elif change.before == change.pack.manifest.version:
        print(f"{change.pack.name} {change.before} is in use already, and whole.")
    else:
        was = f" instead of {change.before}" if change.before else ""
        print(f"{change.pack.name} {change.pack.manifest.version} is in place{was}.")
        _print_licence(came)
        print("A running reader starts anew with it by itself.")


def _load_changed_pack(change: PackChange, store: PackStore) -> Pack:
    """The version that the change brought: in use, or on trial."""
    from firmware_app.packs.pack_folder import Pack

    if change.on_trial is None:
        return change.pack
    return Pack.load(store.folder_of(change.pack.name, change.on_trial).resolve())


def _print_licence(pack: Pack, indent: str = "") -> None:
    from firmware_app.packs.manifest_types import describe_licence

    print(indent + describe_licence(pack.manifest.weights_licence))


def _describe_trial(name: str, store: PackStore, trials: dict[str, PackTrial]) -> dict[str, object]:
    """The version on trial with its figures so far, and why the last one was left; nothing where there is neither."""
    version, last = store.find_trial_version(name), trials.get(name)
    if version is not None:
        known = last if last is not None and last.version == version and last.is_running else None
        counts = (known.images, known.same, known.failed) if known is not None else (0, 0, 0)
        return {"on_trial": {"version": version, **dict(zip(("images", "same", "failed"), counts, strict=True))}}
    if last is not None and last.notice is not None:
        return {"left": {"version": last.version, "code": last.notice.code}}
    return {}


def _print_trial(name: str, store: PackStore, trials: dict[str, PackTrial], config: Config) -> None:
    about = _describe_trial(name, store, trials)
    if "on_trial" in about:
        told = "  on trial: {version}, {images} images of {most} so far, the same answer for {same}, failed on {failed}"
        print(told.format(**about["on_trial"], most=config.packs.trial_images))  # type: ignore[arg-type]
    elif "left" in about and (why := trials[name].notice) is not None:
        print(f"  {why.code}: {why.text(printable_language(config.box.language))}")


def _describe_precedence(name: str, shared: Sequence[PackOverlap]) -> dict[str, object]:
    """Which packs come before *name* for images that fit both, and which come after it."""
    return {
        "yields_to": [overlap.asked for overlap in shared if overlap.passed_over == name],
        "goes_before": [overlap.passed_over for overlap in shared if overlap.asked == name],
    }


def _describe_pack(pack: Pack) -> dict[str, object]:
    return {"name": pack.name, "version": pack.manifest.version}


def _describe_origin(pack: Pack, store: PackStore) -> str:
    return "installed" if store.is_installed(pack) else "shipped"


# --- the box ------------------------------------------------------------------------------------------------------


def _open(options: argparse.Namespace, *, writing: bool = False) -> tuple[Config, PackStore]:
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir
    from firmware_app.packs.pack_store import PackStore

    config = load_config(options.config)
    if writing:
        StateDir(config.state.dir).prepare()
    return config, PackStore.from_config(config)


def _audit_change(config: Config, action: str, change: PackChange) -> None:
    version = change.pack.manifest.version
    _record(config, action, pack=change.pack.name, version=version, before=change.before or "")


def _load_trials(config: Config) -> dict[str, PackTrial]:
    """The last trial of each pack; none where the database cannot be asked."""
    import sqlite3

    from firmware_app.cases.pack_changes import PackTrials
    from firmware_app.core.errors import LanternError

    try:
        with open_clinical(config) as clinical:
            return PackTrials(clinical.database).all()
    except (LanternError, sqlite3.DatabaseError):
        return {}


def _end_trial(config: Config, pack: str, version: str, state: Literal["committed", "dropped"]) -> None:
    """Note who ended the trial; where no reader has begun it yet, in the audit alone."""
    from firmware_app.cases.audit import CONSOLE, Audit
    from firmware_app.cases.pack_changes import PackTrials, TrialState
    from firmware_app.reading import trial_runner

    with open_clinical(config, writes=True, create=True) as clinical:
        if not trial_runner.end_trial(PackTrials(clinical.database), pack, TrialState(state), CONSOLE):
            Audit(clinical.database).record(CONSOLE, f"pack.{state}", pack=pack, version=version)


def _record(config: Config, action: str, **details: str) -> None:
    from firmware_app.cases.audit import CONSOLE, Audit

    with open_clinical(config, writes=True, create=True) as clinical:
        Audit(clinical.database).record(CONSOLE, action, **details)
