"""A key, or a provider of tokens, to the header that says who the caller is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable
from urllib.parse import quote

from asyncruns.errors import AsyncRunsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AUTH_HEADERS",
    "AzureCredential",
    "AzureKey",
    "AzureToken",
    "BearerKey",
    "Blots",
    "Credential",
    "TokenProvider",
]

TokenProvider = Callable[[], str | Awaitable[str]]
"""Gives the key or token to send; it is asked at every attempt, and may cache.

A plain function is called on the event loop: one that has to wait should be async.
"""

AUTH_HEADERS: Final = frozenset({"authorization", "api-key"})
"""Where a caller gives one of these headers, no credential is asked for."""

HIDDEN: Final = "…"
"""What stands in an error where a server has repeated a credential."""

MIN_SECRET: Final = 8
"""Characters that make a credential one: `any`, for a server that asks for none, is a word."""

EXPIRY_MARGIN: Final = 300.0
"""Seconds before its end at which a token is replaced, unless it says when to."""

_NO_KEY: Final = (
    "no API key: pass api_key=… or set OPENAI_API_KEY; a server that asks for none takes api_key=''"
)


@runtime_checkable
class Credential(Protocol):
    """Something that can say who the caller is."""

    async def headers(self) -> dict[str, str]:
        """Give the headers for one attempt; raises AsyncRunsError where there is no key."""
        ...


class Blots:
    """Blots the credentials of a request out of what an error shows of its answer."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = headers or {}

    @cached_property
    def _words(self) -> list[str]:
        sent = {name.lower(): value for name, value in self._headers.items()}
        # What follows the scheme; a key may have spaces of its own.
        scheme, _, token = sent.get("authorization", "").partition(" ")
        secrets = [
            secret
            for secret in (token or scheme, sent.get("api-key", ""))
            if len(secret) >= MIN_SECRET
        ]
        # As it stands in a text, in JSON of some servers, and in a URL.
        return sorted(
            {
                word
                for secret in secrets
                for word in (secret, secret.replace("/", "\\/"), quote(secret, safe=""))
            }
        )

    def text(self, told: str) -> str:
        """Give a text without them."""
        for word in self._words:
            told = told.replace(word, HIDDEN)
        return told

    def data(self, told: bytes) -> bytes:
        """Give bytes without them."""
        for word in self._words:
            told = told.replace(word.encode(), HIDDEN.encode())
        return told

    def exception(self, exc: BaseException) -> None:
        """Take them out of an exception of somebody else's, and out of those that led to it."""
        chain: list[BaseException] = []
        following: BaseException | None = exc
        while following is not None and following not in chain:
            chain.append(following)
            following = following.__cause__ or following.__context__
        for one in chain if self._words else ():
            one.args = tuple(self._anything(part) for part in one.args)
            vars(one).update({name: self._anything(part) for name, part in vars(one).items()})

    def _anything(self, told: Any) -> Any:
        if isinstance(told, bytes):
            return self.data(told)
        return self.text(told) if isinstance(told, str) else told


class AzureCredential(Protocol):
    """A credential in the way of azure-core, sync or async; azure-identity has many.

    Where it has `get_token_info`, too, that is asked instead.
    """

    @property
    def get_token(self) -> Callable[..., Any]:
        """Takes scopes, and gives or will give something with `token` and `expires_on`."""
        ...


class _Key:
    """A key, or a provider of keys; None for one that is missing."""

    __slots__ = ("_key",)

    def __init__(self, key: str | TokenProvider | None) -> None:
        self._key = key

    @property
    def is_fixed(self) -> bool:
        """Whether it is there: nobody has to be asked and waited for."""
        return not callable(self._key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class BearerKey(_Key):
    """`Authorization: Bearer …`, from a key or a token provider.

    None is a key that is missing, an error once a request needs it; an empty string sends nothing.
    """

    __slots__ = ()

    async def headers(self) -> dict[str, str]:
        """Give the header for one attempt; what a provider raises reaches the caller as it is."""
        key = await _given(self._key)
        return {"Authorization": f"Bearer {key}"} if key else {}


class AzureKey(_Key):
    """`api-key: …`, from a key or a provider of keys; an empty string sends nothing."""

    __slots__ = ()

    async def headers(self) -> dict[str, str]:
        """Give the header for one attempt; what a provider raises reaches the caller as it is."""
        key = await _given(self._key)
        return {"api-key": key} if key else {}


class AzureToken:
    """`Authorization: Bearer …`, from an azure-core style credential for one scope.

    A token is kept until shortly before it expires, and asked for by one request at a time. A sync
    credential is asked in a thread.
    """

    __slots__ = ("_clock", "_credential", "_ends_at", "_lock", "_renew_at", "_scope", "_token")

    def __init__(
        self,
        credential: AzureCredential,
        scope: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credential = credential
        self._scope = scope
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = self._ends_at = 0.0

    async def headers(self) -> dict[str, str]:
        """Give the header for one attempt; what a credential raises reaches the caller as it is.

        While the token that is there still holds, it is sent where renewing it fails.
        """
        async with self._lock:
            if self._clock() >= self._renew_at:
                try:
                    await self._renew()
                except Exception:
                    if self._clock() >= self._ends_at:
                        raise
        return {"Authorization": f"Bearer {self._token}"}

    async def _renew(self) -> None:
        ask = getattr(self._credential, "get_token_info", None) or self._credential.get_token
        in_thread = not iscoroutinefunction(ask)
        token = await asyncio.to_thread(ask, self._scope) if in_thread else ask(self._scope)
        if isawaitable(token):
            token = await token
        self._token = _sendable(token.token)
        refresh_on = getattr(token, "refresh_on", None)
        self._renew_at = refresh_on or token.expires_on - EXPIRY_MARGIN
        self._ends_at = token.expires_on

    def __repr__(self) -> str:
        return f"AzureToken(scope={self._scope!r})"


async def _given(key: str | TokenProvider | None) -> str:
    given = key() if callable(key) else key
    if isawaitable(given):
        given = await given
    if given is None:
        raise AsyncRunsError(_NO_KEY)
    return _sendable(given)


def _sendable(key: object) -> str:
    if not isinstance(key, str):
        raise AsyncRunsError(f"a key or token must be a string, not {type(key).__name__}")
    # Said here because the text of a later failure would have to show the key.
    if not (key.isascii() and key.isprintable()):
        raise AsyncRunsError("the API key has characters that no header can hold")
    return key
