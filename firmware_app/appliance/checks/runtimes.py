"""What `lantern doctor` says of the runtimes: which work here, and which way of running each model this box has chosen.

Each runtime is asked in a process of its own: one that crashes or hangs when it is loaded costs the doctor nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs import execution_variants
from firmware_app.packs.execution_variants import TrialResults
from firmware_app.packs.pack_store import PackStore
from firmware_app.packs.runtimes import registry
from firmware_app.reading import variant_trial

ORDER: Final = 100
NAMES: Final = {"runtimes": N_("Runtimes")}
HANDBOOK: Final = Section(N_("Models"), ("doctor.runtime_*", "doctor.way_*", "runtime.*"))
_RUNTIME_OK: Final = register("doctor.runtime_ok", N_("The inference runtime {runtime} {version} works."))
_RUNTIME_SPARE: Final = register(
    "doctor.runtime_spare", N_("The inference runtime {runtime} is not used: {detail}. Nothing needs to be done.")
)
_CHOSEN: Final = register(
    "doctor.way_chosen",
    N_(
        "The model {pack} runs on {runtime} in {precision}: {milliseconds} ms for one film, measured here. The box "
        "keeps to this until it fails or another way is clearly faster."
    ),
)
_UNTRIED: Final = register(
    "doctor.way_untried",
    N_("How the model {pack} runs best has not been measured yet. The box does it when it has nothing to read."),
)
NO_VARIANT: Final = register(
    "doctor.way_none",
    N_("No runtime on this box answers the test images of the model {pack} rightly, so nothing is read with it."),
)


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    yield from _check_runtimes(config)
    yield from check_execution_variants(config, state)


def _check_runtimes(config: Config) -> Iterator[Check]:
    for key, probe in variant_trial.probe_runtimes(tuple(registry.list_runtimes())).items():
        if probe["available"]:
            yield Check("runtimes", "ok", Reason(_RUNTIME_OK, {"runtime": key, "version": probe["version"] or ""}))
        elif key in config.reader.runtimes:
            yield Check("runtimes", "fail", Reason(variant_trial.ABSENT, {"runtime": key, "detail": probe["detail"]}))
        else:
            yield Check("runtimes", "ok", Reason(_RUNTIME_SPARE, {"runtime": key, "detail": probe["detail"]}))


def check_execution_variants(config: Config, state: StateDir) -> Iterator[Check]:
    """The remembered results of the trials; nothing is tried here."""
    settings, results = config.reader, TrialResults(state.trials)
    for pack in PackStore.from_config(config).survey().packs:
        possible = execution_variants.list_variants(pack, settings)
        known = results.read_results(pack, possible, config.runtime_settings)
        for result in known.values():
            if result.reason is not None:
                yield Check("runtimes", "warn", result.reason)
        kept_to = results.read_choice(pack, config.runtime_settings)
        best = next(iter(execution_variants.rank_variants(possible, known, settings, kept_to)), None)
        if best is None:
            yield Check("runtimes", "fail", Reason(NO_VARIANT, {"pack": pack.name}))
        elif best not in known:
            yield Check("runtimes", "ok", Reason(_UNTRIED, {"pack": pack.name}))
        else:
            details = {"pack": pack.name, "runtime": best.runtime, "precision": best.precision}
            yield Check(
                "runtimes",
                "ok",
                Reason(_CHOSEN, {**details, "milliseconds": round(known[best].milliseconds or 0.0, 1)}),
            )
