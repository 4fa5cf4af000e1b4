"""What a patient is known by, as values without a database: name, number, age, sex, and the comparison of two patients.

`cases.patients` finds and keeps these values.

A name is written as DICOM has it (PS3.5 6.2.1): Latin letters for every console, Chinese ones beside them.  Pinyin is
pypinyin's, one character at a time and without its dictionary of phrases: a name is no phrase, and the dictionary takes
45 MB.  Surnames that are read in their own way are listed here.  The person who registers sees the pinyin and may
correct it.

A study in an archive is of the same patient only if the issuer of the patient's number, the number, and the birth date
are the same, and none of them unknown; a placeholder such as 1 January 1900 is no birth date.  A name never decides:
two patients of one name stay apart, and one patient's name is spelled in several ways.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firmware_app.cases.errors import SPELLING_MISSING, NameUnusable
from firmware_app.dicom.patient_data import parse_birth_date

LONGEST: Final = 64  # characters of one value (PS3.5 6.2: PN and LO)
SEXES: Final = ("M", "F", "O")
AGE_UNITS: Final = ("Y", "M", "W", "D")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Patient:
    """The patient data that people see; an empty text means unknown.  `age` is a DICOM AS such as ``045Y``."""

    name: str = ""
    patient_id: str = ""
    age: str = ""
    sex: str = ""

    @property
    def age_parts(self) -> tuple[int, str] | None:
        """The age as number and unit, such as (45, "Y"); None when unknown."""
        match = re.fullmatch(r"(\d{1,3})([DWMY])", self.age)
        return (int(match[1]), match[2]) if match else None


def clean(text: str) -> str:
    """*text* as one line of at most `LONGEST` characters, without control or direction characters."""
    return " ".join(_CONTROL.sub(" ", text).split())[:LONGEST]


LONGEST_NAME: Final = 64  # characters of one group of a PN
_COMPOUND: Final = {
    "欧阳": "OUYANG",
    "司马": "SIMA",
    "上官": "SHANGGUAN",
    "诸葛": "ZHUGE",
    "夏侯": "XIAHOU",
    "皇甫": "HUANGFU",
    "尉迟": "YUCHI",
    "公孙": "GONGSUN",
    "慕容": "MURONG",
    "令狐": "LINGHU",
    "长孙": "ZHANGSUN",
    "宇文": "YUWEN",
    "东方": "DONGFANG",
    "独孤": "DUGU",
    "南宫": "NANGONG",
    "司徒": "SITU",
    "司空": "SIKONG",
    "端木": "DUANMU",
    "呼延": "HUYAN",
    "澹台": "TANTAI",
    "万俟": "MOQI",
    "鲜于": "XIANYU",
    "闻人": "WENREN",
    "申屠": "SHENTU",
    "太史": "TAISHI",
    "轩辕": "XUANYUAN",
    "濮阳": "PUYANG",
    "淳于": "CHUNYU",
    "钟离": "ZHONGLI",
    "东郭": "DONGGUO",
    "百里": "BAILI",
    "公冶": "GONGYE",
    "宗政": "ZONGZHENG",
    "西门": "XIMEN",
    "第五": "DIWU",
}
_SURNAMES: Final = {
    "曾": "ZENG",
    "单": "SHAN",
    "解": "XIE",
    "仇": "QIU",
    "区": "OU",
    "查": "ZHA",
    "乐": "YUE",
    "朴": "PIAO",
    "缪": "MIAO",
    "翟": "ZHAI",
    "员": "YUN",
    "折": "SHE",
    "召": "SHAO",
    "种": "CHONG",
    "繁": "PO",
    "秘": "BI",
    "覃": "QIN",
    "卜": "BU",
    "薄": "BO",
    "都": "DU",
    "能": "NAI",
    "莘": "SHEN",
    "乜": "NIE",
    "句": "GOU",
    "逄": "PANG",
    "盖": "GAI",
    "隗": "WEI",
}
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
        return " ".join(_pinyin(part) for part in re.split(f"[{_DOTS}]", name)).strip() if _has_pinyin(name) else ""
    said = _COMPOUND.get(family) or _SURNAMES.get(family) or _pinyin(family)
    return f"{said} {_pinyin(given)}" if _has_pinyin(family + given) else ""


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
    return tuple(_sounds(part) for part in parts)


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


def _sounds(part: str) -> frozenset[str]:
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
        character in _DOTS or character in _SURNAMES or (_pinyin(character).isascii() and character.isalpha())
        for character in name
    )


def _pinyin(text: str) -> str:
    os.environ.setdefault("PYPINYIN_NO_PHRASES", "true")
    from pypinyin import lazy_pinyin  # takes 13 MB: only where somebody is registered

    return "".join(lazy_pinyin(text)).upper().replace("LV", "LYU").replace("NV", "NYU")


class IdentityDoubt(StrEnum):
    """What keeps a study from being taken for the same patient's; a person decides then."""

    ISSUER = "issuer"
    NUMBER = "number"
    BIRTH_DATE = "birth_date"
    SEX = "sex"


@dataclass(frozen=True, slots=True)
class PatientKey:
    """What a patient is told apart by; empty texts are unknown.  `birth_date` is a DA, `sex` a CS."""

    issuer: str
    number: str
    birth_date: str
    sex: str = ""

    def or_issuer(self, assumed: str) -> PatientKey:
        """The same with *assumed* as the issuer where none is known."""
        return PatientKey(self.issuer or assumed, self.number, self.birth_date, self.sex)


def find_doubts(ours: PatientKey, theirs: PatientKey) -> tuple[IdentityDoubt, ...]:
    """Why *theirs* may be another patient; empty when it is the same."""
    pairs = (
        (IdentityDoubt.ISSUER, ours.issuer, theirs.issuer),
        (IdentityDoubt.NUMBER, ours.number, theirs.number),
        (IdentityDoubt.BIRTH_DATE, parse_birth_date(ours.birth_date), parse_birth_date(theirs.birth_date)),
    )
    found = [doubt for doubt, mine, other in pairs if not mine or mine != other]
    if {ours.sex, theirs.sex} == {"M", "F"}:
        found.append(IdentityDoubt.SEX)
    return tuple(found)
