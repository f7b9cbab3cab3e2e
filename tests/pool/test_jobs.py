"""Jobs: what they may hold, and what they look like in a queue."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asyncruns import LastError, Run, RunFailedError, RunJob, RunResult
from asyncruns.jobs import PARAMETERS, THREAD_PARAMETERS
from asyncruns.resources.parameters import RequestOptions, RunParams, ThreadParams

JOBS = [
    RunJob(assistant_id="a"),
    RunJob(assistant_id="a", thread_id="t", message="Hello!", dedupe_key="order-1"),
    RunJob(
        assistant_id="a",
        thread={"metadata": {"customer": "7"}},
        message=[{"type": "text", "text": "Hello!"}],
        toolset="weather",
        params={"model": "m", "temperature": 0, "metadata": {"a": "b"}},
    ),
]

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"assistant_id": ""}, "must not be empty"),
    ({"thread_id": ""}, "must not be empty"),
    ({"thread_id": "t", "thread": {}}, "not both"),
    ({"dedupe_key": ""}, "1 to 512 characters"),
    ({"dedupe_key": "k" * 513}, "1 to 512 characters"),
    ({"params": {"modle": "m"}}, "'modle'"),
    ({"thread": {"mesages": []}}, "thread has no 'mesages', only: messages, metadata"),
    ({"params": {"assistant_id": "b"}}, "'assistant_id'"),
    (
        {"dedupe_key": "k", "params": {"metadata": {str(n): "" for n in range(16)}}},
        "no room for the dedupe_key",
    ),
    ({"dedupe_key": "k", "params": {"extra_body": {"metadata": {}}}}, "extra_body"),
]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_comes_back_from_json_as_it_was(job: RunJob) -> None:
    assert msgspec.json.decode(msgspec.json.encode(job), type=RunJob) == job


def test_a_job_is_no_longer_in_json_than_what_it_says() -> None:
    assert msgspec.json.encode(JOBS[0]) == b'{"assistant_id":"a"}'


@pytest.mark.parametrize(("fields", "said"), WRONG)
def test_what_cannot_be_a_job_is_refused(fields: dict[str, Any], said: str) -> None:
    fields = {"assistant_id": "a", **fields}
    with pytest.raises(ValueError, match=said):
        RunJob(**fields)
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.json.decode(msgspec.json.encode(fields), type=RunJob)


def test_a_field_that_no_job_has_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="thread_ld"):
        msgspec.json.decode(b'{"assistant_id":"a","thread_ld":"t"}', type=RunJob)


def test_the_parameters_are_those_of_the_endpoints() -> None:
    assert {*RunParams.__annotations__} - {"assistant_id"} == PARAMETERS
    assert ThreadParams.__annotations__.keys() - RequestOptions.__annotations__ == THREAD_PARAMETERS


def test_a_result_raises_what_went_wrong() -> None:
    job = JOBS[0]
    RunResult(job=job).raise_for_status()
    RunResult(job=job, run=Run(id="r", status="completed")).raise_for_status()
    with pytest.raises(LookupError):
        RunResult(job=job, exception=LookupError()).raise_for_status()
    error = LastError(code="server_error", message="no")
    with pytest.raises(RunFailedError, match="server_error"):
        RunResult(job=job, run=Run(id="r", status="failed", last_error=error)).raise_for_status()
