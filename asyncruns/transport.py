"""Request to answer: sends bytes over HTTP and judges what comes back; knows no model.

The one place that touches aiohttp: every exception of it is mapped here into the tree of
`asyncruns.errors`, and chained. Cancellation passes untouched.
"""

from __future__ import annotations

import asyncio
import weakref
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from msgspec import UNSET, UnsetType

from asyncruns.credentials import AUTH_HEADERS
from asyncruns.errors import (
    MAX_ERROR_BODY,
    SNIPPET,
    AmbiguousRequestError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncRunsError,
    LimitExceededError,
    PoolTimeoutError,
    _snippet,
    error_from_response,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

    from aiohttp.abc import AbstractStreamWriter

    from asyncruns.credentials import Credential

__all__ = [
    "ANY",
    "EVENTS",
    "JSON",
    "ByteStream",
    "Connections",
    "Request",
    "Response",
    "Settings",
    "Transport",
    "path_of",
]

MAX_BODY: Final = 48 * 1024 * 1024
"""How many bytes the body of an answer may have once decompressed, streams excepted."""

MAX_CONNECTIONS: Final = 1000
"""How many connections a client may use unless it is told otherwise."""

RESERVED_CONNECTIONS: Final = 10
"""How many connections beyond the limit streams never take.

A cancel, a submit or a poll goes through while every stream that is allowed is open.
"""

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds that a request may take; of a stream, until its headers have come."""

CONNECT_TIMEOUT: Final = 5.0
"""Seconds that one address may take to accept a connection."""

READ_BUFFER: Final = 64 * 1024
"""Bytes that aiohttp reads ahead of a slow consumer; its own 256 KiB make idle streams heavy."""

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

    async def _attempt(self, request: Request, *, stream: bool = False) -> _Attempt:
        settings = self.settings
        given = _merged(settings.headers, request.headers)
        known = AUTH_HEADERS.isdisjoint(map(str.lower, given))
        return _Attempt(
            request,
            url=_joined(settings.base_url, request.path),
            query=_pairs({**settings.query, **request.query}),
            headers=_merged(
                {"Accept": EVENTS if stream else request.accept},
                await settings.credential.headers() if known else {},
                settings.headers,
                request.headers,
            ),
            timeout=settings.timeout if request.timeout is UNSET else request.timeout,
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


class Connections:
    """A client's aiohttp session, made at its first use, and what is open on it.

    `session` is the caller's own, which is used and never closed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        session: aiohttp.ClientSession | None = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, not {max_connections}")
        self.closed = False
        self._base_url = base_url
        self._own = session is None
        self._session = session
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = _Slots(max_connections, session)
        self._streams: weakref.WeakSet[ByteStream] = weakref.WeakSet()

    async def open(self, attempt: _Attempt) -> ByteStream:
        """Send a request and give its answer from the headers on."""
        self._check_usable()
        attempt.waits_for = f"the client's {self._slots.limit} connections"
        release = await self._slots.take(stream=attempt.stream)
        attempt.waits_for = None
        try:
            # aiohttp sends a GET or a DELETE once more, by itself, where a connection that was
            # kept alive turns out to be closed; it never does so with a POST.
            response = await self._ready_session().request(
                attempt.request.method,
                attempt.url,
                params=attempt.query,
                headers=attempt.headers,
                data=attempt.body,
                skip_auto_headers=() if attempt.request.body else ("Content-Type",),
                # Credentials never follow a redirect: aiohttp would take `api-key` along.
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=True,
                proxy=self._proxy,
                read_bufsize=READ_BUFFER,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            )
        except BaseException:
            release()
            raise
        stream = ByteStream(response, attempt.request, release)
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Close the session, and end with an error what is still being read."""
        if self.closed:
            return
        if self._loop and not self._loop.is_closed():
            self._check_loop()
        self.closed = True
        for stream in [*self._streams]:
            stream.end(AsyncRunsError("the client was closed while the answer was being read"))
        if self._own and self._session:
            await self._session.close()

    def _check_usable(self) -> None:
        if self.closed:
            raise AsyncRunsError("the client is closed")
        if self._session and self._session.closed:
            raise AsyncRunsError("the session that was given to the client is closed")
        self._check_loop()

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise AsyncRunsError(
                "the client is in use on another event loop: make one client for each loop"
            )

    def _ready_session(self) -> aiohttp.ClientSession:
        self._check_usable()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The slots are the limit: they know streams from other requests.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                # True would read netrc too, and put its user beside our Authorization.
                trust_env=False,
            )
        return self._session

    @cached_property
    def _proxy(self) -> str | None:
        return _environment_proxy(self._base_url) if self._own else None


class ByteStream:
    """The body of an answer as it comes; whoever opened it closes it."""

    __slots__ = ("__weakref__", "_end", "_release", "_request", "_response")

    def __init__(
        self, response: aiohttp.ClientResponse, request: Request, release: _Release
    ) -> None:
        self._response = response
        self._request = request
        self._end: AsyncRunsError | None = None
        # Runs once, and at the latest when a stream that nobody closed is collected.
        self._release = weakref.finalize(self, release)
        self._release.atexit = False

    @property
    def status(self) -> int:
        """The answer's status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, case-insensitive."""
        return self._response.headers

    @property
    def request_id(self) -> str | None:
        """The `x-request-id`; None where the server sent none."""
        return self._response.headers.get("x-request-id")

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case; empty where the server sent none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes as they come; raises APIConnectionError where they end too soon."""
        while True:
            try:
                chunk = await self._next()
            except _FOREIGN as exc:
                raise _error_of(exc, self._request) from exc
            if not chunk:
                return
            yield chunk

    async def read(self, limit: int) -> bytes:
        """Read all of it, inside `_Attempt.failures`.

        Raises LimitExceededError where it is more than `limit` bytes.
        """
        chunks: list[bytes] = []
        size = 0
        while chunk := await self._next():
            size += len(chunk)
            if size > limit:
                where = f"{self._request.method} {self._request.path}"
                raise LimitExceededError(f"{where}: the body has more than {limit} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def read_start(self, limit: int) -> bytes:
        """Read what there is of it, at most `limit` bytes: an error body may be cut off, too."""
        start = b""
        try:
            while len(start) < limit and (chunk := await self._next()):
                start += chunk
        except _FOREIGN:
            return start
        return start[:limit]

    async def aclose(self) -> None:
        """Close it; the connection is given back if the body has been read to its end."""
        self._close()

    def end(self, error: AsyncRunsError) -> None:
        """Close it under its reader, who gets the error."""
        self._end = error
        self._close()

    def _close(self) -> None:
        self._response.close()
        self._release()

    async def _next(self) -> bytes:
        """The next bytes; empty at the end. An idle limit of streams belongs around this read."""
        try:
            chunk = await self._response.content.readany()
        except _FOREIGN as exc:
            self._close()
            if self._end:
                raise self._end from exc
            raise
        if not chunk:
            self._release()  # aiohttp has taken its connection back by itself
        return chunk


class _Release:
    """Gives a slot back."""

    __slots__ = ("_semaphores",)

    def __init__(self, *semaphores: asyncio.Semaphore) -> None:
        self._semaphores = semaphores

    def __call__(self) -> None:
        for semaphore in self._semaphores:
            semaphore.release()


class _Slots:
    """Counts connections in use, so that streams leave some to the other requests."""

    def __init__(self, limit: int, session: aiohttp.ClientSession | None) -> None:
        connector = session.connector if session else None
        foreign = (connector.limit, connector.limit_per_host) if connector else ()
        own = limit + RESERVED_CONNECTIONS
        total = min([own, *(bound for bound in foreign if bound)])
        self.limit = total - min(RESERVED_CONNECTIONS, total // 2)
        self._all = asyncio.Semaphore(total)
        self._streams = asyncio.Semaphore(self.limit)

    async def take(self, *, stream: bool) -> _Release:
        """Wait for a slot; the caller gives it back by calling what it gets."""
        if not stream:
            await self._all.acquire()
            return _Release(self._all)
        await self._streams.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            self._streams.release()
            raise
        return _Release(self._all, self._streams)


class _Body(aiohttp.Payload):
    """A request's body, which knows whether it has begun to go out.

    aiohttp holds the head of a request back until its body is written: where this is not `sent`,
    nothing is. (Plain bytes would do but for that, and for its warning beyond 1 MiB.)
    """

    _autoclose = True

    def __init__(self, value: bytes) -> None:
        super().__init__(value, content_type=JSON)
        self._size = len(value)
        self.sent = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.sent = True
        await writer.write(self._value)


class _Attempt:
    """One sending of a request: how far it came, and what a failure means there."""

    def __init__(
        self,
        request: Request,
        *,
        url: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        timeout: float | None,
        stream: bool,
    ) -> None:
        self.request = request
        self.url = url
        self.query = query
        self.headers = headers
        self.timeout = timeout
        self.stream = stream
        nothing = request.body is None and request.repeatable
        self.body = None if nothing else _Body(request.body or b"")
        self.waits_for: str | None = None

    @contextmanager
    def failures(self) -> Generator[None, None, None]:
        """Map what aiohttp raises while the attempt is under way."""
        try:
            yield
        except _FOREIGN as exc:
            # aiohttp's error for an answer that is not HTTP holds the request's headers, the key
            # among them; its own cause does not.
            cause = exc.__cause__ if isinstance(exc, aiohttp.ClientResponseError) else exc
            raise self._error(exc) from cause

    def _error(self, exc: Exception) -> AsyncRunsError:
        if self.waits_for:
            where = f"{self.request.method} {self.request.path}"
            return PoolTimeoutError(f"{where}: none of {self.waits_for} became free in time")
        error = _error_of(exc, self.request)
        if self.request.repeatable or not (self.body and self.body.sent):
            return error
        return AmbiguousRequestError(
            f"{error}; the request had been sent: the server may have carried it out"
        )


_FAILURES: Final[tuple[tuple[type[Exception], type[AsyncRunsError], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, APIConnectionError, "the certificate is refused"),
    (aiohttp.ClientSSLError, APIConnectionError, "no TLS connection could be made"),
    (aiohttp.ClientConnectorDNSError, APIConnectionError, "the host's name has no address"),
    (aiohttp.ConnectionTimeoutError, APITimeoutError, "the host did not accept a connection"),
    (aiohttp.ClientConnectorError, APIConnectionError, "no connection could be made"),
    (TimeoutError, APITimeoutError, "no answer came in time"),
    (aiohttp.ServerDisconnectedError, APIConnectionError, "the server hung up"),
    (aiohttp.ClientResponseError, APIConnectionError, "the answer is not HTTP"),
    (aiohttp.ClientPayloadError, APIConnectionError, "the answer broke off"),
    (aiohttp.ClientError, APIConnectionError, "the connection failed"),
    (OSError, APIConnectionError, "the connection failed"),
    # A header, a URL or a setting of the caller's session that aiohttp refuses.
    (ValueError, AsyncRunsError, "the request cannot be sent"),
    # aiohttp reads from a connection that was closed under it.
    (RuntimeError, APIConnectionError, "the connection is gone"),
)
"""What aiohttp, asyncio and ssl raise: the first class that fits gives the error and its text."""

_FOREIGN: Final = tuple({kind for kind, _, _ in _FAILURES})


def _error_of(exc: Exception, request: Request) -> AsyncRunsError:
    error, text = next((error, text) for kind, error, text in _FAILURES if isinstance(exc, kind))
    detail = exc.message if isinstance(exc, aiohttp.ClientResponseError) else str(exc)
    known = f" ({detail})" if detail else ""
    return error(f"{request.method} {request.path}: {text}{known}")


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


def _environment_proxy(url: str) -> str | None:
    """The proxy that the environment names for a URL; None for none, and for this machine.

    Passed to aiohttp by hand: its trust_env would take users and passwords from netrc, too.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_this_machine(host) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        raise AsyncRunsError(
            f"the environment names a proxy for {host} that is no http or https URL"
        )
    return proxy


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
