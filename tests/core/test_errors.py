"""(status, headers, body) to error: one case after the other."""

from __future__ import annotations

import inspect
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

import asyncruns.errors as errors_module
from asyncruns.errors import (
    MAX_ERROR_BODY,
    MAX_SHOWN,
    SNIPPET,
    ActiveRunError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncRunsError,
    BadRequestError,
    InternalServerError,
    LimitExceededError,
    RunFailedError,
    RunStreamError,
    RunTimeoutError,
    StreamError,
    StreamInterrupted,
    error_from_response,
    error_message,
)
from asyncruns.models import ErrorObject, IncompleteDetails, LastError, Message, Run, RunStep
from tests.core.shapes import COPIES, encoded

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = {"content-type": "application/json"}

TREE = {
    "APIConnectionError": "AsyncRunsError",
    "APITimeoutError": "APIConnectionError",
    "AmbiguousRequestError": "APIConnectionError",
    "APIStatusError": "AsyncRunsError",
    "BadRequestError": "APIStatusError",
    "ActiveRunError": "BadRequestError",
    "AuthenticationError": "APIStatusError",
    "PermissionDeniedError": "APIStatusError",
    "NotFoundError": "APIStatusError",
    "ConflictError": "APIStatusError",
    "UnprocessableEntityError": "APIStatusError",
    "RateLimitError": "APIStatusError",
    "InternalServerError": "APIStatusError",
    "StreamError": "AsyncRunsError",
    "StreamInterrupted": "StreamError",
    "RunStreamError": "StreamInterrupted",
    "LimitExceededError": "StreamError",
    "RunFailedError": "AsyncRunsError",
    "RunTimeoutError": "AsyncRunsError",
    "ToolError": "AsyncRunsError",
    "MaxRoundsExceeded": "AsyncRunsError",
    "PoolTimeoutError": "AsyncRunsError",
    "AsyncRunsError": "Exception",
}


def test_the_tree_is_the_one_of_the_design() -> None:
    classes = {
        name: kind.__mro__[1].__name__
        for name, kind in inspect.getmembers(errors_module, inspect.isclass)
        if issubclass(kind, Exception)
    }
    assert classes == TREE


def test_everything_public_is_exported() -> None:
    assert sorted(errors_module.__all__) == sorted([*TREE, "error_from_response"])


def test_a_time_limit_is_a_failure_of_the_connection() -> None:
    assert issubclass(APITimeoutError, APIConnectionError)
    assert issubclass(APIConnectionError, AsyncRunsError)


def failed(status: int, body: Any = b"", **settings: Any) -> APIStatusError:
    settings.setdefault("headers", JSON)
    return error_from_response(
        status, body=body if isinstance(body, bytes) else encoded(body), **settings
    )


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (408, "APIStatusError"),
        (409, "ConflictError"),
        (418, "APIStatusError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (499, "APIStatusError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
        (599, "InternalServerError"),
    ],
)
def test_each_status_has_its_class(status: int, name: str) -> None:
    error = failed(status, {"error": {"message": "no"}})
    assert type(error).__name__ == name
    assert error.status == status


def test_an_error_object_gives_its_facts() -> None:
    facts = {"message": "Bad id.", "type": "invalid_request_error", "param": "id", "code": "bad"}
    error = failed(400, {"error": facts})
    assert type(error) is BadRequestError
    assert (error.message, error.type, error.param, error.code) == tuple(facts.values())


def test_param_and_code_may_be_null() -> None:
    error = failed(400, {"error": {"message": "Bad.", "type": "t", "param": None, "code": None}})
    assert error.param is None
    assert error.code is None
    assert str(error) == "400: Bad."


def test_a_code_that_is_a_number_becomes_text() -> None:
    assert failed(429, {"error": {"message": "no", "code": 429}}).code == "429"


def test_azures_inner_error_is_in_the_body() -> None:
    body = encoded({"error": {"message": "no", "innererror": {"code": "Filtered"}}})
    error = failed(400, body)
    assert error.message == "no"
    assert error.body == body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "plain words"}, "plain words"),
        ({"error": "plain words", "message": "others"}, "plain words"),
        ({"error": None, "message": "beside"}, "beside"),
        ({"error": {}, "message": "beside"}, "beside"),
        ({"error": "", "detail": "in detail"}, "in detail"),
        ({"error": True}, "true"),
        ({"error": ["a", "b"]}, '["a","b"]'),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body"], "msg": "short"}]}, '[{"loc":["body"],"msg":"short"}]'),
        ({"detail": {"message": "nested"}}, "nested"),
        ({"message": "bare", "code": "c"}, "bare"),
        ({"error": {"message": {"not": "text"}}}, "{'not': 'text'}"),
        ({"error": {"code": "c"}}, 'application/json: {"error":{"code":"c"}}'),
        ({}, "application/json: {}"),
        ([], "application/json: []"),
        (b"null", "application/json: null"),
        (b"", "empty body (application/json)"),
        (b" \n ", "empty body (application/json)"),
        (b"\xff\xfe", "application/json: \ufffd\ufffd"),
        (b'{"error": "cut', 'application/json: {"error": "cut'),
        (b'{"error":"\xff"}', 'application/json: {"error":"\ufffd"}'),
        (b'{"error":' + b"[" * 100_000, "application/json: " + '{"error":' + "[" * 191),
        (b'{"a":' + b"1" * 5000 + b"}", "application/json: " + '{"a":' + "1" * 195),
    ],
)
def test_every_form_of_body_gives_a_message(body: Any, message: str) -> None:
    assert failed(400, body).message == message


def test_a_gateways_html_is_shown_with_its_content_type() -> None:
    style = b"<style>" + b"p { margin: 0 }" * 100 + b"</style>"
    page = b"<html>" + style + b"\n  <body><h1>Bad\tGateway</h1></body>\n</html>" + b" x" * 1000
    error = failed(502, page, headers={"content-type": "text/html"})
    assert type(error) is InternalServerError
    assert error.message.startswith("text/html: Bad Gateway x x")
    assert len(error.message) == len("text/html: ") + SNIPPET


def test_a_missing_content_type_is_said() -> None:
    assert failed(500, b"oops", headers={}).message == "no content type: oops"


def test_a_long_detail_is_cut() -> None:
    assert len(failed(422, {"detail": ["x" * 1000]}).message) == SNIPPET


def test_the_body_is_kept_up_to_a_bound() -> None:
    assert failed(500, b"x" * MAX_ERROR_BODY).body == b"x" * MAX_ERROR_BODY
    assert failed(500, b"x" * (MAX_ERROR_BODY + 1)).body == b"x" * MAX_ERROR_BODY


def test_the_text_names_what_is_known() -> None:
    error = failed(
        429,
        {"error": {"message": "Slow down.", "code": "rate_limit_exceeded", "param": "model"}},
        headers={**JSON, "x-request-id": "req_1"},
        method="POST",
        path="/threads/runs",
    )
    assert error.request_id == "req_1"
    assert error.headers["x-request-id"] == "req_1"
    assert str(error) == (
        "429 on POST /threads/runs: Slow down. "
        "(code rate_limit_exceeded, param model, request id req_1)"
    )


def test_a_status_error_needs_no_headers() -> None:
    error = APIStatusError("no", status=400)
    assert error.headers == {}
    assert error.request_id is None
    assert error.body == b""


@pytest.mark.parametrize(
    "text",
    [
        "Thread thread_a already has an active run run_b.",
        "Can't add messages to thread_a while a run run_b is active.",
    ],
)
def test_a_locked_thread_is_told_by_the_text(text: str) -> None:
    error = failed(400, {"error": {"message": text, "type": "invalid_request_error", "code": None}})
    assert isinstance(error, ActiveRunError)
    assert (error.thread_id, error.run_id) == ("thread_a", "run_b")


def test_the_text_of_a_locked_thread_counts_only_with_status_400() -> None:
    text = "Thread thread_a already has an active run run_b."
    assert not isinstance(failed(409, {"error": {"message": text}}), ActiveRunError)
    assert type(failed(400, {"error": {"message": "Thread is locked"}})) is BadRequestError


def test_a_404_of_the_hosted_api_says_that_it_has_ended() -> None:
    body = {"error": {"message": "Not found."}}
    for host in ("api.openai.com", "eu.api.openai.com"):
        for path in ("/assistants", "/threads/thread_1/runs"):
            gone = failed(404, body, host=host, path=path)
            assert "ended on 2026-08-26" in gone.message
            assert gone.message.startswith("Not found. (")
        assert failed(404, body, host=host, path="/files/f").message == "Not found."
        assert "ended" not in failed(400, body, host=host, path="/threads").message
    for host in ("example.org", "notapi.openai.com.example.org"):
        assert failed(404, body, host=host, path="/threads").message == "Not found."


MORNING = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:09 GMT", "date": MORNING}, 9.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:00 GMT", "date": MORNING}, 0.0),
        ({"retry-after": MORNING, "date": "today"}, 0.0),
        ({"retry-after": MORNING}, 0.0),
    ],
)
def test_an_answer_may_name_the_seconds_to_wait(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert failed(429, b"", headers=headers).retry_after == seconds


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be set here")
def test_a_date_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        headers = {"retry-after": "Wed Oct 21 07:28:05 2015", "date": MORNING}
        assert failed(503, b"", headers=headers).retry_after == 5.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_date_to_wait_for_counts_from_now_where_the_server_does_not_tell_the_time() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    waited = failed(503, b"", headers={"retry-after": then}).retry_after
    assert waited is not None
    assert 60 < waited <= 100


def test_an_error_may_say_that_the_request_can_be_repeated() -> None:
    assert not failed(500, b"").repeatable
    assert failed(500, b"", repeatable=True).repeatable
    assert failed(500, b"").retries == 0
    assert not APIConnectionError("no").retryable


def test_a_stream_error_may_name_its_event() -> None:
    assert StreamError("unreadable").event is None
    assert StreamError("unreadable", event="thread.run.created").event == "thread.run.created"
    assert issubclass(LimitExceededError, StreamError)


def test_an_interrupted_stream_has_what_was_assembled() -> None:
    run, step, message = Run(id="r", status="queued"), RunStep(id="s", status="x"), Message(id="m")
    error = StreamInterrupted("cut", run=run, steps=[step], messages=[message])
    assert (error.run, error.steps, error.messages) == (run, [step], [message])
    empty = StreamInterrupted("cut")
    assert (empty.run, empty.steps, empty.messages) == (None, (), ())


def test_an_error_event_becomes_an_error_with_its_data() -> None:
    run = Run(id="r", status="queued")
    error = RunStreamError(ErrorObject(message="Broken.", code="server_error"), run=run)
    assert str(error) == "the server reported an error in the stream: Broken. (code server_error)"
    assert (error.event, error.run, error.error.code) == ("error", run, "server_error")
    assert str(RunStreamError(ErrorObject(message="Broken."))).endswith("in the stream: Broken.")
    assert str(RunStreamError(ErrorObject())).endswith("in the stream: it gives no reason")


def test_a_failed_run_says_why() -> None:
    run = Run(id="r", status="failed", last_error=LastError(code="server_error", message="Oops."))
    error = RunFailedError(run)
    assert error.run is run
    assert error.retry_after is None
    assert str(error) == "run r failed: server_error: Oops."
    cut = Run(id="r", status="incomplete", incomplete_details=IncompleteDetails(reason="tokens"))
    assert str(RunFailedError(cut)) == "run r incomplete: tokens"
    assert str(RunFailedError(Run(id="r", status="expired"))) == "run r expired"


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached. Please try again in 20s. Visit the site.", 20.0),
        ("try again in 250ms", 0.25),
        ("Please try again in 1m30s.", 90.0),
        ("Try again in 6 minutes, 5.5 seconds", 365.5),
        ("try again in 1h", 3600.0),
        ("try again in 300 milliseconds.", 0.3),
        ("try again in 2.s", 2.0),
        ("try again in ..s", None),
        ("try again later", None),
        (None, None),
    ],
)
def test_a_rate_limit_may_name_the_seconds_to_wait(
    words: str | None, seconds: float | None
) -> None:
    limited = LastError(code="rate_limit_exceeded", message=words)
    assert RunFailedError(Run(id="r", status="failed", last_error=limited)).retry_after == seconds


def test_only_a_rate_limit_names_seconds_to_wait() -> None:
    broken = LastError(code="server_error", message="try again in 20s")
    assert RunFailedError(Run(id="r", status="failed", last_error=broken)).retry_after is None


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired", "incomplete"])
def test_a_run_that_ended_badly_raises_when_asked(status: str) -> None:
    run = Run(id="r", status=status)
    with pytest.raises(RunFailedError) as caught:
        run.raise_for_status()
    assert caught.value.run is run


@pytest.mark.parametrize("status", ["completed", "queued", "requires_action", "generating"])
def test_any_other_run_does_not_raise_when_asked(status: str) -> None:
    Run(id="r", status=status).raise_for_status()


def test_a_passed_deadline_has_the_run_where_it_was_seen() -> None:
    run = Run(id="r", status="in_progress")
    assert RunTimeoutError("late", run=run).run is run
    assert RunTimeoutError("late").run is None


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize(
    "error",
    [
        error_from_response(429, {"retry-after": "3", "x-request-id": "req_1"}, b"slow down"),
        StreamInterrupted("cut", run=Run(id="run_1", status="queued")),
        RunStreamError(ErrorObject(message="no", code="server_error")),
        RunFailedError(Run(id="run_1", status="expired")),
        RunTimeoutError("late", run=Run(id="run_1", status="queued")),
        APITimeoutError("no answer came"),
        LimitExceededError("too long", event="thread.run.created"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_copied_and_pickled(
    error: AsyncRunsError, copied: Callable[[Any], Any]
) -> None:
    twin = copied(error)
    assert type(twin) is type(error)
    assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))


def test_the_text_of_an_error_is_one_line_of_bounded_length() -> None:
    error = failed(400, {"error": {"message": "\x1b[31mred\r\n" + "x" * 5000}})
    assert error.message == "\x1b[31mred\r\n" + "x" * 5000
    assert str(error).isprintable()
    assert len(str(error)) < MAX_SHOWN + 100


def test_a_page_is_shown_by_its_title() -> None:
    page = b"<html><head><title>502 Bad Gateway</title></head><body>sick</body></html>"
    message = failed(502, page, headers={"content-type": "text/html; charset=utf-8"}).message
    assert message == "text/html; charset=utf-8: 502 Bad Gateway sick"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"no"}}', "no"),
        (b'{"error":"no"}', "no"),
        (b'{"detail":"no"}', "no"),
        (b'{"id":"run_1"}', None),
        (b'{"error":{"message":7}}', None),
        (b"<html>no</html>", None),
    ],
)
def test_the_message_that_a_body_tells_is_found_whatever_its_status(
    body: bytes, message: str | None
) -> None:
    assert error_message(body) == message
