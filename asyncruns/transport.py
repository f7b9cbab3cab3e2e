"""Request to answer: sends bytes with a client's settings, and judges what comes back.

Knows no model: bytes, paths and headers only.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import anyio
from msgspec import UNSET, UnsetType

from asyncruns.connections import Attempt
from asyncruns.credentials import AUTH_HEADERS
from asyncruns.errors import (
    MAX_ERROR_BODY,
    SNIPPET,
    APIStatusError,
    _snippet,
    error_from_response,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncruns.connections import ByteStream, Connections
    from asyncruns.credentials import Credential

__all__ = ["ANY", "JSON", "Request", "Response", "Settings", "Transport", "path_of"]

MAX_BODY: Final = 48 * 1024 * 1024
"""How many bytes the body of an answer may have once decompressed, streams excepted."""

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds that a request may take; of a stream, until its headers have come."""

WORKER_THREADS: Final = 40
"""How many sync tools of a client run at once, the abandoned ones included."""

JSON: Final = "application/json"
EVENTS: Final = "application/json, text/event-stream"
ANY: Final = "*/*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all requests of a client share."""

    base_url: str
    """The prefix of every path; http or https, without user, query and fragment."""
    credential: Credential
    """Says who the caller is, at each attempt."""
    headers: Mapping[str, str | None] = field(default_factory=dict[str, str | None], repr=False)
    """Sent with every request; a None leaves a header out."""
    query: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    """Sent with every request."""
    timeout: float | None = DEFAULT_TIMEOUT
    """Seconds that a request may take; None for no limit."""
    max_retries: int = 2
    """How often a request that failed may be sent again."""

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError("base_url must begin with http:// or https:// and name a host")
        if url.username or url.password or url.query or url.fragment:
            raise ValueError("base_url must have no user, password, query or fragment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be sent."""

    method: str
    path: str
    """Below the base URL; its ids are quoted already."""
    query: Mapping[str, object] = field(default_factory=dict[str, object])
    """A list becomes `name[]=…` for each item; a None is left out, for a query has no null."""
    headers: Mapping[str, str | None] = field(default_factory=dict[str, str | None], repr=False)
    """Win over the client's own; a None leaves a header out."""
    body: bytes | None = None
    accept: str = JSON
    """JSON makes any other answer an error."""
    timeout: float | UnsetType | None = UNSET
    """Seconds; UNSET for the client's, None for no limit."""
    repeatable: bool = True
    """Whether the server may be asked twice without harm; what creates is not repeatable."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes

    @property
    def request_id(self) -> str | None:
        """The `x-request-id`; None where the server sent none."""
        return self.headers.get("x-request-id")


def path_of(template: str, **ids: str) -> str:
    """Put ids into a path, quoted so that none of them can change its shape.

    Raises ValueError naming the parameter for an id that is empty, no string, or a dot segment.
    """
    return template.format_map({name: _segment(name, value) for name, value in ids.items()})


def _segment(name: str, value: object) -> str:
    # Dots cannot be quoted: a URL with `%2E%2E` means the same as one with `..`.
    if not isinstance(value, str) or value in {"", ".", ".."}:
        raise ValueError(f"{name} must be an id, a non-empty string, and not {value!r}")
    return quote(value, safe="")


class Transport:
    """Sends requests with one client's settings over its connections."""

    def __init__(self, settings: Settings, connections: Connections) -> None:
        self.settings = settings
        self.connections = connections
        self._host = urlsplit(settings.base_url).hostname or ""
        self.thread_limiter = anyio.CapacityLimiter(WORKER_THREADS)

    async def send(self, request: Request) -> Response:
        """Send a request and read its answer whole.

        Raises APIStatusError for an error status and for an answer that is not what was asked
        for, LimitExceededError for a body beyond MAX_BODY, and APIConnectionError where no answer
        came: AmbiguousRequestError if the request is not repeatable and may have been carried out.
        """
        attempt = await self._attempt(request)
        with attempt.failures():
            async with asyncio.timeout(attempt.timeout):
                stream = await self.connections.open(attempt)
                async with aclosing(stream):
                    await self._check_status(request, stream)
                    body = await stream.read(MAX_BODY)
        # Some servers label their JSON as plain text; HTML never begins like this.
        looks_like_json = body.lstrip()[:1] in {b"{", b"["}
        if request.accept == JSON and "json" not in stream.content_type and not looks_like_json:
            raise _unexpected(request, stream, body, "JSON")
        return Response(stream.status, stream.headers, body)

    async def open(self, request: Request) -> ByteStream:
        """Send a request and give the event stream that answers it; the caller closes it.

        The timeout ends with the headers: the stream itself may last. Raises as `send` does, and
        APIStatusError for an answer that is no event stream.
        """
        attempt = await self._attempt(request, stream=True)
        with attempt.failures():
            async with asyncio.timeout(attempt.timeout):
                stream = await self.connections.open(attempt)
                try:
                    await self._check_status(request, stream)
                    await self._check_events(request, stream)
                except BaseException:
                    await stream.aclose()
                    raise
        return stream

    async def _attempt(self, request: Request, *, stream: bool = False) -> Attempt:
        settings = self.settings
        own = {"Accept": EVENTS if stream else request.accept}
        given = _merged(own, settings.headers, request.headers)
        if AUTH_HEADERS.isdisjoint(map(str.lower, given)):
            given |= await settings.credential.headers()
        return Attempt(
            request.method,
            request.path,
            url=_joined(settings.base_url, request.path),
            query=_pairs({**settings.query, **request.query}),
            headers=given,
            body=request.body,
            timeout=settings.timeout if request.timeout is UNSET else request.timeout,
            repeatable=request.repeatable,
            stream=stream,
        )

    async def _check_status(self, request: Request, stream: ByteStream) -> None:
        status = stream.status
        if status >= 400:  # noqa: PLR2004 -- the first error status of HTTP
            raise error_from_response(
                status,
                stream.headers,
                await stream.read_start(MAX_ERROR_BODY),
                method=request.method,
                path=request.path,
                host=self._host,
            )
        if status >= 300:  # noqa: PLR2004 -- the first redirect of HTTP
            place = stream.headers.get("location", "nowhere")[:SNIPPET]
            raise _status_error(request, stream, b"", f"redirects to {place} are not followed")

    async def _check_events(self, request: Request, stream: ByteStream) -> None:
        if stream.content_type != "text/event-stream":
            body = await stream.read_start(MAX_ERROR_BODY)
            raise _unexpected(request, stream, body, "an event stream")


def _unexpected(request: Request, stream: ByteStream, body: bytes, expected: str) -> APIStatusError:
    message = f"expected {expected}, and got {_snippet(stream.headers, body)}"
    return _status_error(request, stream, body, message)


def _status_error(
    request: Request, stream: ByteStream, body: bytes, message: str
) -> APIStatusError:
    return APIStatusError(
        message,
        status=stream.status,
        headers=stream.headers,
        body=body,
        method=request.method,
        path=request.path,
    )


def _joined(base_url: str, path: str) -> str:
    segments = path.partition("?")[0].split("/")
    if "" in segments[1:-1] or not {".", ".."}.isdisjoint(segments):
        raise ValueError(f"a path below {base_url} is needed, and not {path!r}")
    return f"{base_url.rstrip('/')}/{path.removeprefix('/')}"


def _merged(*layers: Mapping[str, str | None]) -> dict[str, str]:
    """Headers of which the later ones win, whatever their case; a None leaves one out."""
    winners = {name.lower(): (name, value) for layer in layers for name, value in layer.items()}
    return {name: value for name, value in winners.values() if value is not None}


def _pairs(query: Mapping[str, object]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if isinstance(value, list | tuple):
            pairs += [(f"{name}[]", _text(item)) for item in value]
        elif value is not None:
            pairs.append((name, _text(value)))
    return pairs


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
