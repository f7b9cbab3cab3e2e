"""Request to answer: sends bytes with a client's settings, judges what comes back, and tries again.

Knows no model: bytes, paths and headers only.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Mapping
from contextlib import aclosing, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit

import anyio
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from multidict import CIMultiDict

from asyncruns.connections import Attempt, ClientClosedError
from asyncruns.credentials import AUTH_HEADERS, Blots, Credential
from asyncruns.errors import (
    MAX_ERROR_BODY,
    SNIPPET,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncRunsError,
    NotFoundError,
    _snippet,
    error_from_response,
)
from asyncruns.headers import check_method, merged, sendable
from asyncruns.hooks import Hooks, RequestInfo, Watch
from asyncruns.retries import Budget, RetryPolicy
from asyncruns.timeouts import Timeout
from asyncruns.watch import Limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from asyncruns.connections import ByteStream, Connections

__all__ = ["ANY", "JSON", "Request", "Response", "Settings", "Transport", "path_of"]

AnswerT = TypeVar("AnswerT")

MAX_BODY: Final = 48 * 1024 * 1024
"""How many bytes the body of an answer may have once decompressed, streams excepted."""

MAX_REDIRECTS: Final = 5
"""How many redirects in a row are followed."""

_REDIRECT_RULE: Final = f"only those of a GET to the same origin are, {MAX_REDIRECTS} in a row"

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""The statuses that name another place; 304, for one, does not."""

WORKER_THREADS: Final = 40
"""How many sync tools of a client run at once, the abandoned ones included."""

_NO_BLOTS: Final = Blots()

_PORTS: Final = {"http": 80, "https": 443}

JSON: Final = "application/json"
EVENTS: Final = "application/json, text/event-stream"
ANY: Final = "*/*"


class Settings(Struct, frozen=True, kw_only=True):
    """What all requests of a client share."""

    base_url: str
    """The prefix of every path; http or https, without user, query and fragment."""
    credential: Credential
    """Says who the caller is, at each attempt."""
    headers: Mapping[str, str | None] = {}
    """Sent with every request; a None leaves a header out."""
    query: Mapping[str, object] = {}
    """Sent with every request."""
    timeout: Timeout
    """How long the parts of a request may take."""
    retries: RetryPolicy
    """Which failed requests are sent again, and when."""

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError("base_url must begin with http:// or https:// and name a host")
        if url.username or url.password or url.query or url.fragment:
            raise ValueError("base_url must have no user, password, query or fragment")
        try:
            _ = url.port
        except ValueError as exc:
            raise ValueError("base_url must have a port from 0 to 65535, or none") from exc

    def __repr__(self) -> str:
        return f"Settings({self.base_url})"  # a header, or the query, may hold a key


class Request(Struct, frozen=True, kw_only=True):
    """What is to be sent."""

    method: str
    path: str
    """Below the base URL; its ids are quoted already."""
    query: Mapping[str, object] = {}
    """A list becomes `name[]=…` for each item; a None is left out, for a query has no null."""
    headers: Mapping[str, str | None] = {}
    """Win over the client's own; a None leaves a header out."""
    body: bytes | None = None
    accept: str = JSON
    """JSON makes any other answer an error."""
    timeout: Timeout | float | UnsetType | None = UNSET
    """A number is the total in seconds; UNSET for the client's, None for no limit."""
    repeatable: bool = True
    """Whether the server may be asked twice without harm; what creates is not repeatable."""

    @property
    def place(self) -> str:
        """The path as it may be told: a query may hold a secret."""
        return self.path.partition("?")[0]

    def __repr__(self) -> str:
        return f"Request({self.method} {self.place})"  # a header may hold a key


class Response(Struct, frozen=True):
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes
    blots: Blots = _NO_BLOTS
    """For what an error shows of it."""

    def hidden(self) -> Response:
        """Give it without the credentials that the server has repeated in it."""
        headers = CIMultiDict((name, self.blots.text(said)) for name, said in self.headers.items())
        return replace(self, headers=headers, body=self.blots.data(self.body))

    @property
    def request_id(self) -> str | None:
        """The `x-request-id`; None where the server sent none."""
        return self.headers.get("x-request-id")

    def __repr__(self) -> str:
        return f"Response(status={self.status}, body={self.body!r})"


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

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        *,
        hooks: Hooks = Hooks(),  # noqa: B008 -- it is frozen
        limiter: AbstractAsyncContextManager[object] | None = None,
    ) -> None:
        self.settings = settings
        self.connections = connections
        self.watch = Watch(hooks)
        self._limiter = nullcontext() if limiter is None else limiter
        self.thread_limiter = cache(_thread_limiter)
        self._budget = Budget(settings.retries)
        self._host = urlsplit(settings.base_url).hostname or ""

    def with_settings(self, settings: Settings, hooks: Hooks) -> Transport:
        """Give a transport with other settings, and more hooks, over the same connections."""
        other = copy.copy(self)
        other.settings = settings
        other.watch = self.watch.telling(hooks)
        if _bucket(settings) != _bucket(self.settings):
            other._budget = Budget(settings.retries)  # noqa: SLF001 -- it is one of us
        return other

    async def send(self, request: Request) -> Response:
        """Send a request and read its answer whole; again where the client's retries allow it.

        A 404 to a DELETE that was sent before is an answer, with an empty body: what the first one
        deleted is gone. Raises APIStatusError for an error status and for an answer that is not
        what was asked for, LimitExceededError for a body beyond MAX_BODY, and APIConnectionError
        where no answer came: AmbiguousRequestError if the request is not repeatable and may have
        been carried out.
        """
        try:
            return await self._retried(request, self._receive)
        except NotFoundError as exc:
            if request.method == "DELETE" and exc.retries:
                return Response(exc.status, exc.headers, b"")
            raise

    async def open(self, request: Request) -> ByteStream:
        """Send a request and give the event stream that answers it; the caller closes it.

        The total of the timeout ends with the headers, and so do the retries: the stream itself
        may last. Raises as `send` does, and APIStatusError for an answer that is no event stream.
        """
        return await self._retried(request, self._begin)

    async def _retried(
        self, request: Request, send: Callable[[Request, RequestInfo], Awaitable[AnswerT]]
    ) -> AnswerT:
        policy, retry = self.settings.retries, 0
        while True:
            sent = RequestInfo(request.method, request.place, retry + 1)
            began = time.perf_counter()
            try:
                async with self._limiter:
                    answer = await send(request, sent)
            except (APIConnectionError, APIStatusError) as exc:
                exc.retries = retry
                if isinstance(exc, APIConnectionError):
                    self.watch.failed(sent, began, exc)
                delay = policy.delay(exc, retry)
                if delay is None or not self._budget.take():
                    raise
                self.watch.retries(sent, delay, exc)
                await self._pause(delay, exc)
                retry += 1
            else:
                self._budget.refill()
                return answer

    async def _pause(self, delay: float, failure: Exception) -> None:
        """Wait to send again; raises AsyncRunsError when the client is closed meanwhile."""
        try:
            await self.connections.unless_closed(self.settings.retries.sleep(delay))
        except ClientClosedError:
            message = f"the client was closed before a request was sent again after: {failure}"
            raise AsyncRunsError(message) from failure

    async def _receive(self, request: Request, sent: RequestInfo) -> Response:
        attempt = self._attempt(request)
        stream = await self._answered(request, attempt, sent)
        async with aclosing(stream):
            with attempt.failures():
                async with asyncio.timeout_at(attempt.ends):
                    body = await stream.read(MAX_BODY)
        if request.method == "DELETE" and not body:
            return Response(stream.status, stream.headers, body, stream.blots)
        # Some servers label their JSON as plain text; HTML never begins like this.
        looks_like_json = body.lstrip()[:1] in {b"{", b"["}
        if request.accept == JSON and "json" not in stream.content_type and not looks_like_json:
            raise _unexpected(request, stream, stream.hide(body), "JSON")
        return Response(stream.status, stream.headers, body, stream.blots)

    async def _begin(self, request: Request, sent: RequestInfo) -> ByteStream:
        attempt = self._attempt(request, stream=True)
        stream = await self._answered(request, attempt, sent)
        try:
            await self._check_events(request, stream)
        except BaseException:
            await stream.aclose()
            raise
        return stream

    def _attempt(self, request: Request, *, stream: bool = False) -> Attempt:
        settings = self.settings
        check_method(request.method)
        own = {"Accept": EVENTS if stream else request.accept}
        return Attempt(
            request.method,
            request.place,
            url=_joined(settings.base_url, request.path),
            query=_pairs({**settings.query, **request.query}),
            headers=sendable(merged(own, settings.headers, request.headers)),
            body=request.body,
            timeout=settings.timeout if request.timeout is UNSET else Timeout.of(request.timeout),
            repeatable=request.repeatable,
            stream=stream,
        )

    async def _answered(self, request: Request, attempt: Attempt, sent: RequestInfo) -> ByteStream:
        """Send an attempt, and give its answer from the headers on if its status is good."""
        self.connections.check_usable()
        await self._authorize(request, attempt)
        self.watch.sends(sent)
        began, redirects = time.perf_counter(), 0
        while True:
            with attempt.failures():
                stream = await self.connections.open(attempt)
            try:
                self.watch.answered(sent, began, stream.status, stream.headers)
            except BaseException:
                await stream.aclose()
                raise
            if stream.status < 300:  # noqa: PLR2004 -- the first redirect of HTTP
                return stream
            async with aclosing(stream):
                place = _place(attempt, stream)
                if place is None or redirects == MAX_REDIRECTS:
                    raise await self._refusal(request, stream)
            # Its query is the one of the new place.
            attempt.url, attempt.query = place, []
            redirects += 1

    async def _authorize(self, request: Request, attempt: Attempt) -> None:
        """Say who the caller is, unless the caller's own headers do, or are to say nothing."""
        if not AUTH_HEADERS.isdisjoint(
            map(str.lower, {**self.settings.headers, **request.headers})
        ):
            return

        def too_late() -> APITimeoutError:
            return APITimeoutError(f"{attempt.where}: no token came in time")

        credential = self.settings.credential
        ends = None if getattr(credential, "is_fixed", False) else attempt.ends
        async with Limit(ends, too_late):
            attempt.headers |= await credential.headers()

    async def _refusal(self, request: Request, stream: ByteStream) -> APIStatusError:
        """The error for an answer with a status that is not good."""
        if stream.status < 400:  # noqa: PLR2004 -- the first error status of HTTP
            stream.hide(b"")
            place = stream.headers.get("location", "nowhere")[:SNIPPET]
            message = f"redirects to {place} are not followed: {_REDIRECT_RULE}"
            return _status_error(request, stream, b"", message)
        body = stream.hide(await stream.read_start(MAX_ERROR_BODY))
        return error_from_response(
            stream.status,
            stream.headers,
            body,
            method=request.method,
            path=request.place,
            host=self._host,
            repeatable=request.repeatable,
        )

    async def _check_events(self, request: Request, stream: ByteStream) -> None:
        if stream.content_type != "text/event-stream":
            body = stream.hide(await stream.read_start(MAX_ERROR_BODY))
            raise _unexpected(request, stream, body, "an event stream")


def _thread_limiter() -> anyio.CapacityLimiter:
    """Limit the threads of a client; made when a tool may need one: anyio takes 25 ms for it."""
    return anyio.CapacityLimiter(WORKER_THREADS)


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
        path=request.place,
    )


def _place(attempt: Attempt, stream: ByteStream) -> str | None:
    """Where a redirect leads, if it is to be followed: a GET, to the origin that it came from.

    Credentials go nowhere else, and what changes something is never sent to a second place.
    """
    location = stream.headers.get("location")
    if stream.status not in REDIRECTS or attempt.method != "GET" or not location:
        return None
    try:
        place = urljoin(attempt.url, location)
        return place if _origin(place) == _origin(attempt.url) else None
    except ValueError:  # it is no URL
        return None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _joined(base_url: str, path: str) -> str:
    segments = [unquote(segment) for segment in path.partition("?")[0].split("/")]
    upwards = "" in segments[1:-1] or not {".", ".."}.isdisjoint(segments)
    if upwards or "#" in path or not path.isprintable():
        raise ValueError(f"a path below {base_url} is needed, and not {path!r}")
    return f"{base_url.rstrip('/')}/{path.removeprefix('/')}"


def _bucket(settings: Settings) -> tuple[float, float]:
    return settings.retries.budget, settings.retries.refill


def _pairs(query: Mapping[str, object]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if isinstance(value, list | tuple):
            pairs += [(f"{name}[]", _text(name, item)) for item in value]
        elif value is not None:
            pairs.append((name, _text(name, value)))
    return pairs


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        kind = type(value).__name__
        raise TypeError(f"{name} stands in the query: a string or a number is needed, not {kind}")
    return str(value)
