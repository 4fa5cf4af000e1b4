"""Names and descriptions come out as they were written, whatever set the header names, misnames or leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings
from pydicom.valuerep import PersonName

from firmware_app.dicom.charset import decode_text

LATIN_NAMES = [
    "Müller^Jörg",
    "Größe",
    "José^Muñoz",
    "FRANÇOIS^RENÉ",
    "Ångström^Åsa",
    "Éloïse^Noël",
    "Œuvre"[1:],
    "Bjørn^Ærø",
    "Niño^Peña",
    "ÇELİK"[:3],
    "Thorax 90° schräg",
    "Ödön^Őry"[:4],
    "MÜLLER^ÄNNE",
    "Hände beidseits",
    "été à la plage",
]
CHINESE = [
    "张三",
    "王",
    "欧阳^建国",
    "Zhang^San=张^三",
    "朱镕基",
    "胸部正位",
    "DR胸片",
    "肺CT",
    "胸部 DR 后前位",
    "左膝关节正侧位",
    "赵钱孙李周吴郑王",
    "女",
    "骨盆X线",
    "T2加权",
]
SINGLE_BYTE = [
    (b"ISO_IR 100", "iso8859_1", "Buc^Jérôme"),
    (b"ISO_IR 101", "iso8859_2", "Wałęsa^Łucja"),
    (b"ISO_IR 109", "iso8859_3", "Ĉiuĵaŭde^Ŝanĝo"),
    (b"ISO_IR 110", "iso8859_4", "Ķēniņš^Šķūnis"),
    (b"ISO_IR 144", "iso8859_5", "Люкceмбypг"),
    (b"ISO_IR 127", "iso8859_6", "قباني^لنزار"),
    (b"ISO_IR 126", "iso8859_7", "Διονυσιος"),
    (b"ISO_IR 138", "iso8859_8", "שרון^דבורה"),
    (b"ISO_IR 148", "iso8859_9", "Çavuşoğlu^Şükrü"),
    (b"ISO_IR 203", "iso8859_15", "Œuvre^François"),
    (b"ISO_IR 166", "iso8859_11", "สมชาย^ใจดี"),
    (b"ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    (b"ISO_IR 192", "utf_8", "Wang^XiaoDong=王^小東="),
    (b"GB18030", "gb18030", "Wang^XiaoDong=王^小东="),
    (b"GBK", "gbk", "Wang^XiaoDong=王^小东="),
]


@pytest.mark.parametrize(("charset", "codec", "name"), SINGLE_BYTE)
def test_a_declared_set_is_read_as_declared(charset: bytes, codec: str, name: str) -> None:
    assert decode_text(name.encode(codec), charset, name=True) == name


# The bytes of PS3.5 Annexes H, I, J and K, as the standard prints them.
STANDARD = [
    (  # H.3.1
        rb"\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (  # H.3.2
        rb"ISO 2022 IR 13\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    (  # I.2
        rb"\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    (  # K.2
        rb"\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东=",
    ),
]


@pytest.mark.parametrize(("charset", "value", "name"), STANDARD)
def test_the_examples_of_the_standard_come_out_as_it_prints_them(charset: bytes, value: bytes, name: str) -> None:
    assert decode_text(value, charset, name=True) == name


@pytest.mark.parametrize(("charset", "value", "name"), STANDARD)
def test_escapes_are_followed_even_where_no_set_is_declared(charset: bytes, value: bytes, name: str) -> None:
    bare = value if not value.startswith(b"\xd4") else value[value.index(b"=") + 1 :]
    assert decode_text(bare, b"", name=True) == (name if bare == value else name[name.index("=") + 1 :])


def test_a_backslash_byte_within_a_japanese_character_is_no_delimiter() -> None:
    word = "表構十"
    value = word.encode("iso2022_jp")
    assert any(byte in value for byte in b"\\^=")
    assert decode_text(value, rb"\ISO 2022 IR 87", name=True) == word


def test_a_component_of_a_name_begins_anew_in_the_first_set() -> None:
    value = b"\x1b-L\xbb\xee^M\xfcller"
    assert decode_text(value, rb"ISO 2022 IR 100\ISO 2022 IR 144", name=True) == "Лю^Müller"
    assert decode_text(b"\x1b-L\xbb\xee ^ \xbb", rb"ISO 2022 IR 100\ISO 2022 IR 144") == "Лю ^ Л"


@pytest.mark.parametrize("codec", ["gbk", "gb18030", "utf_8"])
@pytest.mark.parametrize("charset", [b"", b"ISO_IR 100", b"ISO_IR 101", b"ISO_IR 192", b"ISO_IR 6", rb"\ISO_IR 100"])
def test_chinese_under_a_missing_or_wrong_set_is_chinese(charset: bytes, codec: str) -> None:
    wrong = {text for text in CHINESE if decode_text(text.encode(codec), charset) != text}
    # One character among ASCII letters is a word of Polish as well, and the two bytes of 女 are a letter of UTF-8.
    ambiguous = {b"ISO_IR 101": {"肺CT", "骨盆X线", "T2加权"}, b"ISO_IR 192": {"女"}}
    assert wrong <= (set() if codec == "utf_8" else ambiguous.get(charset, set()))


@pytest.mark.parametrize("charset", [b"GB18030", b"GBK", rb"\ISO 2022 IR 58", b"ISO_IR 100"])
def test_utf_8_under_the_name_of_a_chinese_set_is_read(charset: bytes) -> None:
    assert [decode_text(text.encode(), charset) for text in CHINESE] == CHINESE


@pytest.mark.parametrize("charset", [b"ISO_IR 100", b"", b"ISO_IR 148", b"iso-ir 100"])
def test_european_names_are_not_taken_for_chinese(charset: bytes) -> None:
    values = [text.encode("latin_1", "ignore") for text in LATIN_NAMES]
    assert [decode_text(value, charset, name=True) for value in values] == [value.decode("latin_1") for value in values]


@pytest.mark.parametrize("codec", ["gb18030", "utf_8"])
@pytest.mark.parametrize("charset", [b"", b"GB18030", b"ISO_IR 100", b"ISO_IR 192"])
def test_text_that_was_cut_within_a_character_keeps_all_whole_ones(codec: str, charset: bytes) -> None:
    text = "胸部正位片及左侧位片检查所见两肺纹理增多请结合临床随访观察两周后复查"
    for cut in range(58, 65):
        value = text.encode(codec)[:cut]
        whole = value.decode(codec, "ignore")
        assert whole == text[: len(whole)]
        assert decode_text(value, charset) in (whole, whole + "\ufffd")


@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"ISO_IR 100", b"ISO_IR 192", b"GB18030", rb"\ISO 2022 IR 87", b"\xff"]),
)
def test_no_bytes_can_break_the_reader(value: bytes, charset: bytes) -> None:
    assert isinstance(decode_text(value, charset, name=True), str)
    assert isinstance(decode_text(b"\x1b" + value, charset), str)
    assert isinstance(decode_text("\ufffd".encode() + value, charset), str)


@pytest.mark.parametrize(("charset", "value", "name"), STANDARD[:3])  # pydicom 3.0.2 leaves the 4th's escapes
def test_pydicom_reads_the_same(charset: bytes, value: bytes, name: str) -> None:
    codecs = convert_encodings(charset.decode().split("\\"))
    assert str(PersonName(value, codecs)) == name == decode_text(value, charset, name=True)


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 6", b"ISO_IR 100", b"ISO_IR 144", b"ISO_IR 192", b"GB18030", b"GBK"])
@pytest.mark.parametrize(
    "escape", [b"\x1b(B", b"\x1b(J", b"\x1b$B", b"\x1b$)C", b"\x1b$)A", b"\x1b-F", b"\x1b(K", b"\x1b[31m", b"\x1b"]
)
def test_an_escape_where_none_is_announced_does_not_show(charset: bytes, escape: bytes) -> None:
    """PS3.3 C.12.1.1.2: code extensions are announced; PS3.5 6.1.2.5.3: ISO_IR 192 and GB18030 have none."""
    for value in (escape + b"DOE^JOHN", b"DOE" + escape + b"^JOHN", b"DOE^JOHN" + escape):
        assert decode_text(value, charset, name=True) == "DOE^JOHN"
        assert decode_text(value, charset) == "DOE^JOHN"
    assert decode_text(b"DOE\x1b$", charset) == "DOE"  # cut after the most characters that a value may have


@pytest.mark.parametrize("escape", [b"\x1b(B", b"\x1b$)C", b"\x1b[0m", b"\x1b"])
def test_an_escape_in_utf_8_or_gb18030_leaves_the_letters_around_it(escape: bytes) -> None:
    for charset, codec in (
        (b"ISO_IR 192", "utf_8"),
        (rb"ISO_IR 192\ISO 2022 IR 87", "utf_8"),
        (b"GB18030", "gb18030"),
        (b"GBK", "gb18030"),
    ):
        value = "王^".encode(codec) + escape + "小明".encode(codec)
        assert decode_text(value, charset, name=True) == "王^小明"


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 6", b"ISO_IR 100", b"ISO_IR 144", b"ISO_IR 192", b"GB18030"])
@pytest.mark.parametrize("name", ["DOE^JOHN", "王^小明", "Müller^Jörg"])
def test_a_byte_order_mark_does_not_show_and_says_that_it_is_utf_8(charset: bytes, name: str) -> None:
    assert decode_text(b"\xef\xbb\xbf" + name.encode(), charset, name=True) == name
    assert decode_text(b"\xef\xbb\xbfA=\xef\xbb\xbf" + name.encode(), charset, name=True) == "A=" + name
    assert decode_text("\ufeff".encode("gb18030") + "王".encode("gb18030"), b"GB18030") == "王"


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 100", b"ISO_IR 192", b"GB18030", rb"\ISO 2022 IR 149"])
def test_control_characters_do_not_show(charset: bytes) -> None:
    """PS3.5 6.1.3: of C0 only TAB, LF, FF and CR are allowed, in texts of several lines; ESC for code extensions."""
    every = bytes(byte for byte in (*range(0x20), 0x7F) if byte != 0x1B)
    assert decode_text(b"DO" + every + b"E", charset, name=True) == "DOE"
    assert decode_text(b"DO" + every + b"E", charset) == "DO\t\n\f\rE"
    assert decode_text("王\x01\x07".encode("gb18030") + b"E", b"GB18030", name=True) == "王E"
