"""One request over HTTP and the bytes that answer it: with `reader`, all that touches aiohttp.

Every exception of aiohttp, asyncio and ssl is mapped here into the tree of `asyncruns.errors`, and
chained. Cancellation passes untouched.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import ssl
import weakref
from contextlib import contextmanager, nullcontext
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError, LineTooLong
from multidict import CIMultiDict, CIMultiDictProxy

from asyncruns.credentials import Blots
from asyncruns.errors import (
    AmbiguousRequestError,
    APIConnectionError,
    APITimeoutError,
    AsyncRunsError,
    LimitExceededError,
    PoolTimeoutError,
)
from asyncruns.reader import read_directly

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Mapping

    from aiohttp.abc import AbstractStreamWriter

    from asyncruns.timeouts import Timeout

__all__ = ["MAX_CONNECTIONS", "Attempt", "ByteStream", "ClientClosedError", "Connections"]

T = TypeVar("T")

MAX_CONNECTIONS: Final = 1000
"""How many streams a client may have open unless it is told otherwise."""

RESERVED_CONNECTIONS: Final = 10
"""How many connections there are beyond those of streams.

A cancel, a submit or a poll goes through while every stream that is allowed is open.
"""

ERROR_BODY_TIMEOUT: Final = 5.0
"""Seconds that the body of an error may take once its headers have come."""

KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}
"""When a silent connection is probed; each system knows some of these names."""

MAX_HEADER: Final = 16 * 1024
"""Bytes that one header of an answer may have."""

MAX_HEADERS: Final = 128
"""How many headers an answer may have."""

WRITE_PIECE: Final = 64 * 1024
"""Bytes of a request's body that are written at a time."""

MAX_INFLATED: Final = 64 * 1024 * 1024
"""How many bytes a compressed stream may have once decompressed; a plain one may go on for ever."""

READ_BUFFER: Final = 64 * 1024
"""Bytes that aiohttp reads ahead of a slow consumer; its own 256 KiB make idle streams heavy."""


class Attempt:
    """One sending of a request: what is sent, how far it came, what a failure means there."""

    def __init__(
        self,
        method: str,
        path: str,
        *,
        url: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        body: bytes | None,
        timeout: Timeout,
        repeatable: bool,
        stream: bool,
    ) -> None:
        self.where = f"{method} {path}"
        self.method = method
        self.url = url
        self.query = query
        self.headers = headers
        # Where there is nothing to send, too: aiohttp re-sends what has no body (see _Body).
        self.body = _Body(body or b"", timeout.write)
        self.timeout = timeout
        self.repeatable = repeatable
        self.stream = stream
        self.waits_for: str | None = None
        total = timeout.total
        self.ends = None if total is None else asyncio.get_running_loop().time() + total
        """When the total has passed, on the loop's clock."""

    @contextmanager
    def failures(self) -> Generator[None, None, None]:
        """Map what aiohttp raises while the attempt is under way."""
        try:
            yield
        except FOREIGN as exc:
            _drop_key(exc)
            Blots(self.headers).exception(exc)
            raise self._error(exc) from exc

    def _error(self, exc: Exception) -> AsyncRunsError:
        if self.waits_for and isinstance(exc, TimeoutError):
            limits = (self.timeout.pool, self.timeout.total)
            limit = min(limit for limit in limits if limit is not None)
            return PoolTimeoutError(
                f"{self.where}: none of {self.waits_for} became free within {limit} s"
            )
        error = _error_of(exc, self.where, self.timeout)
        if self.body.is_whole and not self.repeatable:
            return AmbiguousRequestError(
                f"{error}; the request had been sent: the server may have carried it out"
            )
        if isinstance(error, APIConnectionError):
            error.retryable = not _is_lasting(exc)
        return error


class Connections:
    """A client's aiohttp session, made at its first use, and what is open on it.

    `session` is the caller's own, which is used and never closed. Without one, `tls` is the trust
    of the session that is made here, and `connector` holds settings of its aiohttp.TCPConnector.
    """

    def __init__(
        self,
        base_url: str,
        *,
        session: aiohttp.ClientSession | None = None,
        max_connections: int = MAX_CONNECTIONS,
        tls: ssl.SSLContext | None = None,
        connector: Mapping[str, Any] | None = None,
    ) -> None:
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, not {max_connections}")
        if session and (tls or connector):
            raise ValueError("ssl and connector are settings of the session: pass them to yours")
        if session and session.trust_env:
            raise ValueError(
                "a session with trust_env=True sends what netrc holds beside the client's own key: "
                "make it without, and with proxy=… if it needs one"
            )
        if _LIMITS & (connector or {}).keys():
            raise ValueError("a limit in connector=… is not for here: pass max_connections=…")
        self._base_url = base_url
        self._own = session is None
        self._session = session
        self._tls = tls
        self._connector = connector or {}
        self._slots = _Slots(max_connections, session)
        self._streams: weakref.WeakSet[ByteStream] = weakref.WeakSet()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        # What is to end when the client is closed.
        self._waits: set[asyncio.Timeout] = set()

    async def open(self, attempt: Attempt) -> ByteStream:
        """Send a request and give its answer from the headers on; the caller closes it.

        To be called inside `attempt.failures()`, which tells what it means where time is up.
        """
        self.check_usable()
        return await self.unless_closed(self._opened(attempt), attempt.ends)

    async def _opened(self, attempt: Attempt) -> ByteStream:
        pool = attempt.timeout.pool
        attempt.waits_for = f"the client's {self._slots.limit} connections"
        async with nullcontext() if pool is None else asyncio.timeout(pool):
            slot = await self._slots.take(stream=attempt.stream)
        attempt.waits_for = None
        try:
            response = await self._ready_session().request(
                attempt.method,
                attempt.url,
                params=attempt.query,
                headers=attempt.headers,
                data=attempt.body,
                skip_auto_headers=() if attempt.body.size else ("Content-Type",),
                # Credentials never follow a redirect: aiohttp would take `api-key` along.
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=True,
                proxy=self._proxy,
                read_bufsize=READ_BUFFER,
                max_field_size=MAX_HEADER,
                max_headers=MAX_HEADERS,
                timeout=self._limits(attempt.timeout),
            )
        except BaseException:
            _give_back(slot)
            raise
        stream = ByteStream(response, attempt.where, slot, Blots(attempt.headers))
        self._streams.add(stream)
        return stream

    @property
    def are_full(self) -> bool:
        """Whether a stream that is opened now would have to wait for another to end."""
        return self._slots.are_full

    async def aclose(self) -> None:
        """Close the session, and end with an error what is still being read."""
        if self._closed:
            return
        if self._loop and not self._loop.is_closed():
            self._check_loop()
        self._closed = True
        for wait in self._waits:
            wait.reschedule(0)
        for stream in [*self._streams]:
            stream.end(ClientClosedError())
        if self._own and self._session:
            await self._session.close()

    async def unless_closed(self, awaited: Awaitable[T], ends: float | None = None) -> T:
        """Await something, and end it when the client is closed, with ClientClosedError.

        It ends at a time of the loop's clock, too, with TimeoutError; None for no such time.
        """
        wait = asyncio.timeout_at(ends)
        try:
            async with wait:
                self._waits.add(wait)
                try:
                    return await awaited
                finally:
                    self._waits.discard(wait)
        except Exception as exc:
            if self._closed and isinstance(exc, FOREIGN):
                raise ClientClosedError from exc
            raise

    def check_usable(self) -> None:
        """Raise AsyncRunsError unless requests can be sent from here."""
        if self._closed:
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
        self.check_usable()
        if self._session is None:
            settings: dict[str, Any] = {
                # The slots are the limit: they know streams from other requests.
                "limit": 0,
                "socket_factory": _lasting_socket,
                "ssl": self._tls or _environment_trust(self._base_url),
                **self._connector,
            }
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(**settings),
                cookie_jar=aiohttp.DummyCookieJar(),
                # True would read netrc too, and put its user beside our Authorization.
                trust_env=False,
            )
        return self._session

    def _limits(self, timeout: Timeout) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=None,
            # With the wait for a connection of a session's own limit, if it has one.
            connect=timeout.connect if self._own else None,
            sock_connect=timeout.connect,
            sock_read=timeout.read,
        )

    @cached_property
    def _proxy(self) -> str | None:
        return _environment_proxy(self._base_url) if self._own else None


class ByteStream:
    """The body of an answer as it comes; whoever opened it closes it.

    Iterating raises APIConnectionError where the bytes end too soon, and LimitExceededError where
    what came compressed is more than MAX_INFLATED bytes. It may give empty bytes before either, or
    before the end; after a read that was cancelled, bytes may be missing.
    """

    __slots__ = (
        *("__weakref__", "_direct", "_end", "_left", "_release", "_response", "_where"),
        *("blots", "headers"),
    )

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        where: str,
        slot: tuple[asyncio.Semaphore, ...],
        blots: Blots,
    ) -> None:
        self._response = response
        # A copy, because aiohttp's own cannot be pickled, and errors carry it.
        self.headers: Mapping[str, str] = CIMultiDict(response.headers)
        """The answer's headers, case-insensitive."""
        self.blots = blots
        """For what an error shows of it."""
        self._where = where
        is_plain = "content-encoding" not in self.headers
        self._left = math.inf if is_plain else MAX_INFLATED
        self._direct = read_directly(response.content) if is_plain else None
        self._end: OSError | None = None
        # Runs once, and at the latest when a stream that nobody closed is collected.
        self._release = weakref.finalize(self, _give_back, slot)
        self._release.atexit = False

    @property
    def status(self) -> int:
        """The answer's status."""
        return self._response.status

    @property
    def request_id(self) -> str | None:
        """The `x-request-id`; None where the server sent none."""
        return self.headers.get("x-request-id")

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case; empty where the server sent none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_over(self) -> bool:
        """Whether all of the body has been read, its end included."""
        return self._response.content.at_eof()

    def hide(self, body: bytes) -> bytes:
        """Blot our credentials out of the headers, and out of what came of the body."""
        self.headers = CIMultiDict(
            (name, self.blots.text(value)) for name, value in self.headers.items()
        )
        return self.blots.data(body)

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        # A coroutine is a layer more for each read of each stream to pass through.
        arrival = None if self._direct is None else self._direct.arrival()
        return self._come() if arrival is None else arrival

    async def _come(self) -> bytes:
        """What has come, or comes through a reader of another kind."""
        try:
            chunk = await self._response.content.readany()
        except FOREIGN as exc:
            cause = self._ended_by(exc)
            self.blots.exception(cause)
            raise _error_of(cause, self._where) from cause
        if not chunk:
            self._release()  # aiohttp has taken its connection back by itself
            raise StopAsyncIteration
        self._left -= len(chunk)
        if self._left < 0:
            raise LimitExceededError(
                f"{self._where}: the compressed stream has more than {MAX_INFLATED} bytes"
            )
        return chunk

    async def read(self, limit: int) -> bytes:
        """Read all of it, inside `Attempt.failures`.

        Raises LimitExceededError where it is more than `limit` bytes.
        """
        chunks: list[bytes] = []
        size = 0
        while chunk := await self._next():
            size += len(chunk)
            if size > limit:
                raise LimitExceededError(f"{self._where}: the body has more than {limit} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def read_start(self, limit: int) -> bytes:
        """Read what comes of it in time, at most `limit` bytes: an error's body may break off."""
        start = b""
        try:
            async with asyncio.timeout(ERROR_BODY_TIMEOUT):
                while len(start) < limit and (chunk := await self._next()):
                    start += chunk
        except FOREIGN:
            return start
        return start[:limit]

    async def aclose(self) -> None:
        """Close it; the connection is given back if the body has been read to its end."""
        self._close()

    def end(self, reason: OSError) -> None:
        """Close it under its reader, to whom the connection fails for this reason."""
        self._end = reason
        self._close()

    def _close(self) -> None:
        self._response.close()
        self._release()

    async def _next(self) -> bytes:
        """The next bytes; empty at the end. An idle limit of streams belongs around this read."""
        try:
            chunk = await self._response.content.readany()
        except FOREIGN as exc:
            raise self._ended_by(exc)  # noqa: B904 -- it has its cause, if it has one
        if not chunk:
            self._release()
        return chunk

    def _ended_by(self, exc: Exception) -> Exception:
        """Close it after a failure, and give what has ended it: that, or who closed it here."""
        self._close()
        if self._end is None:
            return exc
        self._end.__cause__ = exc
        return self._end


class ClientClosedError(ConnectionAbortedError):
    """The client was closed while something was awaited."""

    def __init__(self) -> None:
        super().__init__("the client was closed")


class _Slots:
    """Counts connections in use, so that streams leave some to the other requests."""

    def __init__(self, limit: int, session: aiohttp.ClientSession | None) -> None:
        connector = session.connector if session else None
        foreign = (connector.limit, connector.limit_per_host) if connector else ()
        total = min([limit + RESERVED_CONNECTIONS, *(bound for bound in foreign if bound)])
        self.limit = min(limit, total - min(RESERVED_CONNECTIONS, total // 2))
        self._all = asyncio.Semaphore(total)
        self._streams = asyncio.Semaphore(self.limit)

    @property
    def are_full(self) -> bool:
        return self._streams.locked()

    async def take(self, *, stream: bool) -> tuple[asyncio.Semaphore, ...]:
        """Wait for a connection to be free; the caller gives it back with `_give_back`."""
        if not stream:
            await self._all.acquire()
            return (self._all,)
        await self._streams.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            self._streams.release()
            raise
        return (self._all, self._streams)


_LIMITS: Final = frozenset({"limit", "limit_per_host"})
"""Settings of a connector that the slots stand for."""


def _give_back(slot: tuple[asyncio.Semaphore, ...]) -> None:
    for semaphore in slot:
        semaphore.release()


class _Body(aiohttp.Payload):
    """A request's body, which knows whether the last of it has begun to go out.

    Where it is not `is_whole`, no server can have carried the request out. (Plain bytes would do
    but for that, and for aiohttp's warning beyond 1 MiB.)
    """

    _autoclose = True
    # Says that it cannot be sent again. On a kept-alive connection that turns out to be closed
    # aiohttp would re-send a GET or a DELETE by itself, and no policy or budget would know.
    _consumed = True

    def __init__(self, value: bytes, timeout: float | None) -> None:
        super().__init__(value, content_type="application/json")
        self._size = len(value)
        self._timeout = timeout
        self.is_whole = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Give the body as text; a middleware of the caller's session may ask for it."""
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body, and the head, which aiohttp holds back until then."""
        for start in range(0, len(self._value) or 1, WRITE_PIECE):
            self.is_whole = start + WRITE_PIECE >= len(self._value)
            try:
                async with asyncio.timeout(self._timeout):
                    await writer.write(self._value[start : start + WRITE_PIECE])
            except TimeoutError as exc:
                raise _WriteTimeoutError from exc


class _WriteTimeoutError(TimeoutError):
    """The other side does not take the request's body."""


_FAILURES: Final[tuple[tuple[type[Exception], type[AsyncRunsError], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, APIConnectionError, "the certificate is refused"),
    (aiohttp.ServerFingerprintMismatch, APIConnectionError, "the certificate is refused"),
    (aiohttp.ClientSSLError, APIConnectionError, "no TLS connection could be made"),
    (aiohttp.ClientConnectorDNSError, APIConnectionError, "the host's name has no address"),
    (aiohttp.ConnectionTimeoutError, APITimeoutError, "no connection could be made"),
    (aiohttp.ClientConnectorError, APIConnectionError, "no connection could be made"),
    (aiohttp.SocketTimeoutError, APITimeoutError, "no more of the answer came"),
    (_WriteTimeoutError, APITimeoutError, "the body was not taken"),
    (TimeoutError, APITimeoutError, "no answer came"),
    (aiohttp.ServerDisconnectedError, APIConnectionError, "the server hung up"),
    (aiohttp.ClientHttpProxyError, APIConnectionError, "the proxy refuses to connect"),
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

FOREIGN: Final = tuple({kind for kind, _, _ in _FAILURES})
"""All of them."""

LASTING: Final = (
    aiohttp.ClientConnectorCertificateError,
    aiohttp.InvalidURL,
    aiohttp.ServerFingerprintMismatch,
    ClientClosedError,
    # The causes of aiohttp's error for an answer that it cannot read.
    ContentEncodingError,
    LineTooLong,
)
"""Those that do not pass by trying again."""

_TIMED: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, "connect"),
    (aiohttp.SocketTimeoutError, "read"),
    (_WriteTimeoutError, "write"),
    (TimeoutError, "total"),
)
"""Which limit of a Timeout has passed."""


def _drop_key(exc: Exception) -> None:
    """Let go of the secrets that aiohttp's error for an unreadable answer shows.

    They are the request's headers, and the password in a proxy's URL.
    """
    if isinstance(exc, aiohttp.ClientResponseError):
        sent = exc.request_info
        exc.request_info = sent._replace(
            url=sent.url.with_user(None),
            real_url=sent.real_url.with_user(None),
            headers=CIMultiDictProxy(CIMultiDict()),
        )
        exc.args = (exc.request_info, exc.history)


def _is_lasting(exc: Exception) -> bool:
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return exc.status == 407  # noqa: PLR2004 -- the proxy asks who we are
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, LASTING):
        cause = cause.__cause__
    return cause is not None


def _error_of(exc: Exception, where: str, limits: Timeout | None = None) -> AsyncRunsError:
    error, text = next((error, text) for kind, error, text in _FAILURES if isinstance(exc, kind))
    return error(f"{where}: {text}{_detail(exc, limits)}")


def _detail(exc: Exception, limits: Timeout | None) -> str:
    part = next((part for kind, part in _TIMED if isinstance(exc, kind)), None)
    if part is not None:
        seconds = getattr(limits, part, None)
        return " in time" if seconds is None else f" within {seconds:g} s (the {part} timeout)"
    if isinstance(exc, aiohttp.ServerFingerprintMismatch):
        return f" (its fingerprint is {exc.got.hex()})"
    detail = exc.message if isinstance(exc, aiohttp.ClientResponseError) else str(exc)
    return f" ({detail})" if detail else ""


def _lasting_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that asks after a silent peer, so that middleboxes keep long streams alive."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _environment_trust(url: str) -> ssl.SSLContext | bool:
    """The authorities that the environment names; True for aiohttp's own, made at its import.

    Reading them takes some 40 ms, and is left out where no certificate will be seen.
    """
    named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context() if named and urlsplit(url).scheme == "https" else True


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
