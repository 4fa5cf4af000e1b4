"""Which slot of a flashed box is kept, and how its disk is laid out."""

from __future__ import annotations

from pathlib import Path

from firmware_app.appliance.boot_slot import BootCounter, judge_slot
from systemd.build.disk_image import Slot, format_partition_table, list_partitions


def test_a_new_version_whose_processes_or_models_fail_is_left() -> None:
    assert judge_slot(frozenset({"gateway"}), was_good=False, other_ok=True) == "leave"
    assert judge_slot(frozenset({"packs", "disk"}), was_good=False, other_ok=True) == "leave"


def test_a_version_is_not_blamed_for_the_disk_nor_left_once_it_was_good_or_where_there_is_no_other() -> None:
    assert judge_slot(frozenset({"disk", "temperature"}), was_good=False, other_ok=True) == "good"
    assert judge_slot(frozenset({"packs"}), was_good=True, other_ok=True) == "good"
    assert judge_slot(frozenset({"packs"}), was_good=False, other_ok=False) == "good"


def test_a_slot_that_should_run_and_does_not_was_passed_over_by_the_boot_counter() -> None:
    counter = BootCounter.parse("ORDER=B A\nA_OK=1\nA_TRY=1\nB_OK=1\nB_TRY=3\n")
    assert counter.is_fallback("A")
    assert not counter.is_fallback("B")
    assert not BootCounter.parse("ORDER=B A\nA_OK=1\nB_OK=0\n").is_fallback("A"), (
        "RAUC is still writing it, or was cut off"
    )
    assert not BootCounter.parse("").is_fallback("A"), "a torn file says nothing"


def test_the_partitions_lie_one_behind_the_other_and_the_state_last() -> None:
    parts = list_partitions(Slot("1", Path("root.img"), Path("boot.img")), Path())
    lines = format_partition_table(parts).splitlines()[2:]
    assert lines[0].startswith("start=1MiB, size=1MiB")
    assert lines[1].startswith("start=2MiB, size=64MiB")
    assert [part.name for part in parts if part.content is None] == ["boot-b", "root-b"]
    assert lines[-1].endswith("name=var"), "so that it can grow to the end of the disk"
