"""Which spellings of a custom property's name are one name.

MySQL and MariaDB compare names by a collation, which usually ignores case,
accents and blanks at the end: ``OS_GLANCE_Stage_Host`` is the row of
``os_glance_stage_host`` there.  A rule that decides by name must therefore hold
for all spellings, on every database.  :func:`fold` covers what common
collations ignore; the DAL asks the database itself before it commits.
"""

from __future__ import annotations

import re
import unicodedata

from glance_py.domain.image import RESERVED_PREFIX
from glance_py.domain.importing import (
    FAILED_STORES,
    HIDDEN_PROPERTIES,
    LOCK_PROPERTY,
    PENDING_STORES,
)

#: The properties that the service itself keeps, as it spells them.
SERVICE_PROPERTIES = frozenset({LOCK_PROPERTY, PENDING_STORES, FAILED_STORES}) | HIDDEN_PROPERTIES

#: Letters that collations take for others although Unicode does not decompose them.
_LETTERS = str.maketrans(
    {
        "ø": "o",
        "ꝋ": "o",
        "ɵ": "o",
        "ꞝ": "o",
        "đ": "d",
        "ð": "d",
        "ꝺ": "d",
        "ħ": "h",
        "ł": "l",
        "ı": "i",
        "ꞅ": "s",
        "ꞩ": "s",
        "ꟙ": "s",
        "ᵹ": "g",
        "ꞡ": "g",
        "ꞃ": "r",
        "ꞧ": "r",
        "ꝛ": "r",
        "ꞇ": "t",
        "ꝼ": "f",
        "ꞥ": "n",
        "ꞣ": "k",
        "ꞛ": "a",
        "ꟁ": "a",
        "ꟃ": "w",
        "æ": "ae",
        "œ": "oe",
        "ꜳ": "aa",
        "ꜵ": "ao",
        "ꜷ": "au",
        "ꜹ": "av",
        "ꜽ": "ay",
        "ꝏ": "oo",
        "ʦ": "ts",
        "ꜩ": "tz",
        "ʣ": "dz",
        "ȸ": "db",
        "ʪ": "ls",
        "ʫ": "lz",
        "ỻ": "ll",
        "ꝡ": "vy",
        "·": "",
    }
)


#: Arabic, Samaritan and Vedic characters without weight that are no marks in Unicode.
_WEIGHTLESS = re.compile(
    "[\u0640\u06de\u07fa\u0824\u0828\u180a\u1cd3\u1cf2\u1cf3\ufc5e-\ufc63\ufcf2-\ufcf4\ufe70-\ufe7f]"
)


def fold(name: str) -> str:
    """``name`` without case, accents, invisible characters and blanks at the end."""
    if name.isascii() and name.isprintable():
        return name.lower().rstrip(" ")
    text = unicodedata.normalize("NFKD", _WEIGHTLESS.sub("", name)).casefold()
    # Folding may bring new marks; those and everything without a glyph are dropped.
    letters = (_plain(each) for each in unicodedata.normalize("NFKD", text))
    return "".join(letters).translate(_LETTERS).rstrip(" ")


def _plain(character: str) -> str:
    if unicodedata.category(character)[0] in "MC":
        return ""
    return str(unicodedata.digit(character, character))


def spellings(name: str) -> tuple[str, ...]:
    """The folded spellings of ``name``; several where collations disagree about a letter."""
    if "ß" in name or "ẞ" in name:
        # One "s" for the older collations, two for those of the Unicode Consortium.
        return fold(name), fold(name.replace("ß", "s").replace("ẞ", "s"))
    return (fold(name),)


def is_reserved(name: str) -> bool:
    """Does the name belong to the service's own properties, however it is spelled?"""
    return any(each.startswith(RESERVED_PREFIX) for each in spellings(name))
