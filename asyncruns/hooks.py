"""What happens to a request, told to the caller: hooks, log lines, rate limits.

No key is ever among it: neither headers nor query of a request are told.
"""

from __future__ import annotations

import copy
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar

import msgspec

__all__ = ["Hooks", "RateLimits", "RequestInfo", "ResponseInfo", "RetryInfo", "Watch"]

InfoT = TypeVar("InfoT")

LOG: Final = logging.getLogger("asyncruns")
"""One line at DEBUG for each request, failure and retry; ASYNCRUNS_LOG=debug shows them."""


class RequestInfo(msgspec.Struct, frozen=True):
    """A request that is about to be sent."""

    method: str
    path: str
    """Below the base URL, without the query."""
    attempt: int
    """1 for the first sending, 2 for the first retry."""


class ResponseInfo(msgspec.Struct, frozen=True):
    """An answer whose headers have come."""

    method: str
    path: str
    attempt: int
    status: int
    seconds: float
    """From the beginning of the attempt."""
    headers: Mapping[str, str]
    """Case-insensitive."""

    @property
    def request_id(self) -> str | None:
        """The `x-request-id`; None where the server sent none."""
        return self.headers.get("x-request-id")

    def __repr__(self) -> str:
        sent = f"method={self.method!r}, path={self.path!r}, attempt={self.attempt}"
        return f"ResponseInfo({sent}, status={self.status}, seconds={self.seconds})"


class RetryInfo(msgspec.Struct, frozen=True):
    """A request that has failed and will be sent again."""

    method: str
    path: str
    attempt: int
    """The attempt that has failed."""
    delay: float
    """Seconds until the next one."""
    error: Exception


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the last answer with `x-ratelimit-*` said; None for what it left out."""

    limit_requests: int | None = None
    """How many requests a period allows."""
    remaining_requests: int | None = None
    """How many of them are left."""
    reset_requests: float | None = None
    """Seconds until all of them are there again."""
    limit_tokens: int | None = None
    """How many tokens a period allows."""
    remaining_tokens: int | None = None
    """How many of them are left."""
    reset_tokens: float | None = None
    """Seconds until all of them are there again."""


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """Functions of the caller's; what they raise ends the request and reaches its caller."""

    on_request: Callable[[RequestInfo], object] | None = None
    """Called before each attempt."""
    on_response: Callable[[ResponseInfo], object] | None = None
    """Called when the headers of an answer have come, whatever its status."""
    on_retry: Callable[[RetryInfo], object] | None = None
    """Called before each pause that ends with a retry."""

    def __post_init__(self) -> None:
        for name in ("on_request", "on_response", "on_retry"):
            if iscoroutinefunction(getattr(self, name)):
                raise TypeError(f"{name} must be a plain function: nobody would await it")

    def and_then(self, other: Hooks) -> Hooks:
        """Give hooks that call these first, and then the others."""
        return Hooks(
            on_request=_both(self.on_request, other.on_request),
            on_response=_both(self.on_response, other.on_response),
            on_retry=_both(self.on_retry, other.on_retry),
        )


class Watch:
    """Tells of the requests of one client."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._rate_limits = [RateLimits()]  # the list is shared with what `telling` gives

    @property
    def rate_limits(self) -> RateLimits:
        """What the last answer with `x-ratelimit-*` said."""
        return self._rate_limits[0]

    def telling(self, hooks: Hooks) -> Watch:
        """Give a watch on the same client that tells more hooks than this one."""
        other = copy.copy(self)
        other._hooks = self._hooks.and_then(hooks)  # noqa: SLF001 -- it is one of us
        return other

    def sends(self, sent: RequestInfo) -> None:
        """Tell that an attempt begins."""
        if self._hooks.on_request:
            self._hooks.on_request(sent)

    def answered(
        self, sent: RequestInfo, began: float, status: int, headers: Mapping[str, str]
    ) -> None:
        """Tell that the headers of an answer have come; `began` is of `time.perf_counter`."""
        seconds = time.perf_counter() - began
        self._rate_limits[0] = _rate_limits(headers) or self.rate_limits
        LOG.debug(
            "%s %s -> %d in %.0f ms (attempt %d, request id %s)",
            sent.method,
            sent.path,
            status,
            seconds * 1000,
            sent.attempt,
            headers.get("x-request-id"),
        )
        if self._hooks.on_response:
            self._hooks.on_response(
                ResponseInfo(sent.method, sent.path, sent.attempt, status, seconds, headers)
            )

    def failed(self, sent: RequestInfo, began: float, error: Exception) -> None:
        """Tell that no answer came; `began` is of `time.perf_counter`."""
        ms = (time.perf_counter() - began) * 1000
        LOG.debug("%s after %.0f ms (attempt %d)", error, ms, sent.attempt)

    def retries(self, sent: RequestInfo, delay: float, error: Exception) -> None:
        """Tell that a request will be sent again."""
        LOG.debug(
            "%s %s is sent again in %.2f s (attempt %d failed)",
            sent.method,
            sent.path,
            delay,
            sent.attempt,
        )
        if self._hooks.on_retry:
            self._hooks.on_retry(RetryInfo(sent.method, sent.path, sent.attempt, delay, error))


def _both(
    first: Callable[[InfoT], object] | None, second: Callable[[InfoT], object] | None
) -> Callable[[InfoT], object] | None:
    if first is None or second is None:
        return first or second

    def tell(info: InfoT) -> None:
        first(info)
        second(info)

    return tell


_RATE_LIMITS: Final = {
    name: "x-ratelimit-" + name.replace("_", "-") for name in RateLimits.__struct_fields__
}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms]?)")
_SECONDS: Final = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """The limits that an answer tells; None where it tells none."""
    told = {name: headers.get(header) for name, header in _RATE_LIMITS.items()}
    if not any(told.values()):
        return None
    numbers: Any = {
        name: _reset(text) if name.startswith("reset") else _count(text)
        for name, text in told.items()
    }
    return RateLimits(**numbers)


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _reset(text: str | None) -> float | None:
    """The seconds of a text such as `6m0s`, `20ms` or `1.5`."""
    parts = _DURATION.findall(text or "")
    if not parts or "".join(map("".join, parts)) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def show_log(level: str) -> None:
    """Write the log to stderr, from a level such as `debug` on; `1`, `true` and `on` mean debug."""
    if not level:
        return
    name = "DEBUG" if level.lower() in {"1", "true", "on"} else level.upper()
    number = logging.getLevelNamesMapping().get(name)
    if number is None:
        LOG.warning("ASYNCRUNS_LOG=%s is no level: use debug, info, warning or error", level)
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(number)


show_log(os.environ.get("ASYNCRUNS_LOG", ""))
