"""A pack that begins from weights that are not free is not free either."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from converters.failures import RecipeInvalid
from converters.packing import pack_manifest


def run(folder: Path, start: str) -> Any:
    recipe = SimpleNamespace(
        distill=SimpleNamespace(start=start), net=SimpleNamespace(is_foreign=False), describe="w.toml"
    )
    return SimpleNamespace(recipe=recipe, near=folder, work=folder / "work" / "own")


def words(licence: str | None) -> Any:
    return SimpleNamespace(weights_licence=licence, data=(SimpleNamespace(name="ours", licence="CC BY 4.0"),))


@pytest.mark.parametrize("start", ["pack:other", "pretrained:films.pt"])
@pytest.mark.parametrize(("licence", "allowed"), [("CC-BY-4.0", True), ("CC-BY-NC-4.0", False)])
def test_the_licence_of_what_a_network_begins_from_binds(
    tmp_path: Path, start: str, licence: str, allowed: bool
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text(json.dumps({"weights_licence": licence}))
    (tmp_path / "films.json").write_text(json.dumps({"sources": [{"name": "films", "licence": licence}]}))
    given = run(tmp_path, start)
    if allowed:
        assert pack_manifest.licence_of(given, words(None)) == "Apache-2.0"
    else:
        with pytest.raises(RecipeInvalid, match="is non-commercial"):
            pack_manifest.licence_of(given, words(None))
    assert pack_manifest.licence_of(given, words("CC-BY-NC-4.0")) == "CC-BY-NC-4.0"
    assert pack_manifest.licence_of(run(tmp_path, "imagenet"), words(None)) == "Apache-2.0"
