"""Snapshots to live arguments: what has come of a tool call's arguments, parsed though unfinished.

Whoever shows arguments while they are written reads them at every delta. A value that is exact at
each of those reads cannot be had in linear time, by any parser: the value itself is as long as the
text, and has to be made anew. So reads are exact as long as the arguments are short, and take
turns once they are long: of `len(text) / ALWAYS_EXACT` reads, one parses and the others give what
it gave. A read thereby costs what parsing `ALWAYS_EXACT` characters costs, however long the text,
and a value is behind by so few deltas that nobody sees it. Once nothing more is to come, every
read is exact.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from asyncruns.models import FunctionToolCall, UnknownToolCall
from asyncruns.parts import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncruns.accumulator import Accumulator
    from asyncruns.models import ToolCall

__all__ = ["ALWAYS_EXACT", "LiveArguments"]

ALWAYS_EXACT: Final = 4096
"""Up to how many characters of arguments every read is exact."""


class LiveArguments:
    """The arguments of an accumulator's tool calls, as far as they have come."""

    __slots__ = ("_accumulator", "_parsed")

    def __init__(self, accumulator: Accumulator) -> None:
        self._accumulator = accumulator
        self._parsed: dict[str, _Parsed] = {}

    def read(self, call_id: str, *, exact: bool = False) -> Any:
        """Parse what has come of a call's arguments; `{}` before the first character.

        A string or a number at the end may be cut off, a key without a value is left out. With
        `exact`, and once the call's step has ended, the value is that of the whole text.

        Raises KeyError where no such call has come, and ValueError where its arguments are no
        JSON, or it has none. Needs jiter: without it, ImportError says which extra to install.
        """
        found = self._accumulator.find_call(call_id)
        if found is None:
            raise KeyError(f"no tool call {call_id!r} has come")
        call, has_ended = found
        parsed = self._parsed.get(call_id)
        if parsed is None:
            parsed = self._parsed[call_id] = _Parsed()
        return parsed.read(call, exact=exact or has_ended)


class _Parsed:
    """The value of one call's arguments, and for how many reads it may stand."""

    __slots__ = ("_failure", "_reads_left", "_text", "_value")

    def __init__(self) -> None:
        self._text = ""
        self._value: Any = {}
        self._failure: str | None = None
        self._reads_left = 0

    def read(self, call: Part | ToolCall, *, exact: bool) -> Any:
        if self._reads_left and not exact:
            self._reads_left -= 1
        else:
            self._take(call.build() if isinstance(call, Part) else call)
        if self._failure is not None:
            raise ValueError(self._failure)
        return self._value

    def _take(self, call: ToolCall) -> None:
        text = _arguments_of(call)
        if text == self._text:
            return
        self._text, self._reads_left = text, len(text) // ALWAYS_EXACT
        try:
            self._value, self._failure = _parse_partial(text), None
        except ValueError as exc:
            self._failure = f"the arguments of tool call {call.id} are no JSON: {exc}"


def _arguments_of(call: ToolCall) -> str:
    arguments: object = None
    if isinstance(call, FunctionToolCall):
        arguments = call.function.arguments
    elif isinstance(call, UnknownToolCall):
        function = call.value.get("function")
        arguments = function.get("arguments") if isinstance(function, dict) else None
    if not isinstance(arguments, str):
        raise ValueError(f"tool call {call.id} has no arguments: its type is {call.type}")  # noqa: TRY004 -- the server's doing
    return arguments


def _parse_partial(text: str) -> Any:
    if not text.strip():
        return {}
    return _parser()(text.encode("utf-8", "replace"), partial_mode="trailing-strings")


@cache
def _parser() -> Callable[..., Any]:
    try:
        from jiter import from_json  # noqa: PLC0415 -- an extra, imported only where it is used
    except ImportError as exc:
        raise ImportError(
            "reading arguments while they come needs jiter: pip install 'asyncruns[partial]'"
        ) from exc
    return from_json
