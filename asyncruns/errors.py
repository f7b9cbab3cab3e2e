"""(status, headers, body) to error: the one exception tree of asyncruns.

::

    AsyncRunsError
    ├── APIConnectionError          no answer came
    │   ├── APITimeoutError         a time limit passed while waiting for it
    │   └── AmbiguousRequestError   sent, then no answer: it may have taken effect
    ├── APIStatusError              an answer came, and its status says no
    │   ├── BadRequestError         400
    │   │   └── ActiveRunError      the thread is locked by a live run
    │   ├── AuthenticationError     401
    │   ├── PermissionDeniedError   403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── UnprocessableEntityError  422
    │   ├── RateLimitError          429
    │   └── InternalServerError     5xx
    ├── StreamError                 a stream, or an object in it, cannot be read
    │   ├── StreamInterrupted       it stopped before the run's end
    │   ├── RunStreamError          the server sent an `error` event
    │   └── LimitExceededError      what the server sent passes a bound of this library
    ├── RunFailedError              the run ended other than completed
    ├── RunTimeoutError             a deadline passed before the run's end
    ├── ToolError                   a tool call failed, and the caller wants to know
    ├── MaxRoundsExceeded           the run asked for tool outputs too many times
    └── PoolTimeoutError            no connection of the pool became free in time
"""

from __future__ import annotations

import math
import re
import time
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncruns.models import ErrorObject, Message, Run, RunStep

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "ActiveRunError",
    "AmbiguousRequestError",
    "AsyncRunsError",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "InternalServerError",
    "LimitExceededError",
    "MaxRoundsExceeded",
    "NotFoundError",
    "PermissionDeniedError",
    "PoolTimeoutError",
    "RateLimitError",
    "RunFailedError",
    "RunStreamError",
    "RunTimeoutError",
    "StreamError",
    "StreamInterrupted",
    "ToolError",
    "UnprocessableEntityError",
    "error_from_response",
]

SNIPPET: Final = 200
"""How many characters of a body or a frame an error message shows."""

MAX_SHOWN: Final = 2000
"""How many characters of a server's message the text of an error shows; `message` has them all."""

# Patterns are compiled, and kept by `re`, where an error needs them: all of them take 4 ms.
_TITLE: Final = r"(?i)<title[^>]*>([^<]*)"

_UNPRINTABLE: Final = r"[\x00-\x1f\x7f-\x9f]+"

_MARKUP: Final = r"(?is)<(style|script|head)\b.*?</\1>|<[^>]*>"

MAX_ERROR_BODY: Final = 64 * 1024
"""How many bytes of an answer's body an error keeps."""


class AsyncRunsError(Exception):
    """The root: everything that asyncruns raises on its own account is one of these.

    All of them can be copied and pickled, with their attributes.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException's own would call the class with `args` alone, which few of these take.
        return _revived, (type(self), self.args), self.__dict__


class APIConnectionError(AsyncRunsError):
    """No answer came: the connection could not be made, or ended before the answer.

    `retryable` says whether sending the request again is safe and may help, `retries` how often
    that has been done.
    """

    retryable: bool = False
    retries: int = 0


class APITimeoutError(APIConnectionError):
    """A time limit passed while connecting, sending or waiting for bytes."""


class AmbiguousRequestError(APIConnectionError):
    """The request was sent and no answer came: the server may have carried it out."""


class APIStatusError(AsyncRunsError):
    """The server answered with an error status.

    The attributes hold what the answer said. `code`, `param`, `type` and `request_id` are None
    where the server left them out; `body` is the answer's body, cut at 64 KiB. `retry_after` is
    the seconds that the server asks to wait; None where it does not. `repeatable` says whether
    the request may be sent twice without harm, `retries` how often it has been sent again.
    """

    retries: int = 0

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,  # noqa: A002 -- the wire's own name for it
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        method: str = "",
        path: str = "",
        repeatable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.type = type
        self.headers: Mapping[str, str] = {} if headers is None else headers
        self.request_id: str | None = self.headers.get("x-request-id")
        self.body = body[:MAX_ERROR_BODY]
        self.method = method
        self.path = path
        self.repeatable = repeatable
        self.retry_after = _retry_after(self.headers)

    def __str__(self) -> str:
        facts = {"code": self.code, "param": self.param, "request id": self.request_id}
        known = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
        where = f" on {self.method} {self.path}" if self.path else ""
        # As a line that can be read, and that a log or a terminal can take.
        message = re.sub(_UNPRINTABLE, " ", self.message)
        if len(message) > MAX_SHOWN:
            message = f"{message[:MAX_SHOWN]}…"
        return f"{self.status}{where}: {message}" + (f" ({known})" if known else "")


class BadRequestError(APIStatusError):
    """400: the server refuses the request as it is."""


class ActiveRunError(BadRequestError):
    """400: the thread is locked by a run that is still alive.

    `thread_id` and `run_id` are read from the message's text, the only place that has them.
    """

    thread_id: str = ""
    run_id: str = ""


class AuthenticationError(APIStatusError):
    """401: the credentials are missing or wrong."""


class PermissionDeniedError(APIStatusError):
    """403: the credentials do not allow this."""


class NotFoundError(APIStatusError):
    """404: there is no such object, or no such endpoint."""


class ConflictError(APIStatusError):
    """409: the object changed under the request."""


class UnprocessableEntityError(APIStatusError):
    """422: the request is well-formed, and still makes no sense to the server."""


class RateLimitError(APIStatusError):
    """429: too many requests, or the quota is used up (`code` is then insufficient_quota)."""


class InternalServerError(APIStatusError):
    """5xx: the server failed."""


class StreamError(AsyncRunsError):
    """A stream, or an object in it, cannot be read. `event` names the event, where known."""

    def __init__(self, message: str, *, event: str | None = None) -> None:
        super().__init__(message)
        self.event = event


class StreamInterrupted(StreamError):  # noqa: N818 -- the name is part of the public design
    """The stream stopped before the run's end or pause.

    `run` (None if not even that came), `steps` and `messages` are what had been assembled.
    The run may go on at the server.
    """

    def __init__(
        self,
        message: str,
        *,
        run: Run | None = None,
        steps: Sequence[RunStep] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        super().__init__(message)
        self.run = run
        self.steps = steps
        self.messages = messages


class RunStreamError(StreamInterrupted):
    """The server sent an `error` event; `error` is its data."""

    def __init__(
        self,
        error: ErrorObject,
        *,
        run: Run | None = None,
        steps: Sequence[RunStep] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        code = f" (code {error.code})" if error.code else ""
        reason = error.message or "it gives no reason"
        message = f"the server reported an error in the stream: {reason}{code}"
        super().__init__(message, run=run, steps=steps, messages=messages)
        self.event = "error"
        self.error = error


class LimitExceededError(StreamError):
    """What the server sent passes a bound of this library; the message names the bound."""


class RunFailedError(AsyncRunsError):
    """The run ended failed, cancelled, expired or incomplete.

    `run` is the ended run, with its `last_error` and `incomplete_details`. `retry_after` is the
    seconds to wait that a rate limit names in its message; None where there are none.
    """

    def __init__(self, run: Run) -> None:
        error, details = run.last_error, run.incomplete_details
        reasons = [details.reason] if details is not None else []
        if error is not None:
            reasons += [error.code, error.message]
        super().__init__(": ".join([f"run {run.id} {run.status}", *filter(None, reasons)]))
        self.run = run
        limited = error is not None and error.code == "rate_limit_exceeded"
        self.retry_after = _named_wait(error.message or "") if error and limited else None


class RunTimeoutError(AsyncRunsError):
    """A deadline passed before the run's end; `run` is the last that was seen of it."""

    def __init__(self, message: str, *, run: Run | None = None) -> None:
        super().__init__(message)
        self.run = run


class ToolError(AsyncRunsError):
    """A tool call failed; the failure itself is chained as the cause.

    `report` is the JSON text that tells the model about it.
    """

    report: str = ""


class MaxRoundsExceeded(AsyncRunsError):  # noqa: N818 -- the name is part of the public design
    """The run asked for tool outputs more often than `max_rounds` allows."""


class PoolTimeoutError(AsyncRunsError):
    """No connection of the pool became free in time; the message names the limit."""


def _revived(kind: type[AsyncRunsError], args: tuple[Any, ...]) -> AsyncRunsError:
    return kind.__new__(kind, *args)


_BY_STATUS: Final[Mapping[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}

_FIRST_SERVER_ERROR: Final = 500

# A live run locks its thread, and only these two texts tell so: the code is null.
_ACTIVE_RUN: Final = (
    r"Thread (?P<thread>\S+) already has an active run (?P<run>[^\s.]+)"
    r"|Can't add messages to (?P<thread2>\S+) while a run (?P<run2>\S+) is active"
)

_WAIT: Final = r"(?i)try again in ((?:[\d.]+\s*(?:ms|milli|[hms])[a-z]*[\s,]*)+)"
_WAIT_PART: Final = r"(?i)(\d+(?:\.\d*)?)\s*(ms|milli|[hms])"
_SECONDS: Final = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _named_wait(message: str) -> float | None:
    """The seconds that a text such as "try again in 1m30s" asks to wait."""
    wait = re.search(_WAIT, message)
    parts = re.findall(_WAIT_PART, wait[1]) if wait else []
    if not parts:
        return None
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts)


_HOSTED: Final = "api.openai.com"
_ENDED_PATHS: Final = ("/threads", "/assistants")
_HOSTED_API_ENDED: Final = (
    "the Assistants API hosted there ended on 2026-08-26; "
    "set base_url to a server that still speaks it"
)


def error_from_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    method: str = "",
    path: str = "",
    host: str = "",
    repeatable: bool = False,
) -> APIStatusError:
    """Give the exception for an answer with an error status, ready to be raised.

    `headers` must have lower-case names or be case-insensitive. Bodies of every known form are
    understood: `{"error": {…}}`, `{"error": "…"}`, `{"detail": …}`, HTML and plain text.
    """
    facts = _facts(body) or {"message": _snippet(headers, body)}
    message = str(facts.get("message") or _snippet(headers, body))
    hosted = host == _HOSTED or host.endswith(f".{_HOSTED}")
    if status == 404 and hosted and path.startswith(_ENDED_PATHS):  # noqa: PLR2004 -- the status itself
        message = f"{message} ({_HOSTED_API_ENDED})"
    active = re.search(_ACTIVE_RUN, message) if status == 400 else None  # noqa: PLR2004 -- the same
    fallback = InternalServerError if status >= _FIRST_SERVER_ERROR else APIStatusError
    kind = ActiveRunError if active else _BY_STATUS.get(status, fallback)
    error = kind(
        message,
        status=status,
        code=_text(facts.get("code")),
        param=_text(facts.get("param")),
        type=_text(facts.get("type")),
        headers=headers,
        body=body,
        method=method,
        path=path,
        repeatable=repeatable,
    )
    if active and isinstance(error, ActiveRunError):
        error.thread_id = active["thread"] or active["thread2"]
        error.run_id = active["run"] or active["run2"]
    return error


def error_message(body: bytes) -> str | None:
    """The message of an error that a body tells; None where it tells none."""
    facts = _facts(body) or {}
    message = facts.get("message")
    return message if isinstance(message, str) else None


def _facts(body: bytes) -> dict[str, Any] | None:
    """The error object in a body, with at least its message; None if the body has none."""
    try:
        decoded: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(decoded, dict):
        return None
    error = decoded.get("error") or decoded.get("detail") or decoded
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {**decoded, "message": error}
    return {"message": msgspec.json.encode(error).decode()[:SNIPPET]}


def _snippet(headers: Mapping[str, str], body: bytes) -> str:
    kind = headers.get("content-type", "no content type")
    text = body[:MAX_ERROR_BODY].decode("utf-8", "replace")
    if "html" in kind:
        title = re.search(_TITLE, text)
        text = (f"{title[1]} " if title else "") + re.sub(_MARKUP, " ", text)
    text = " ".join(text.split())
    return f"{kind}: {text[:SNIPPET]}" if text else f"empty body ({kind})"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds to wait that an answer names: retry-after-ms, or Retry-After in either form."""
    in_ms = _seconds(headers.get("retry-after-ms", ""))
    if in_ms is not None:
        return in_ms / 1000
    told = headers.get("retry-after", "")
    seconds = _seconds(told)
    if seconds is not None:
        return seconds
    then = _timestamp(told)
    if then is None:
        return None
    # By the server's own clock where it tells the time: ours may be wrong.
    now = _timestamp(headers.get("date", ""))
    return max(0.0, then - (time.time() if now is None else now))


def _seconds(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _timestamp(text: str) -> float | None:
    """An HTTP date (RFC 9110, 5.6.7) as Unix seconds; None for anything else."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 -- rare, and slow to import

    try:
        moment = parsedate_to_datetime(text)
        # The old form has no zone; every HTTP date is in UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
