"""`lantern pack measure`: tries every way to run each pack on this box: its time, whether it is right, which is used.

Each way is tried in a process of its own, which may crash.  The reader uses the same stored results.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from firmware_app.cli.terminal import Commands, add_command
from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.core.console import ProgressLine
    from firmware_app.core.runtimes import RuntimeSettings
    from firmware_app.core.settings import Config
    from firmware_app.packs.execution_variants import ExecutionVariant, TrialResult, TrialResults
    from firmware_app.packs.pack_folder import Pack

_DONE, _NONE_RIGHT = 0, 3
_HEADING: Final = f"{'pack':<24}{'runtime':<14}{'precision':<11}{'ms':>8}  {'tests':>5}  answers"


def add_to(below: Commands) -> None:
    """Add `measure` to the commands of `lantern pack`."""
    measure = add_command(
        below,
        "measure",
        _measure,
        "try every runtime with each pack, and show which one is used",
        "lantern pack measure chest-xray-child",
    )
    measure.add_argument("pack", metavar="NAME", nargs="?", help="default: every pack")
    measure.add_argument("--again", action="store_true", help="repeat what was measured on this box before")


def _measure(options: argparse.Namespace) -> int:
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir
    from firmware_app.packs.execution_variants import TrialResults
    from firmware_app.packs.pack_store import PackStore

    config = load_config(options.config)
    state = StateDir(config.state.dir)
    state.prepare()
    store, results = PackStore.from_config(config), TrialResults(state.trials)
    packs = [store.find(options.pack)] if options.pack else list(store.survey().packs)
    if not options.json:
        print(_HEADING)
    all_chosen = True
    for pack in packs:
        pack.verify()
        language = config.box.language if options.json else printable_language(config.box.language)
        chosen = _print_table(pack, config, results, options, language)
        all_chosen = all_chosen and chosen is not None
    return _DONE if all_chosen else _NONE_RIGHT


def _print_table(
    pack: Pack, config: Config, results: TrialResults, options: argparse.Namespace, language: str
) -> ExecutionVariant | None:
    """Measure what is not yet known about *pack* and print it; returns the way that is used."""
    from firmware_app.core import console
    from firmware_app.packs import execution_variants
    from firmware_app.packs.execution_variants import result_as_json

    settings, possible = config.reader, execution_variants.list_variants(pack, config.reader)
    with console.show_progress(f"{pack.name}: tried") as tried:
        results_of = _collect_results(
            pack, possible, config.runtime_settings, results=results, again=options.again, tried=tried
        )
    kept_to = results.read_choice(pack, config.runtime_settings)
    best = next(iter(execution_variants.rank_variants(possible, results_of, settings, kept_to)), None)
    for way, result in sorted(results_of.items(), key=lambda pair: pair[1].milliseconds or float("inf")):
        if options.json:
            identity = {"pack": pack.name, "pack_version": pack.manifest.version}
            print(
                json.dumps({**identity, **result_as_json(result, language, way == best)}, ensure_ascii=False),
                flush=True,
            )
        else:
            print(_format_row(pack.name, way, result, way == best, language), flush=True)
    return best


def _collect_results(
    pack: Pack,
    possible: list[ExecutionVariant],
    settings: RuntimeSettings,
    results: TrialResults,
    again: bool,
    tried: ProgressLine,
) -> dict[ExecutionVariant, TrialResult]:
    from firmware_app.reading import variant_trial

    known = {} if again else results.read_results(pack, possible, settings)
    results_of: dict[ExecutionVariant, TrialResult] = {}
    for done, way in enumerate(possible):
        tried(done, len(possible))
        if way in known:
            results_of[way] = known[way]
            continue
        results_of[way] = variant_trial.try_variant(pack, way, settings)
        if variant_trial.is_kept(results_of[way]):
            results.keep(pack, results_of[way], settings)
    return results_of


def _format_row(pack: str, way: ExecutionVariant, result: TrialResult, chosen: bool, language: str) -> str:
    taken = "-" if result.milliseconds is None else f"{result.milliseconds:.2f}"
    right = translate(N_("right, used") if chosen else N_("right"), language)
    said = right if result.reason is None else result.reason.text(language)
    return f"{pack:<24}{way.runtime:<14}{way.precision:<11}{taken:>8}  {result.cases:>5}  {said}"


def make_golden_check(config: Config) -> Callable[[Pack], None]:
    """A check that runs a pack's golden cases in a child on this box, before the pack replaces one that works."""
    from firmware_app.cli.errors import PACK_NOT_RIGHT_HERE
    from firmware_app.reading import variant_trial

    def judge(pack: Pack) -> None:
        results = variant_trial.check_pack(pack, config) or []
        if not results or not results[-1].is_right:
            detail = variant_trial.describe_failures(results)
            raise PACK_NOT_RIGHT_HERE(pack=pack.name, version=pack.manifest.version, detail=detail)

    return judge
