"""A version on trial: by which rules it loses, and that the old one or the new one serves, never neither."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from firmware_app.packs import installer, requirements
from firmware_app.packs import trial_rules as rules
from firmware_app.packs.errors import PackError
from firmware_app.packs.trial_rules import ComparedVersions, PairedReading
from tests.publishing_rig import NAME, PackPublisher, pack, write_checksums

WHO = ComparedVersions("toy", "1.1.0", "1.0.0")


def image(
    case: int, serving: bool, fresh: bool | None, truth: bool | None = None, ms: tuple[float, float] = (10.0, 10.0)
) -> PairedReading:
    return PairedReading(f"c-{case}", serving, fresh, truth, *ms)


def code(images: list[PairedReading]) -> str | None:
    lost = rules.find_loss(WHO, images)
    return lost.code if lost is not None else None


def test_a_version_that_agrees_and_is_as_fast_does_not_lose() -> None:
    assert code([image(n, n % 3 == 0, n % 3 == 0) for n in range(50)]) is None
    assert code([image(n, True, n >= 10) for n in range(50)]) is None  # four in five


@pytest.mark.parametrize("given", [False, None])  # another answer, and none
def test_a_version_that_differs_too_often_loses_unless_doctors_hold_with_it(given: bool | None) -> None:
    assert code([image(n, True, given if n < 11 else True) for n in range(50)]) == "pack.trial_differs"
    assert code([image(n, True, False, truth=False) if n < 11 else image(n, True, True) for n in range(50)]) is None


def test_a_version_that_doctors_contradict_more_often_loses() -> None:
    agreed = [image(n, True, True) for n in range(40)]
    worse = [image(100 + n, True, False, truth=True) for n in range(5)]
    assert code(agreed + worse) == "pack.trial_lost"
    assert code(agreed + worse[:4]) is None  # four of four may be chance: p = 1/16
    assert code(agreed + worse + [image(200 + n, True, False, truth=False) for n in range(3)]) is None


def test_a_case_of_several_images_is_one_word_of_the_doctors() -> None:
    films = [image(7, True, False, truth=True) for _ in range(9)]
    assert rules.count_discordant(films) == (1, 0)
    assert rules.count_discordant([*films, image(7, False, True, truth=True)]) == (0, 0)


def test_a_version_loses_by_time_only_where_it_is_clearly_slower_and_people_notice() -> None:
    def timed(old: float, new: float) -> str | None:
        return code([image(n, True, True, ms=(old, new)) for n in range(9)])

    assert timed(10.0, 100.0) is None
    assert timed(900.0, 1700.0) is None
    assert timed(900.0, 2000.0) == "pack.trial_slower"


# --- on the disk --------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> PackPublisher:
    """1.1.0 serves, 1.0.0 is kept before it, and 1.2.0 is offered."""
    made = PackPublisher(tmp_path)
    for version in ("1.0.0", "1.1.0"):
        made.publish(version)
        made.install(root=made.root)
    made.publish("1.2.0")
    return made


def test_the_next_version_is_on_trial_and_the_serving_one_and_the_one_before_stay(world: PackPublisher) -> None:
    change = world.install(trial=True)
    assert (change.pack.manifest.version, change.before, change.on_trial) == ("1.1.0", "1.1.0", "1.2.0")
    assert world.versions() == ["1.1.0"]
    assert world.install(trial=True).on_trial == "1.2.0"  # nothing is done twice
    assert [version.manifest.version for version in world.store.versions(NAME)] == ["1.0.0", "1.1.0", "1.2.0"]
    assert installer.roll_back(world.store, NAME).pack.manifest.version == "1.0.0"
    assert world.store.find_trial_version(NAME) is None  # it was compared with the version that is left


def test_a_trial_that_is_won_serves_and_the_version_before_is_kept(world: PackPublisher) -> None:
    world.install(trial=True)
    assert installer.commit_trial(world.store, NAME).before == "1.1.0"
    assert world.versions() == ["1.2.0"]
    assert world.store.find_trial_version(NAME) is None
    assert [version.manifest.version for version in world.store.versions(NAME)] == ["1.1.0", "1.2.0"]
    with pytest.raises(PackError, match=r"pack\.not_on_trial"):
        installer.commit_trial(world.store, NAME)


def test_a_trial_that_is_dropped_leaves_the_serving_version_and_may_begin_again(world: PackPublisher) -> None:
    world.install(trial=True)
    marks = world.store.trials()
    assert installer.drop_trial(world.store, NAME) == "1.2.0"
    assert world.versions() == ["1.1.0"]
    world.install(trial=True)
    assert world.store.trials() != marks  # another trial


def test_an_older_copy_of_the_repository_is_refused_after_a_roll_back_and_a_removal_too(
    world: PackPublisher, tmp_path: Path
) -> None:
    shutil.copytree(world.repository, tmp_path / "stick")
    world.publish("1.3.0")
    world.install()
    installer.roll_back(world.store, NAME)
    assert world.expect_refusal(str(tmp_path / "stick")).code == "pack.rolled_back"
    installer.remove_pack(world.store, NAME)
    with pytest.raises(PackError, match=r"pack\.rolled_back"):  # it clears away what was removed
        world.install(str(tmp_path / "stick"))
    assert world.install().pack.manifest.version == "1.3.0"


# --- the machine --------------------------------------------------------------------------------------------------

HERE = {"x86_64": ["sse2"], "aarch64": []}


@pytest.mark.parametrize(
    ("wants", "detail"),
    [
        ({"architectures": {"riscv": []}}, "manifest"),
        ({"architectures": {"aarch64": []}}, "aarch64"),
        ({"architectures": {"x86_64": ["no_such_feature"], "aarch64": ["no_such_feature"]}}, "no_such_feature"),
        ({"architectures": HERE, "runtimes": ["tpu"]}, "tpu"),
        ({"architectures": HERE, "runtimes": ["tpu", "onnxruntime"]}, ""),
        ({}, ""),
    ],
)
def test_a_pack_for_another_machine_is_refused_and_an_installed_one_is_not_used(
    world: PackPublisher, monkeypatch: pytest.MonkeyPatch, wants: dict[str, object], detail: str
) -> None:
    monkeypatch.setattr("firmware_app.packs.requirements.platform.machine", lambda: "x86_64")
    monkeypatch.setattr(requirements, "cpu_features", lambda: frozenset({"sse2", "avx2"}))
    made = pack(world.folder / "wants", "1.4.0")
    manifest = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps({**manifest, "hardware": wants}))
    write_checksums(made)
    if detail == "manifest":  # no machine is called so
        with pytest.raises(PackError, match=r"pack\.manifest"):
            world.publish_made(made)
        return
    world.publish_made(made)
    if not detail:
        assert world.install().pack.manifest.version == "1.4.0"
        monkeypatch.setattr("firmware_app.packs.requirements.platform.machine", lambda: "riscv64")
        shelf = world.store.survey()
        assert [one.code for one in shelf.broken] == (["pack.wrong_hardware"] if wants else [])
        return
    error = world.expect_refusal()
    assert error.code == "pack.wrong_hardware"
    assert detail in error.text("en")
