"""The technician's file is checked before anything runs, and the answer names the key."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from firmware_app.core import settings as config
from firmware_app.core.errors import (
    CONFIG_INVALID,
    CONFIG_IS_FOLDER,
    CONFIG_MISSING,
    CONFIG_NOT_TOML,
    CONFIG_NOT_UTF8,
    CONFIG_TWICE,
    CONFIG_UNKNOWN_KEY,
)
from firmware_app.packs.runtimes import registry
from tests.refusals import raises_refusal


def write_config(folder: Path, text: str) -> Path:
    path = folder / "lantern.toml"
    path.write_text(text, "utf-8")
    return path


def test_an_unknown_key_is_refused_and_the_known_ones_are_named(tmp_path: Path) -> None:
    with raises_refusal(CONFIG_UNKNOWN_KEY) as caught:
        config.load_config(write_config(tmp_path, "[dicom]\nprot = 104\n"), {})
    assert caught.value.key == "dicom.prot"
    assert "port" in caught.value.known


def test_an_unknown_section_is_refused(tmp_path: Path) -> None:
    with raises_refusal(CONFIG_UNKNOWN_KEY, match="box, state, dicom"):
        config.load_config(write_config(tmp_path, "[dcm]\nport = 104\n"), {})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[dicom]\nport = "many"\n', "dicom.port"),
        ('[dicom]\nae_title = "SEVENTEENLETTERSX"\n', "dicom.ae_title"),
        ('[dicom]\nae_title = "BACK\\\\SLASH"\n', "dicom.ae_title"),
        ('[box]\nusual_population = "both"\n', "box.usual_population"),
        ('[box]\nlanguage = "fr"\n', "box.language"),
        ('[dicom]\nallowed_addresses = ["999"]\n', "dicom.allowed_addresses.0"),
        ('[reader]\nruntimes = ["onnx"]\n', "reader.runtimes.0"),
        ('[reader]\nprecision = "int4"\n', "reader.precision"),
        ("[reader]\nprevalence = { pneumonia = 0 }\n", "reader.prevalence.pneumonia"),
        ('[reader]\nprevalence = { pneumonia = "rare" }\n', "reader.prevalence.pneumonia"),
        ("[reader]\nprevalence = 0.1\n", "reader.prevalence"),
        ("[reader]\ndecode_seconds = inf\n", "reader.decode_seconds"),
        ('[state]\ndir = "here"\n', "state.dir"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, text: str, key: str) -> None:
    with raises_refusal(CONFIG_INVALID) as caught:
        config.load_config(write_config(tmp_path, text), {})
    assert caught.value.key == key


def test_a_missing_file_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with raises_refusal(CONFIG_MISSING):
        config.load_config(tmp_path / "nothing.toml", {})


def test_broken_toml_says_where(tmp_path: Path) -> None:
    with raises_refusal(CONFIG_NOT_TOML, match=r"Line 1 of"):
        config.load_config(write_config(tmp_path, "[dicom\n"), {})


# --- a file that is none ------------------------------------------------------------------------------------------


def test_a_byte_order_mark_of_windows_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "lantern.toml"
    path.write_bytes(b"\xef\xbb\xbf[dicom]\r\nport = 104\r\n")
    assert config.load_config(path, {}).dicom.port == 104


def test_a_file_in_gbk_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "lantern.toml"
    path.write_bytes('[box]\nid = "b"\nname = "卫生院"\n'.encode("gbk"))
    with raises_refusal(CONFIG_NOT_UTF8) as caught:
        config.load_config(path, {})
    assert caught.value.line == 3


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    with raises_refusal(CONFIG_IS_FOLDER):
        config.load_config(tmp_path, {})


# --- where a value was written ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ('[pacs]\nhost = "10.0.0.4"\n\n[pacs.more.county]\nhots = "10.0.0.5"\n', "pacs.more.county.hots", 5),
        ("[worklist.hospital]\nprot = 104\n", "worklist.hospital.prot", 2),
        ('pacs = { more = { county = { hots = "a" } } }\n', "pacs.more.county.hots", 1),
        ('[runtimes.openvino]\nthreads = 2\ncache_dri = "x"\n', "runtimes.openvino.cache_dri", 3),
        ("[box]\n# nothing\n[dicmo]\nport = 1\n", "dicmo", 3),
    ],
)
def test_a_typo_is_named_with_its_line_wherever_it_stands(tmp_path: Path, text: str, key: str, line: int) -> None:
    path = write_config(tmp_path, text)
    with raises_refusal(CONFIG_UNKNOWN_KEY) as caught:
        config.load_config(path, {})
    assert (caught.value.key, caught.value.place) == (key, f"{path}:{line}")


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ('[dicom]\nallowed_addresses = [\n  "10.0.0.0/8",\n  "999",\n]\n', "dicom.allowed_addresses.1", 2),
        ('[pacs.more.county]\nhost = "a"\nport = "many"\n', "pacs.more.county.port", 3),
        ("[dicomweb]\nenabled = true\n", "dicomweb", 1),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path: Path, text: str, key: str, line: int) -> None:
    path = write_config(tmp_path, text)
    with raises_refusal(CONFIG_INVALID) as caught:
        config.load_config(path, {})
    assert (caught.value.key, caught.value.place) == (key, f"{path}:{line}")


def test_a_value_of_the_environment_is_named_by_its_variable() -> None:
    with raises_refusal(CONFIG_INVALID) as caught:
        config.load_config(None, {"LANTERN_DICOM__PORT": "many"})
    assert caught.value.place == "LANTERN_DICOM__PORT"


def test_the_environment_sets_a_second_archive(tmp_path: Path) -> None:
    variables = {"LANTERN_PACS__MORE__COUNTY__HOST": "10.0.0.5", "LANTERN_PACS__MORE__COUNTY__OBJECTS": "sr, sc"}
    assert config.load_config(write_config(tmp_path, ""), variables).pacs.more["county"].objects == ("sr", "sc")


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write_config(tmp_path, "[dicom]\nport = 104\n")
    environment = {"LANTERN_DICOM__PORT": "0", "LANTERN_DICOM__ALLOWED_CALLING": "CR1, US1", "OTHER": "x"}
    loaded = config.load_config(path, environment)
    assert loaded.dicom.port == 0
    assert loaded.dicom.allowed_calling == ("CR1", "US1")


def test_an_unknown_key_in_the_environment_is_refused() -> None:
    with raises_refusal(CONFIG_UNKNOWN_KEY):
        config.load_config(None, {"LANTERN_DICOM__PROT": "1"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LANTERN_DICOM__ALLOWED_CALLING", "[bad"),
        ("LANTERN_STATE__DIR", ""),
        ("LANTERN_READER__DECODE_SECONDS", "inf"),
        ("LANTERN_READER__PREVALENCE", "{bad"),
        ("LANTERN_READER__PREVALENCE", "pneumonia"),
    ],
)
def test_a_broken_override_is_a_sentence_and_no_traceback(name: str, text: str) -> None:
    with raises_refusal(CONFIG_INVALID):
        config.load_config(None, {name: text})


def test_every_key_has_a_title_and_a_help_line() -> None:
    sections = [field.annotation for name, field in config.Config.model_fields.items() if name != "runtimes"]
    for model in (*sections, *(registry.get_runtime(key).Config for key in registry.list_runtimes())):
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        assert model.__doc__
        for name, field in model.model_fields.items():
            assert field.title, name
            assert field.description, name


def test_what_config_show_prints_is_the_same_configuration(tmp_path: Path) -> None:
    loaded = config.load_config(None, {"LANTERN_DICOM__ALLOWED_CALLING": "A,B", "LANTERN_STATE__DIR": str(tmp_path)})
    assert config.load_config(write_config(tmp_path, config.describe_config(loaded)), {}) == loaded


@pytest.mark.parametrize("text", ["pneumonia=0.02, nodule=0.1", '{"pneumonia": 0.02, "nodule": 0.1}'])
def test_prevalences_come_from_the_environment_and_are_printed_as_toml(tmp_path: Path, text: str) -> None:
    loaded = config.load_config(None, {"LANTERN_READER__PREVALENCE": text, "LANTERN_STATE__DIR": str(tmp_path)})
    assert loaded.reader.prevalence == {"pneumonia": 0.02, "nodule": 0.1}
    assert "prevalence = { pneumonia = 0.02, nodule = 0.1 }" in config.describe_config(loaded)
    assert config.load_config(write_config(tmp_path, config.describe_config(loaded)), {}) == loaded


def test_a_second_archive_stands_below_the_first_and_is_shown_as_it_can_be_loaded(tmp_path: Path) -> None:
    text = '[pacs]\nhost = "10.0.0.4"\n[pacs.more.county]\nhost = "10.0.0.5"\nsend = true\nobjects = ["sr"]\n'
    loaded = config.load_config(write_config(tmp_path, text), {})
    assert list(loaded.pacs.archives) == ["pacs", "county"]
    assert loaded.pacs.sends_results
    assert config.load_config(write_config(tmp_path, config.describe_config(loaded)), {}) == loaded


def test_every_runtime_that_is_installed_may_be_pinned() -> None:
    pinned = ",".join(registry.list_runtimes())
    assert config.load_config(None, {"LANTERN_READER__RUNTIMES": pinned}).reader.runtimes == tuple(
        registry.list_runtimes()
    )


# --- the runtimes' own sections ------------------------------------------------------------------------------------


def test_a_runtimes_own_settings_come_from_file_and_environment_and_are_shown(tmp_path: Path) -> None:
    path = write_config(tmp_path, '[reader]\nthreads = 2\n[runtimes.openvino]\ncache_dir = "/var/cache/ov"\n')
    loaded = config.load_config(
        path, {"LANTERN_RUNTIMES__OPENVINO__EXACT": "false", "LANTERN_STATE__DIR": str(tmp_path)}
    )
    expected = {"threads": 2, "cache_dir": "/var/cache/ov", "exact": False}
    assert loaded.runtime_settings.select("openvino") == expected
    assert loaded.runtime_settings.select("onnxruntime") == {"threads": 2}
    shown = config.describe_config(loaded)
    assert "[runtimes.openvino]\n# threads = 0 " in shown
    assert "# [runtimes.onnxruntime]\n" in shown
    assert config.load_config(write_config(tmp_path, shown), {}) == loaded


@pytest.mark.parametrize(
    ("section", "key", "known"),
    [
        ("[runtimes.openvino]\ncache_dri = 1", "runtimes.openvino.cache_dri", "threads, cache_dir, exact"),
        ("[runtimes.abacus]\nthreads = 1", "runtimes.abacus", "onnxruntime, openvino, litert"),
    ],
)
def test_an_unknown_runtime_or_key_of_one_is_refused(tmp_path: Path, section: str, key: str, known: str) -> None:
    with raises_refusal(CONFIG_UNKNOWN_KEY) as caught:
        config.load_config(write_config(tmp_path, section), {})
    assert (caught.value.key, caught.value.known) == (key, known)


@pytest.mark.parametrize("name", ["openvino", "nothing__at_all"])
def test_a_runtimes_override_that_is_no_key_is_refused(name: str) -> None:
    with raises_refusal(CONFIG_UNKNOWN_KEY, CONFIG_INVALID):
        config.load_config(None, {f"LANTERN_RUNTIMES__{name}": "x"})


def test_every_character_that_a_name_may_hold_is_written_as_toml() -> None:
    name = "".join(map(chr, (*range(1, 0x180), 0x1F600)))
    assert tomllib.loads(config.to_toml({"box": {"name": name}})) == {"box": {"name": name}}


# --- a file that was written by the box ----------------------------------------------------------------------------


def test_a_section_can_be_added_to_the_file_that_the_box_writes(tmp_path: Path) -> None:
    """As the handbook says it of a second archive and of the hospital's worklist."""
    shown = config.describe_config(config.load_config(None, {"LANTERN_STATE__DIR": str(tmp_path)}))
    archive, worklist = '[pacs.more.county]\nhost = "10.0.0.5"', '[worklist.hospital]\nhost = "10.0.0.6"'
    added = f'\n{archive}\n{worklist}\n[worklist.stations]\nCR1 = "DX"\n'
    loaded = config.load_config(write_config(tmp_path, shown + added), {})
    assert (loaded.pacs.more["county"].host, loaded.worklist.hospital.host) == ("10.0.0.5", "10.0.0.6")
    assert config.load_config(write_config(tmp_path, config.describe_config(loaded)), {}) == loaded


@pytest.mark.parametrize(
    "text", ["[dicom]\nport = 1\n[box]\n[dicom]\nport = 2\n", '[pacs]\nmore = {}\n\n[pacs.more.a]\nhost = "h"\n']
)
def test_a_section_that_stands_twice_is_named_as_such(tmp_path: Path, text: str) -> None:
    with raises_refusal(CONFIG_TWICE) as caught:
        config.load_config(write_config(tmp_path, text), {})
    assert caught.value.line == 4
