"""A key, or a provider of tokens, to the header that says who the caller is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Final, Protocol

from asyncruns.errors import AsyncRunsError

__all__ = ["AUTH_HEADERS", "BearerKey", "Credential", "TokenProvider"]

TokenProvider = Callable[[], str | Awaitable[str]]
"""Gives the key or token to send; it is asked at every attempt, and may cache."""

AUTH_HEADERS: Final = frozenset({"authorization", "api-key"})
"""Where a caller gives one of these headers, no credential is asked for."""

_NO_KEY: Final = (
    "no API key: pass api_key=… or set OPENAI_API_KEY; a server that asks for none takes api_key=''"
)


class Credential(Protocol):
    """Something that can say who the caller is."""

    async def headers(self) -> dict[str, str]:
        """Give the headers for one attempt; raises AsyncRunsError where there is no key."""
        ...


class BearerKey:
    """`Authorization: Bearer …`, from a key or a token provider.

    None is a key that is missing, an error once a request needs it; an empty string sends nothing.
    """

    __slots__ = ("_key",)

    def __init__(self, key: str | TokenProvider | None) -> None:
        self._key = key

    async def headers(self) -> dict[str, str]:
        """Give the header for one attempt; what a provider raises reaches the caller as it is."""
        key = self._key() if callable(self._key) else self._key
        if isawaitable(key):
            key = await key
        if key is None:
            raise AsyncRunsError(_NO_KEY)
        # Said here because the text of a later failure would have to show the key.
        if not (key.isascii() and key.isprintable()):
            raise AsyncRunsError("the API key has characters that no header can hold")
        return {"Authorization": f"Bearer {key}"} if key else {}

    def __repr__(self) -> str:
        return "BearerKey(…)"
