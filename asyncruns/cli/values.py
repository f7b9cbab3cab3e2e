"""Words of the command line to values: each kind of flag reads its own.

Each reader gives the value to send, or raises ValueError that says what was expected. Where JSON is
taken, `@file` is taken, too: the same, read from that file.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "BOOLEAN",
    "CONTENT",
    "COUNT",
    "HEADER",
    "ID",
    "INTEGER",
    "LISTS",
    "NUMBER",
    "OBJECT",
    "OBJECTS",
    "PAIRS",
    "SECONDS",
    "TEXT",
    "TEXTS",
    "URL",
    "Kind",
    "choice",
    "read_object",
    "word_or_object",
]

DEEPEST: Final = 200
"""How many levels the JSON of the command line may have."""

_TOO_DEEP: Final = f"the JSON is nested more than {DEEPEST} levels deep"

_DOTS: Final = frozenset({".", ".."})
"""Ids that a path would take for a direction."""

_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,300}")
_NUMBER: Final = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")

_PARTS: Final = "[{"
"""How the parts of a message begin; no other text is taken for JSON."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What values a flag takes: how help shows them, how they are read, which ones are known."""

    metavar: str
    read: Callable[[str], Any]
    words: Sequence[str] = ()
    """The values that completion offers."""


def read_object(text: str, *, inline: bool = False) -> Any:
    """Decode a JSON object or null, or the file that `@file` names unless that is `inline`.

    Raises ValueError; where it is no JSON, the message has the line and the column.
    """
    value = _json(text, inline=inline)
    if value is not None and not isinstance(value, dict):
        raise _expected("an object", value)
    return value


def _json(text: str, *, inline: bool = False) -> Any:
    where = ""
    if text.startswith("@") and not inline:
        where, text = f" in {text[1:]}", _file(text[1:])
    try:
        value = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as exc:
        what = exc.msg[:1].lower() + exc.msg[1:]
        raise ValueError(
            f"not JSON{where} at line {exc.lineno}, column {exc.colno}: {what}"
        ) from exc
    except RecursionError as exc:
        raise ValueError(_TOO_DEEP) from exc
    _check(value)
    return value


def _file(name: str) -> str:
    try:
        return Path(name).read_text("utf-8-sig")
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise ValueError(f"cannot read the file '{name}': {reason.lower()}") from exc
    except ValueError as exc:  # a name with a zero in it, a file that is no text
        raise ValueError(f"cannot read the file '{name}': it is no UTF-8 text") from exc


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _check(value: Any, levels: int = DEEPEST) -> None:
    """Refuse what no body can hold: halves of surrogate pairs, and what is nested too deeply."""
    if levels == 0:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, dict):
        for key, item in value.items():
            _text(key)
            _check(item, levels - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, levels - 1)
    elif isinstance(value, str):
        _text(value)
    elif isinstance(value, float) and math.isinf(value):
        raise ValueError("it has a number that is too large")


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ValueError("it has characters that are no Unicode text") from exc
    return text


def _id(text: str) -> str:
    if not text.strip() or text in _DOTS:
        raise ValueError(f"expected an id, got '{text}'")
    return _text(text)


def _header(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("it has characters that no header can hold")  # and may be a key
    return text


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"expected an address that begins with http:// or https://, got '{text}'")
    return _text(text)


def _integer(text: str) -> int | None:
    if text == "null":
        return None
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"expected a whole number, got '{text}'")
    return int(text)


def _number(text: str) -> float | None:
    if text == "null" or _WHOLE.fullmatch(text):
        return _integer(text)
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    if math.isinf(number):
        raise ValueError(f"expected a number, got '{text}'")
    return number


def _seconds(text: str) -> float:
    number = _number(text)
    if number is None or number <= 0:
        raise ValueError(f"expected a number of seconds above 0, got '{text}'")
    return number


def _count(text: str) -> int:
    number = _integer(text)
    if number is None or number < 0:
        raise ValueError(f"expected 0 or a whole number above it, got '{text}'")
    return number


def _boolean(text: str) -> bool | None:
    known = {"true": True, "false": False, "null": None}
    if text.lower() not in known:
        raise ValueError(f"expected true or false, got '{text}'")
    return known[text.lower()]


def _objects(text: str) -> Any:
    """An item of a list, or a list of them; null in the place of the whole list."""
    value = _json(text)
    items = value if isinstance(value, list) else [] if value is None else [value]
    for item in items:
        if not isinstance(item, dict):
            raise _expected("an object", item)
    return value


def _texts(text: str) -> Any:
    value = _json(text) if text.startswith(("[", "@")) else _text(text)
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            raise _expected("a text", item)
    return value


def _content(text: str) -> Any:
    """A text, or a message's parts; a text that begins with `@` is written with two."""
    if text.startswith("@@"):
        return _text(text[1:])
    if text.startswith("@"):
        text = _file(text[1:])
    return _objects(text) if text.lstrip().startswith(_PARTS) else _text(text)


def _word_or_object(text: str) -> Any:
    if text.lstrip().startswith(("{", "[", "@")) or text == "null":
        return read_object(text)
    return _text(text)


def _pairs(text: str) -> Any:
    """An object whose values are texts."""
    value = read_object(text)
    for key, item in (value or {}).items():
        if not isinstance(item, str):
            raise _expected(f"a text for '{key}'", item)
    return value


def _expected(what: str, value: Any) -> ValueError:
    """The complaint about a value of another JSON type."""
    names = {bool: "a boolean", dict: "an object", list: "a list", str: "a text"}
    got = "null" if value is None else names.get(type(value), "a number")
    return ValueError(f"expected {what}, got {got}")


TEXT: Final = Kind("TEXT", _text)
TEXTS: Final = Kind("TEXT", _texts)
ID: Final = Kind("ID", _id)
INTEGER: Final = Kind("INTEGER", _integer)
NUMBER: Final = Kind("NUMBER", _number)
BOOLEAN: Final = Kind("[true|false]", _boolean, ("true", "false"))
HEADER: Final = Kind("TEXT", _header)
URL: Final = Kind("URL", _url)
OBJECT: Final = Kind("JSON|@FILE", read_object)
OBJECTS: Final = Kind("JSON|@FILE", _objects)
PAIRS: Final = Kind("JSON|@FILE", _pairs)
CONTENT: Final = Kind("TEXT|JSON|@FILE", _content)
SECONDS: Final = Kind("SECONDS", _seconds)
COUNT: Final = Kind("N", _count)

LISTS: Final = (TEXTS, OBJECTS)
"""The kinds whose values are items of a list."""


def choice(*words: str) -> Kind:
    """One of some words, and nothing else."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected {' or '.join(words)}, got '{text}'")
        return text

    return Kind(f"[{'|'.join(words)}]", read, words)


def word_or_object(*words: str) -> Kind:
    """One of some words, or an object; other words are the server's to refuse."""
    return Kind(f"[{'|'.join(words)}]|JSON|@FILE", _word_or_object, words)
