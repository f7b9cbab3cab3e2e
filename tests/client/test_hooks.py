"""What a client tells of its requests: hooks, log lines, rate limits; and its limiter."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import pytest
from aiolimiter import AsyncLimiter

from asyncruns import (
    APIConnectionError,
    Client,
    InternalServerError,
    NotFoundError,
    RateLimits,
    RequestInfo,
    ResponseInfo,
    RetryInfo,
    RetryPolicy,
)
from asyncruns.transport import Request
from tests.transport.wires import STREAM_HEAD, answer, hang_up, until, wire

if TYPE_CHECKING:
    from types import TracebackType

    from tests.transport.wires import Wire

KEY = "sk-secret-1234"
RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'
LIMITS = (
    "x-ratelimit-limit-requests: 60",
    "x-ratelimit-remaining-requests: 59",
    "x-ratelimit-reset-requests: 1m0.5s",
    "x-ratelimit-limit-tokens: 150000",
    "x-ratelimit-remaining-tokens: 149984",
    "x-ratelimit-reset-tokens: 20ms",
)


async def no_sleep(_: float) -> None:
    pass


def client_of(server: Wire, **options: Any) -> Client:
    retries = RetryPolicy(sleep=no_sleep, random=lambda: 0.0)
    return Client(api_key=KEY, base_url=server.url, retries=retries, **options)


@pytest.mark.anyio
async def test_hooks_are_told_of_each_attempt_answer_and_retry() -> None:
    told: list[RequestInfo | ResponseInfo | RetryInfo] = []
    hooks: Any = dict.fromkeys(("on_request", "on_response", "on_retry"), told.append)
    good = answer(RUN, headers=("x-request-id: req_3",))
    async with (
        wire(answer(status="500 No"), hang_up, good) as server,
        client_of(server, **hooks) as client,
    ):
        await client.runs.retrieve("run_1", thread_id="t", extra_query={"key": KEY})
    kinds = (
        RequestInfo,
        ResponseInfo,
        RetryInfo,
        RequestInfo,
        RetryInfo,
        RequestInfo,
        ResponseInfo,
    )
    assert tuple(type(item) for item in told) == kinds
    assert {(item.method, item.path) for item in told} == {("GET", "/threads/t/runs/run_1")}
    assert [item.attempt for item in told] == [1, 1, 1, 2, 2, 3, 3]
    first, second = (item for item in told if isinstance(item, RetryInfo))
    assert (first.delay, second.delay) == (0.5, 1.0)
    assert isinstance(first.error, InternalServerError)
    assert isinstance(second.error, APIConnectionError)
    last = told[-1]
    assert isinstance(last, ResponseInfo)
    assert (last.status, last.request_id) == (200, "req_3")
    assert last.seconds > 0
    assert KEY not in repr(told)


@pytest.mark.anyio
@pytest.mark.parametrize("hook", ["on_request", "on_response"])
async def test_what_a_hook_raises_reaches_the_caller_and_leaves_nothing_open(hook: str) -> None:
    def broken(_: object) -> None:
        raise LookupError("the hook")

    options: Any = {hook: broken, "max_connections": 1}
    async with wire(STREAM_HEAD) as server, client_of(server, **options) as client:
        for _ in range(2):
            with pytest.raises(LookupError, match="the hook"):
                await client._transport.open(Request(method="POST", path="/x", timeout=5))
        if hook == "on_response":
            await until(lambda: server.hung_up == 2)


@pytest.mark.anyio
async def test_a_request_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asyncruns")
    good = answer(RUN, headers=("x-request-id: req_2",))
    async with wire(hang_up, good) as server, client_of(server) as client:
        await client.runs.retrieve("run_1", thread_id="t", extra_query={"key": KEY})
    failed, again, done = (record.getMessage() for record in caplog.records)
    assert failed.startswith("GET /threads/t/runs/run_1: the server hung up")
    assert re.search(r" after \d+ ms \(attempt 1\)$", failed)
    assert again == "GET /threads/t/runs/run_1 is sent again in 0.50 s (attempt 1 failed)"
    assert done.startswith("GET /threads/t/runs/run_1 -> 200 in ")
    assert done.endswith(" ms (attempt 2, request id req_2)")
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("level", "shown"), [("debug", True), ("1", True), ("warning", False), ("odd", False)]
)
def test_the_environment_turns_the_log_on(level: str, shown: bool) -> None:
    code = "import asyncruns.hooks as h; h.LOG.debug('a line')"
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"ASYNCRUNS_LOG": level},
    )
    assert ("asyncruns a line" in result.stderr) is shown
    assert ("ASYNCRUNS_LOG=odd is no level" in result.stderr) is (level == "odd")


@pytest.mark.anyio
async def test_rate_limits_of_the_last_answer_are_there() -> None:
    odd = ("x-ratelimit-limit-requests: many", "x-ratelimit-reset-tokens: soon")
    async with (
        wire(
            answer(), answer(headers=LIMITS), answer(), answer(status="429 No", headers=odd)
        ) as server,
        client_of(server, max_retries=0) as client,
    ):
        other = client.with_options()
        await client.request("GET", "/x")
        assert client.rate_limits == RateLimits()
        for _ in range(2):
            await client.request("GET", "/x")
            assert other.rate_limits == RateLimits(
                limit_requests=60,
                remaining_requests=59,
                reset_requests=60.5,
                limit_tokens=150000,
                remaining_tokens=149984,
                reset_tokens=0.02,
            )
        with pytest.raises(Exception, match="429"):
            await client.request("GET", "/x")
        assert client.rate_limits == RateLimits()


@pytest.mark.anyio
async def test_a_limiter_bounds_the_attempts() -> None:
    async with (
        wire(answer()) as server,
        client_of(server, limiter=asyncio.Semaphore(1)) as client,
    ):
        await asyncio.gather(*(client.request("GET", "/x") for _ in range(5)))
        assert (len(server.requests), server.connections) == (5, 1)


@pytest.mark.anyio
async def test_aiolimiter_sets_the_pace() -> None:
    limiter = AsyncLimiter(max_rate=2, time_period=0.2)
    started = asyncio.get_running_loop().time()
    async with wire(answer()) as server, client_of(server, limiter=limiter) as client:
        await asyncio.gather(*(client.request("GET", "/x") for _ in range(5)))
        assert len(server.requests) == 5
    # Two at once, and each of the other three when a tenth of a second more has leaked away.
    assert asyncio.get_running_loop().time() - started > 0.25


@pytest.mark.anyio
async def test_a_limiter_is_entered_for_retries_and_left_with_the_headers_of_a_stream() -> None:
    class Counter:
        entered = left = 0

        async def __aenter__(self) -> Self:
            self.entered += 1
            return self

        async def __aexit__(
            self,
            exc_type: type[BaseException] | None,
            exc: BaseException | None,
            traceback: TracebackType | None,
        ) -> None:
            self.left += 1

    counter = Counter()
    async with (
        wire(answer(status="500 No"), STREAM_HEAD) as server,
        client_of(server, limiter=counter) as client,
    ):
        stream = await client._transport.open(Request(method="GET", path="/x"))
        assert (counter.entered, counter.left) == (2, 2)
        await stream.aclose()


@pytest.mark.parametrize("name", ["on_request", "on_response", "on_retry"])
def test_a_hook_that_nobody_would_await_is_refused(name: str) -> None:
    async def hook(_: object) -> None:
        pass

    with pytest.raises(TypeError, match=f"{name} must be a plain function"):
        Client(**{name: hook})  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_what_a_query_holds_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    told: list[RequestInfo] = []
    async with (
        wire(answer(status="404 No")) as server,
        client_of(server, on_request=told.append) as client,
    ):
        with caplog.at_level("DEBUG", "asyncruns"), pytest.raises(NotFoundError) as caught:
            await client.request("GET", "/x?sig=SECRET")
    assert told[0].path == "/x"
    assert "SECRET" not in f"{caplog.text}{caught.value}{caught.value.path}"


@pytest.mark.anyio
async def test_a_limiter_that_counts_as_false_is_a_limiter() -> None:
    class Empty(asyncio.Semaphore):
        entered = 0

        def __len__(self) -> int:
            return 0

        async def __aenter__(self) -> None:
            self.entered += 1
            await super().__aenter__()

    limiter = Empty(1)
    async with wire(answer()) as server, client_of(server, limiter=limiter) as client:
        await client.request("GET", "/x")
    assert limiter.entered == 1
