"""Names of persons as DICOM has them: Chinese characters, Latin letters and pinyin.

A name is written as DICOM has it (PS3.5 6.2.1): Latin letters for every console, Chinese ones beside them.  Pinyin is
pypinyin's, one character at a time and without its dictionary of phrases: a name is no phrase, and the dictionary takes
45 MB.  Surnames that are read in their own way are listed here.  The person who registers sees the pinyin and may
correct it.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Final

from firmware_app.cases.errors import SPELLING_MISSING, NameUnusable

LONGEST_NAME: Final = 64  # characters of one group of a PN


def _read_table(text: str) -> dict[str, str]:
    """Surname -> pinyin."""
    return dict(re.findall(r"([^A-Z ]+)([A-Z]+)", text))


_COMPOUND: Final = _read_table(
    "欧阳OUYANG 司马SIMA 上官SHANGGUAN 诸葛ZHUGE 夏侯XIAHOU 皇甫HUANGFU 尉迟YUCHI 公孙GONGSUN "
    "慕容MURONG 令狐LINGHU 长孙ZHANGSUN 宇文YUWEN 东方DONGFANG 独孤DUGU 南宫NANGONG 司徒SITU "
    "司空SIKONG 端木DUANMU 呼延HUYAN 澹台TANTAI 万俟MOQI 鲜于XIANYU 闻人WENREN 申屠SHENTU "
    "太史TAISHI 轩辕XUANYUAN 濮阳PUYANG 淳于CHUNYU 钟离ZHONGLI 东郭DONGGUO 百里BAILI 公冶GONGYE "
    "宗政ZONGZHENG 西门XIMEN 第五DIWU"
)
_SURNAMES: Final = _read_table(
    "曾ZENG 单SHAN 解XIE 仇QIU 区OU 查ZHA 乐YUE 朴PIAO 缪MIAO 翟ZHAI 员YUN 折SHE 召SHAO "
    "种CHONG 繁PO 秘BI 覃QIN 卜BU 薄BO 都DU 能NAI 莘SHEN 乜NIE 句GOU 逄PANG 盖GAI 隗WEI"
)
_DOTS: Final = "·•‧・"
_FORBIDDEN: Final = re.compile(r"[\\=^\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufffd]")
_SPELLED: Final = re.compile(r"[A-Z][A-Z' .\-]*")


def clean_name(name: str) -> str:
    """*name* in one line, as it is shown; Chinese characters without spaces.  Raises `NameUnusable`."""
    one_line = " ".join(unicodedata.normalize("NFC", name).replace("\u3000", " ").split())
    shown = one_line.replace(" ", "") if is_chinese(one_line) else one_line
    if not shown or len(shown) + 1 > LONGEST_NAME or _FORBIDDEN.search(shown):  # 1: for the sign between its parts
        raise NameUnusable(most=LONGEST_NAME - 1)
    return shown


def is_chinese(name: str) -> bool:
    """Whether *name* has Chinese characters."""
    return any(unicodedata.name(character, "").startswith("CJK ") for character in name)


def split_name(name: str) -> tuple[str, str]:
    """Family and given name of a clean *name*; all in the first where the order cannot be known."""
    if not is_chinese(name) or any(dot in name for dot in _DOTS):  # a name such as 买买提·吐尔逊 is not turned round
        return name, ""
    length = 2 if name[:2] in _COMPOUND and len(name) > 2 else 1
    return name[:length], name[length:]


def spell_name(name: str) -> str:
    """The pinyin of a clean *name*, the family name first, as ``OUYANG FENG``; of a Latin name the name itself.

    The Ü of LÜ and NÜ is written YU (GB/T 28039-2011).  Empty where a character's pinyin is not known.
    """
    if not is_chinese(name):
        return name.upper() if name.isascii() else ""
    family, given = split_name(name)
    if not given:
        return " ".join(_to_pinyin(part) for part in re.split(f"[{_DOTS}]", name)).strip() if _has_pinyin(name) else ""
    said = _COMPOUND.get(family) or _SURNAMES.get(family) or _to_pinyin(family)
    return f"{said} {_to_pinyin(given)}" if _has_pinyin(family + given) else ""


def format_person_name(name: str, spelled: str) -> str:
    """The PN of a clean *name* with its pinyin *spelled*, as ``OUYANG^FENG=欧阳^锋``.  Raises `SPELLING_MISSING`."""
    letters = " ".join(unicodedata.normalize("NFKC", spelled).upper().replace("^", " ").split())
    if not is_chinese(name) and name.isascii():
        return name
    if len(letters) > LONGEST_NAME or _SPELLED.fullmatch(letters) is None:
        raise SPELLING_MISSING()
    family, given = split_name(name)
    latin = letters.replace(" ", "^", 1) if given else letters
    return f"{latin}={family}^{given}" if given else f"{latin}={name}"


def list_syllables(name: str) -> tuple[frozenset[str], ...]:
    """How each character, or each word of Latin letters, of *name* may sound, in lower case and without tones."""
    parts = re.findall(r"[a-z']+|[^\W\d_a-z]", unicodedata.normalize("NFKC", name).lower())
    return tuple(_list_sounds(part) for part in parts)


def matches_sounds(typed: str, sounds: tuple[frozenset[str], ...]) -> bool:
    """Whether *typed* (lower-case letters) spells a name from one of its *sounds* on, whole or by initials.

    ``wxm``, ``wangxm``, ``xiaoming`` and ``wangxiao`` are all heard in 王小明.
    """
    return bool(typed) and any(_is_spelling(typed, sounds[first:]) for first in range(len(sounds)))


def _is_spelling(typed: str, sounds: tuple[frozenset[str], ...]) -> bool:
    reached = {0}
    for options in sounds:
        further: set[int] = set()
        for place in reached:
            rest = typed[place:]
            for sound in options:
                if sound.startswith(rest):
                    return True
                if rest.startswith(sound):
                    further.add(place + len(sound))
                if rest[0] == sound[0]:
                    further.add(place + 1)
        reached = further
    return False


def _list_sounds(part: str) -> frozenset[str]:
    if part.isascii():
        return frozenset({part.replace("'", "") or "'"})
    os.environ.setdefault("PYPINYIN_NO_PHRASES", "true")
    from pypinyin import Style, pinyin  # takes 13 MB: only where somebody looks for a name

    said = {
        sound.replace("ü", "v")
        for (sound, *more) in pinyin(part, Style.NORMAL, heteronym=True)
        for sound in (sound, *more)
    }
    return frozenset(said | ({_SURNAMES[part].lower()} if part in _SURNAMES else set()))


def _has_pinyin(name: str) -> bool:
    """Whether the pinyin of each character is known."""
    return all(
        character in _DOTS or character in _SURNAMES or (_to_pinyin(character).isascii() and character.isalpha())
        for character in name
    )


def _to_pinyin(text: str) -> str:
    os.environ.setdefault("PYPINYIN_NO_PHRASES", "true")
    from pypinyin import lazy_pinyin  # takes 13 MB: only where somebody is registered

    return "".join(lazy_pinyin(text)).upper().replace("LV", "LYU").replace("NV", "NYU")
