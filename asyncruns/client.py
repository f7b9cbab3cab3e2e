"""Configuration to resources: the client, from its arguments and the environment."""

from __future__ import annotations

import copy
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from asyncruns import __version__
from asyncruns.connections import MAX_CONNECTIONS, Connections
from asyncruns.credentials import BearerKey, Credential
from asyncruns.headers import merged
from asyncruns.hooks import Hooks
from asyncruns.models import to_json
from asyncruns.resources.runs import Runs
from asyncruns.retries import RetryPolicy
from asyncruns.timeouts import Timeout
from asyncruns.transport import ANY, Request, Settings, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from ssl import SSLContext
    from types import TracebackType

    import aiohttp

    from asyncruns.credentials import TokenProvider
    from asyncruns.hooks import RateLimits, RequestInfo, ResponseInfo, RetryInfo
    from asyncruns.resources.assistants import Assistants
    from asyncruns.resources.messages import Messages
    from asyncruns.resources.threads import Threads

__all__ = ["Client", "ClientOptions"]

T = TypeVar("T")

DEFAULT_TIMEOUT: Final = Timeout()
DEFAULT_RETRIES: Final = RetryPolicy()

HOSTED_URL: Final = "https://api.openai.com/v1"
"""The base URL unless one is given."""

_RESOURCES: Final = frozenset({"runs", "threads", "messages", "assistants"})

_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class ClientOptions(TypedDict, total=False):
    """The options that all kinds of clients have in common: see Client."""

    timeout: Timeout | float | None
    max_retries: int | None
    retries: RetryPolicy
    session: aiohttp.ClientSession | None
    ssl: SSLContext | None
    connector: Mapping[str, Any] | None
    max_connections: int
    limiter: AbstractAsyncContextManager[object] | None
    on_request: Callable[[RequestInfo], object] | None
    on_response: Callable[[ResponseInfo], object] | None
    on_retry: Callable[[RetryInfo], object] | None


class Client:
    """A client of one server: `async with Client() as client: …`, or `await client.aclose()`.

    - `api_key`: the key, or a function, sync or async, that gives one at every attempt; else
      OPENAI_API_KEY. An empty string is for servers that ask for none.
    - `base_url`: the prefix of all paths, else OPENAI_BASE_URL, else OpenAI's own host.
    - `organization`, `project`: sent as headers, else OPENAI_ORG_ID, OPENAI_PROJECT_ID.
    - `timeout`: seconds that one attempt at a request may take; of a stream, until its headers
      have come; 60 unless given, None for no limit. A Timeout limits its parts.
    - `max_retries`: how often a request that failed may be sent again: twice unless given.
      `retries` is the whole policy; what creates is sent again only where it was not begun.
    - `default_headers`, `default_query`: sent with every request; a None leaves a header out.
    - `session`: an aiohttp session to use instead of one of its own. It is never closed; its proxy
      and TLS settings hold. Without one, proxies come from the environment, passwords from netrc
      never.
    - `ssl`, `connector`: without a session of yours, whom to trust, and other settings of
      aiohttp.TCPConnector. Else the system's authorities hold, or SSL_CERT_FILE, SSL_CERT_DIR.
    - `max_connections`: how many streams may be open at once. Ten connections more are kept for
      the other requests, which would else wait for a stream to end.
    - `limiter`: an async context manager that each attempt is made in, such as an AsyncLimiter of
      aiolimiter; a stream leaves it with its headers.
    - `on_request`, `on_response`, `on_retry`: functions that are told of each attempt, of the
      headers of each answer, and of each retry. The logger `asyncruns` tells the same at DEBUG;
      ASYNCRUNS_LOG=debug shows it.

    A client can be made anywhere; from its first request on it belongs to that event loop.
    """

    def __init__(
        self,
        *,
        api_key: str | TokenProvider | Credential | None = None,
        base_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        timeout: Timeout | float | None = DEFAULT_TIMEOUT,
        max_retries: int | None = None,
        retries: RetryPolicy = DEFAULT_RETRIES,
        default_headers: Mapping[str, str | None] | None = None,
        default_query: Mapping[str, object] | None = None,
        session: aiohttp.ClientSession | None = None,
        ssl: SSLContext | None = None,
        connector: Mapping[str, Any] | None = None,
        max_connections: int = MAX_CONNECTIONS,
        limiter: AbstractAsyncContextManager[object] | None = None,
        on_request: Callable[[RequestInfo], object] | None = None,
        on_response: Callable[[ResponseInfo], object] | None = None,
        on_retry: Callable[[RetryInfo], object] | None = None,
    ) -> None:
        settings = Settings(
            base_url=_else_environment(base_url, "OPENAI_BASE_URL") or _hosted(base_url),
            credential=_credential(api_key),
            headers=merged(
                {
                    "User-Agent": f"asyncruns/{__version__}",
                    "OpenAI-Beta": "assistants=v2",
                    "OpenAI-Organization": _else_environment(organization, "OPENAI_ORG_ID"),
                    "OpenAI-Project": _else_environment(project, "OPENAI_PROJECT_ID"),
                },
                default_headers or {},
            ),
            query=default_query or {},
            timeout=Timeout.of(timeout),
            retries=_limited(retries, max_retries),
        )
        connections = Connections(
            settings.base_url,
            session=session,
            max_connections=max_connections,
            tls=ssl,
            connector=connector,
        )
        hooks = Hooks(on_request=on_request, on_response=on_response, on_retry=on_retry)
        self._transport = Transport(settings, connections, hooks=hooks, limiter=limiter)

    @cached_property
    def runs(self) -> Runs:
        """The endpoints of runs, and of their steps."""
        return Runs(self._transport)

    # A program that only streams runs does without the others: they take 3 ms to import.

    @cached_property
    def threads(self) -> Threads:
        """The endpoints of threads."""
        from asyncruns.resources.threads import Threads  # noqa: PLC0415 -- see above

        return Threads(self._transport)

    @cached_property
    def messages(self) -> Messages:
        """The endpoints of a thread's messages."""
        from asyncruns.resources.messages import Messages  # noqa: PLC0415 -- see above

        return Messages(self._transport)

    @cached_property
    def assistants(self) -> Assistants:
        """The endpoints of assistants."""
        from asyncruns.resources.assistants import Assistants  # noqa: PLC0415 -- see above

        return Assistants(self._transport)

    @property
    def rate_limits(self) -> RateLimits:
        """What the last answer with `x-ratelimit-*` headers said of them."""
        return self._transport.watch.rate_limits

    def with_options(
        self,
        *,
        timeout: Timeout | float | UnsetType | None = UNSET,
        max_retries: int | None = None,
        retries: RetryPolicy | None = None,
        default_headers: Mapping[str, str | None] | None = None,
        default_query: Mapping[str, object] | None = None,
        on_request: Callable[[RequestInfo], object] | None = None,
        on_response: Callable[[ResponseInfo], object] | None = None,
        on_retry: Callable[[RetryInfo], object] | None = None,
    ) -> Self:
        """Give this client with other settings; what can be added is added to what it has.

        That is so for headers, queries and hooks, its own hooks being called first.

        Both use the same connections, and close them: `client.with_options(max_retries=0).runs`
        is how one call gets settings of its own.
        """
        old = self._transport.settings
        settings = replace(
            old,
            timeout=old.timeout if timeout is UNSET else Timeout.of(timeout),
            retries=_limited(retries or old.retries, max_retries),
            headers=merged(old.headers, default_headers or {}),
            query={**old.query, **(default_query or {})},
        )
        hooks = Hooks(on_request=on_request, on_response=on_response, on_retry=on_retry)
        other = copy.copy(self)
        other._transport = self._transport.with_settings(settings, hooks)  # noqa: SLF001 -- one of us
        for made in _RESOURCES & vars(other).keys():
            delattr(other, made)
        return other

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = UNSET,
        body: bytes | None = None,
        extra_headers: Mapping[str, str | None] | None = None,
        extra_query: Mapping[str, object] | None = None,
        timeout: Timeout | float | UnsetType | None = UNSET,
    ) -> bytes:
        """Ask for anything else that the server has, and give the answer's body.

        `path` is below the base URL. `json` is encoded; `body` is sent as it is, with the
        `Content-Type` among the headers. Raises as every other call does.
        """
        if json is not UNSET and body is not None:
            raise TypeError("request() takes json or body, not both")
        request = Request(
            method=method.upper(),
            path=path,
            query=extra_query or {},
            headers=extra_headers or {},
            body=body if json is UNSET else to_json(json),
            accept=ANY,
            timeout=timeout,
            repeatable=method.upper() in _REPEATABLE,
        )
        return (await self._transport.send(request)).body

    async def aclose(self) -> None:
        """Close the connections; streams that are still read end with an AsyncRunsError."""
        await self._transport.connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._transport.settings.base_url!r})"


def _credential(api_key: str | TokenProvider | Credential | None) -> Credential:
    if isinstance(api_key, Credential):
        return api_key
    return BearerKey(_else_environment(api_key, "OPENAI_API_KEY"))


def _hosted(given: str | None) -> str:
    # A variable that is set to nothing reads as "" so easily, and a key must not go elsewhere.
    if given is not None:
        raise ValueError("base_url is empty: pass the server's address, or leave it out")
    return HOSTED_URL


def _else_environment(given: T | None, name: str) -> T | str | None:
    return os.environ.get(name) or None if given is None else given


def _limited(policy: RetryPolicy, max_retries: int | None) -> RetryPolicy:
    return policy if max_retries is None else replace(policy, max_retries=max_retries)
