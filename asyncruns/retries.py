"""A failure to whether, and when, the request is sent again: the policy of retries, as data.

A request is *repeatable* where the server may be asked twice without harm: what reads, deletes,
modifies or cancels. What creates, and a submit, is not. Of a failure:

- No connection could be made: again, whatever the request.
- 429, and 503 with Retry-After: again, whatever the request, for the server has not begun it.
- The connection died or a time limit passed after sending; 408, 500, 502, 503, 504: again only
  where the request is repeatable.
- `x-should-retry` has the last word on a status, where sending again is safe by these rules.
- Never: a refused certificate, a quota that is used up, a wait beyond LONGEST_RETRY_AFTER, and
  every other status, 409 included.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from asyncruns.errors import APIConnectionError, APIStatusError

__all__ = ["Budget", "RetryPolicy", "should_retry"]

LONGEST_RETRY_AFTER: Final = 120.0
"""Seconds of a Retry-After that are waited for; the error carries a longer one."""

PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""The statuses of a failure that may pass."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often, and how slowly, a client sends again what has failed."""

    max_retries: int = 2
    """How often a request may be sent again."""
    first_delay: float = 0.5
    """Seconds before the first retry where the server names none; doubled for each later one."""
    longest_delay: float = 8.0
    """Seconds that this growth ends at."""
    jitter: float = 0.25
    """The part of such a delay, 0 to 1, of which a random share is taken off."""
    budget: float = 500.0
    """How many retries all requests of a client may use up together."""
    refill: float = 0.1
    """How much of a retry each answer without an error gives back to the budget."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    """Waits; a test passes one that does not."""
    random: Callable[[], float] = random.random
    """Gives the random share, 0 to 1."""

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise ValueError(f"max_retries must be at least 0, not {self.max_retries}")

    def delay(self, exc: Exception, retry: int) -> float | None:
        """Seconds before the retry with this number, from 0; None where there is to be none."""
        if retry >= self.max_retries or not should_retry(exc):
            return None
        if isinstance(exc, APIStatusError) and exc.retry_after is not None:
            return exc.retry_after
        # Far beyond any longest delay, and below what a float can hold.
        grown = min(self.first_delay * 2.0 ** min(retry, 60), self.longest_delay)
        return grown * (1 - self.jitter * self.random())


class Budget:
    """The retries that a client has left: a bucket that retries empty and good answers fill.

    While a server fails for everybody, retries stop once the bucket is empty, instead of
    multiplying its load.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.left = policy.budget

    def take(self) -> bool:
        """Take one retry; False where there is none left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def refill(self) -> None:
        """Note an answer without an error."""
        self.left = min(self.left + self._policy.refill, self._policy.budget)


def should_retry(exc: BaseException) -> bool:
    """Whether to send the request that failed again: it is safe, and may help.

    For retries of your own, around calls of a client with `max_retries=0`; `exc.retry_after` is
    the seconds that the server asks to wait.
    """
    if isinstance(exc, APIConnectionError):
        return exc.retryable
    return isinstance(exc, APIStatusError) and _may_pass(exc)


def _may_pass(exc: APIStatusError) -> bool:
    not_begun = exc.status == 429 or (exc.status == 503 and exc.retry_after is not None)  # noqa: PLR2004 -- the statuses themselves
    if not (exc.repeatable or not_begun) or (exc.retry_after or 0) > LONGEST_RETRY_AFTER:
        return False
    told = exc.headers.get("x-should-retry", "").lower()
    if told in {"true", "false"}:
        return told == "true"
    return exc.status in PASSING and "insufficient_quota" not in {exc.code, exc.type}
