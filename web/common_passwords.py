"""Passwords that everybody tries first (NIST SP 800-63B 3.1.1.2 asks for such a list), among those long enough here.

Chosen by hand from what Chinese and English users are known to take; what is only a longer, repeated or counted-up form
of one is found by rule.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

_TRIED: Final = (
    "password password1 password12 password123 passw0rd p@ssw0rd p@ssword pass1234 administrator adminadmin "
    "admin1234 admin12345 admin123456 qwertyuiop qwerty123 qwerty12345 qwerty123456 1qaz2wsx 1qaz2wsx3edc "
    "qazwsxedc q1w2e3r4t5 1q2w3e4r5t asdfghjkl asdfghjkl1 zxcvbnm123 iloveyou iloveyou1 iloveyou123 sunshine "
    "princess welcome1 welcome123 letmein123 changeme123 football123 baseball123 trustno1 dragon123 monkey123 "
    "superman123 master123 hello12345 woaini woaini1314 woaini520 woaini521 woaini123 woaini5201314 5201314 "
    "5201314520 1314520 520520520 13145201314 aini1314 aini5201314 zhangwei123 wangwei123 woshishui woaiwojia "
    "wobuzhidao mima123456 mimamima caonima123 nihao123 nihao123456 a123456789 aa123456 aa123456789 abc123456 "
    "abc123456789 abcd123456 abcd1234 abcdefghij asd123456 qq123456 qq123456789 qwe123456 qwe123qwe 123qweasd "
    "123qweasdzxc qweasdzxc zxc123456 asdasd123 woailaopo woailaogong laopowoaini yisheng123 yiyuan123 "
    "hospital123 doctor123 doctor1234 clinic123 clinic1234 lantern123 lantern1234 lantern12345 weishengyuan "
    "zhensuo123 1234qwer 1234567890a 12345678910 123456789a 1234567890 0123456789 9876543210 0987654321 "
    "147258369 1472583690 789456123 123654789 11223344 1122334455 112233445566 123123123 123123123123 "
    "123321123321 12341234 1234512345 520131400 100200300 1357924680 2468013579 secret1234 default123 "
    "temporary123 "
)
_COMMON: Final = frozenset(_TRIED.split())
_LEET: Final = str.maketrans("@0$!3", "aosie")


def is_common(password: str, *own: str) -> bool:
    """Whether *password* is one that is tried first, or is made of *own* names of the account and the box."""
    plain = password.casefold().strip()
    bare = plain.rstrip("!.。！?~ ")
    forms = {plain, bare, plain.translate(_LEET), re.sub(r"\d+$", "", plain)}
    names = [name.casefold() for name in own if name]
    if forms & _COMMON or any(re.fullmatch(r"[\d!.@_-]*", plain.replace(name, "")) for name in names if name in plain):
        return True
    return bool(re.fullmatch(r"(.{1,4}?)\1+", bare)) or _is_sequence(bare)


def _is_sequence(text: str) -> bool:
    """Whether each character follows the one before, up or down, as ``abcdefghij`` and ``9876543210``."""
    steps = {(ord(later) - ord(one)) % 10 if text.isdigit() else ord(later) - ord(one) for one, later in pairwise(text)}
    return (len(text) > 1 and steps <= {1}) or steps in ({-1}, {9})
