"""Faults as data: what goes wrong, with which requests, and where in the answer.

    Emulator(faults=[Fault("reset", "runs.stream", after_events=5), Fault("status", status=429)])

Each fault counts the requests that fit it; of those it takes `count`, after the first `skip`, every
`every`th. A request that several faults would take is the first one's. What the faults do to the
answers is in `failing`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Kind: TypeAlias = Literal[
    "refuse",
    "reset",
    "close",
    "stall",
    "drip",
    "truncate",
    "garbage",
    "html",
    "json",
    "status",
    "redirect",
    "content_type",
    "gzip",
    "deflate",
    "bomb",
    "giant_line",
    "invalid_json",
    "invalid_utf8",
    "nul",
    "duplicate",
    "drop",
    "reorder",
    "negative_index",
    "huge_index",
    "error",
    "wrapped_error",
    "early_done",
    "no_done",
    "linger",
]

ENDPOINTS: Final[Mapping[str, tuple[str, str]]] = {
    "assistants.create": ("POST", "assistants"),
    "assistants.list": ("GET", "assistants"),
    "assistants.retrieve": ("GET", "assistants/*"),
    "assistants.update": ("POST", "assistants/*"),
    "assistants.delete": ("DELETE", "assistants/*"),
    "threads.create": ("POST", "threads"),
    "threads.retrieve": ("GET", "threads/*"),
    "threads.update": ("POST", "threads/*"),
    "threads.delete": ("DELETE", "threads/*"),
    "threads.create_and_run": ("POST", "threads/runs"),
    "threads.create_and_run_stream": ("POST", "threads/runs"),
    "messages.create": ("POST", "threads/*/messages"),
    "messages.list": ("GET", "threads/*/messages"),
    "messages.retrieve": ("GET", "threads/*/messages/*"),
    "messages.update": ("POST", "threads/*/messages/*"),
    "messages.delete": ("DELETE", "threads/*/messages/*"),
    "runs.create": ("POST", "threads/*/runs"),
    "runs.stream": ("POST", "threads/*/runs"),
    "runs.list": ("GET", "threads/*/runs"),
    "runs.retrieve": ("GET", "threads/*/runs/*"),
    "runs.update": ("POST", "threads/*/runs/*"),
    "runs.cancel": ("POST", "threads/*/runs/*/cancel"),
    "runs.submit_tool_outputs": ("POST", "threads/*/runs/*/submit_tool_outputs"),
    "runs.submit_tool_outputs_stream": ("POST", "threads/*/runs/*/submit_tool_outputs"),
    "runs.steps.list": ("GET", "threads/*/runs/*/steps"),
    "runs.steps.retrieve": ("GET", "threads/*/runs/*/steps/*"),
}
"""What a fault's `endpoint` may be: method and path. Those named after streams take only requests
that ask for one, the others take both."""

_PLACE: Final = frozenset({"after_events", "after_bytes"})
_EVENTS: Final = frozenset({"after_events", "events"})

OPTIONS: Final[Mapping[Kind, frozenset[str]]] = {
    "refuse": _PLACE | {"seconds"},
    "reset": _PLACE,
    "close": _PLACE,
    "stall": _PLACE | {"seconds"},
    "drip": frozenset(),
    "truncate": _PLACE,
    "garbage": frozenset(),
    "html": frozenset({"status", "retry_after"}),
    "json": frozenset(),
    "status": frozenset({"status", "retry_after"}),
    "redirect": frozenset({"status", "location"}),
    "content_type": frozenset(),
    "gzip": frozenset(),
    "deflate": frozenset(),
    "bomb": frozenset({"after_events", "size"}),
    "giant_line": frozenset({"after_events", "size"}),
    "invalid_json": _EVENTS,
    "invalid_utf8": _EVENTS,
    "nul": _EVENTS,
    "duplicate": _EVENTS,
    "drop": _EVENTS,
    "reorder": _EVENTS,
    "negative_index": _EVENTS,
    "huge_index": _EVENTS,
    "error": frozenset({"after_events"}),
    "wrapped_error": frozenset({"after_events"}),
    "early_done": frozenset({"after_events"}),
    "no_done": frozenset({"after_events"}),
    "linger": frozenset({"seconds"}),
}
"""What each kind can be told beside which requests it takes."""

OF_STREAMS: Final = frozenset(
    {
        "duplicate",
        "drop",
        "reorder",
        "negative_index",
        "huge_index",
        "error",
        "wrapped_error",
        "early_done",
        "no_done",
        "linger",
    }
)
"""The kinds that take only requests which ask for a stream."""

NOT_CARRIED_OUT: Final = frozenset({"html", "json", "status", "redirect"})
"""The kinds that answer in the server's place: unless told otherwise, nothing is done."""

NEED_NO_ANSWER: Final = NOT_CARRIED_OUT | {"refuse", "reset", "close", "stall", "garbage"}
"""The kinds that can come, without a place, to a request that is not carried out."""

_LEAST: Final[Mapping[str, int]] = {
    "skip": 0,
    "after_events": 0,
    "after_bytes": 0,
    "size": 0,
    "retry_after": 0,
    "seconds": 0,
    "count": 1,
    "every": 1,
    "events": 1,
    "status": 200,
}
"""The options that are numbers, and the smallest that they may be."""

_FRACTIONS: Final = frozenset({"retry_after", "seconds"})
_NEVER_NONE: Final = frozenset({"skip", "every", "size"})
_LAST_STATUS: Final = 599
_SELECTION: Final = ("kind", "endpoint", "skip", "count", "every", "carried_out")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with requests.

    Connections: `refuse` (every connection is reset and the port closed, for `seconds`; without
    endpoint and place, at once), `reset`, `close`, `stall`, `drip` (one byte at a time), `truncate`
    (a chunk that ends before its size). Without a place these come before the answer's headers, a
    truncated chunk right after them.

    Answers: `garbage` (no HTTP), `html` (a page), `json` (not what was asked for), `status` (an
    error), `redirect`, `content_type` (a wrong one), `gzip`, `deflate`, `bomb` (gzip that unpacks
    to `size` bytes), `giant_line`, `invalid_json`, `invalid_utf8`, `nul`.

    Streams: `duplicate`, `drop` and `reorder` events, `negative_index`, `huge_index`, `error` and
    `wrapped_error` (the event in both forms, and the end), `early_done` (`done` without an end),
    `no_done`, `linger` (never ending after `done`).

    Raises ValueError for a kind, an endpoint or an option that there is not, and for a number
    that it cannot be; TypeError for what is no number, or no name.
    """

    kind: Kind
    endpoint: str | None = None
    """A name of `ENDPOINTS`, such as `runs.retrieve`, or method and path, such as
    `GET /threads/*/runs`, where `*` stands for an id; None takes every request."""
    skip: int = 0
    """How many requests that fit are let through first."""
    count: int | None = 1
    """How many requests are taken; None for all."""
    every: int = 1
    """Takes every so manyth request only."""
    after_events: int | None = None
    """Goes wrong once so many events of the stream have been sent."""
    after_bytes: int | None = None
    """Goes wrong once so many bytes of the body have been sent."""
    events: int | None = 1
    """How many events from there on are touched; None for all."""
    status: int | None = None
    """The answer's status: 200 for a page, 500 for an error, 307 for a redirect, if not given."""
    retry_after: float | None = None
    """The seconds of a Retry-After header; None leaves it out."""
    location: str | None = None
    """Where a redirect leads: to another origin if not given."""
    seconds: float | None = None
    """After how many seconds of the emulator's clock it is over; None for never."""
    size: int = 64 * 1024 * 1024
    """How many bytes a giant line or an unpacked bomb has."""
    carried_out: bool | None = None
    """Whether the server does what it was asked before it fails; None for what the kind does as a
    rule: yes, but for `html`, `json`, `status` and `redirect`."""

    def __post_init__(self) -> None:
        kinds = get_args(Kind)
        if self.kind not in kinds:
            known = ", ".join(kinds)
            raise ValueError(f"there is no fault {self.kind!r}; the kinds are {known}")
        if self.endpoint is not None:
            _parsed(self.endpoint)
        taken = OPTIONS[self.kind]
        for option in fields(self):
            given = getattr(self, option.name) != option.default
            if given and option.name not in taken and option.name not in _SELECTION:
                told = ", ".join(sorted(taken)) or "no option"
                raise ValueError(f"a {self.kind} fault takes {told}, and not {option.name}")
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name, least in _LEAST.items():
            number = getattr(self, name)
            if number is None and name not in _NEVER_NONE:
                continue
            if isinstance(number, bool) or not isinstance(
                number, int | float if name in _FRACTIONS else int
            ):
                raise TypeError(f"{name} must be a number, not {number!r}")
            if not number >= least:  # NaN is not
                raise ValueError(f"{name} must be at least {least}, not {number}")
        if self.status is not None and self.status > _LAST_STATUS:
            raise ValueError(f"status must be at most {_LAST_STATUS}, not {self.status}")
        if self.after_events is not None and self.after_bytes is not None:
            raise ValueError("a place is after_events or after_bytes, not both")
        if self.carried_out is False and (self.kind not in NEED_NO_ANSWER or self.has_place):
            raise ValueError(
                f"a {self.kind} fault in an answer needs the answer: carried_out cannot be False"
            )

    @property
    def has_place(self) -> bool:
        """Whether it comes somewhere in the body."""
        return self.after_events is not None or self.after_bytes is not None

    @property
    def comes_at_once(self) -> bool:
        """Whether it waits for no request."""
        return self.kind == "refuse" and self.endpoint is None and not self.has_place

    @property
    def is_carried_out(self) -> bool:
        """Whether the server does what it was asked."""
        if self.carried_out is None:
            return self.kind not in NOT_CARRIED_OUT
        return self.carried_out

    def fits(self, method: str, segments: Sequence[str], *, streams: bool) -> bool:
        """Whether a request is one of those that it counts."""
        if (self.kind in OF_STREAMS or self.after_events is not None) and not streams:
            return False
        if self.endpoint is None:
            return not self.comes_at_once
        wanted, path, only_streams = _parsed(self.endpoint)
        if method != wanted or (only_streams and not streams) or len(path) != len(segments):
            return False
        return all(part in {"*", segment} for part, segment in zip(path, segments, strict=True))


def _parsed(endpoint: str) -> tuple[str, Sequence[str], bool]:
    """The method, the path and whether only streams are meant."""
    if not isinstance(endpoint, str):
        raise TypeError(f"an endpoint must be a string, not {endpoint!r}")
    method, _, path = endpoint.partition(" /")
    if _is_known(method, path.split("/")):
        return method, path.split("/"), False
    if endpoint not in ENDPOINTS:
        known = ", ".join(ENDPOINTS)
        raise ValueError(
            f"there is no endpoint {endpoint!r}: name one of {known}, or write method and path, "
            f"as in 'GET /threads/*/runs'"
        )
    method, path = ENDPOINTS[endpoint]
    return method, path.split("/"), endpoint.endswith("stream")


def _is_known(method: str, path: Sequence[str]) -> bool:
    """Whether there is an endpoint with this method and path; `*` and ids fit each other."""
    return any(
        method == known
        and len(path) == len(parts)
        and all(
            part in {"*", other} or other == "*" for part, other in zip(path, parts, strict=True)
        )
        for known, parts in ((known, whole.split("/")) for known, whole in ENDPOINTS.values())
    )


class Faults:
    """Faults with their counts: gives each request to the one that takes it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.all = tuple(faults)
        for fault in self.all:
            if not isinstance(fault, Fault):
                raise TypeError(f"faults must be of Fault, and not {fault!r}")
        self._met = [0] * len(self.all)

    def take(self, method: str, segments: Sequence[str], body: bytes) -> Fault | None:
        """Count a request, and give the fault that takes it; None where it is let through."""
        if not self.all:
            return None
        streams = _asks_for_stream(body)
        takers = [
            fault
            for number, fault in enumerate(self.all)
            if fault.fits(method, segments, streams=streams) and self._takes(number, fault)
        ]
        return takers[0] if takers else None

    def _takes(self, number: int, fault: Fault) -> bool:
        since, out_of_step = divmod(self._met[number] - fault.skip, fault.every)
        self._met[number] += 1
        return since >= 0 and not out_of_step and (fault.count is None or since < fault.count)


def _asks_for_stream(body: bytes) -> bool:
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(asked, dict) and asked.get("stream") is True
