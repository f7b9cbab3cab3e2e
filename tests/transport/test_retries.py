"""What is sent again, how often it arrives, and how long the pauses are."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from asyncruns import (
    AmbiguousRequestError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    Client,
    InternalServerError,
    NotFoundError,
    PoolTimeoutError,
    RateLimitError,
    RetryPolicy,
    StreamInterrupted,
    should_retry,
)
from asyncruns.errors import error_from_response
from asyncruns.retries import Budget
from asyncruns.transport import Request
from tests.transport.wires import (
    STREAM_HEAD,
    answer,
    chunk,
    hang,
    hang_up,
    then_hang_up,
    until,
    wire,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.transport.wires import Answer, Wire

    Call = Callable[[Client], Awaitable[object]]

pytestmark = pytest.mark.anyio

RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'
GONE = b'{"error":{"message":"No thread found"}}'
QUOTA = b'{"error":{"message":"no more","code":"insufficient_quota"}}'


class Pauses(list[float]):
    """A sleep that takes no time and writes down how long it was to be."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def failing(status: int, *headers: str, body: bytes = b"{}") -> bytes:
    return answer(body, status=f"{status} No", headers=headers)


def client_of(server: Wire, pauses: Pauses | None = None, **policy: Any) -> Client:
    sleep = Pauses() if pauses is None else pauses
    retries = RetryPolicy(sleep=sleep, random=lambda: 0.0, **policy)
    return Client(api_key="", base_url=server.url, retries=retries)


async def retrieve_run(client: Client) -> object:
    return await client.runs.retrieve("run_1", thread_id="thread_1")


async def list_runs(client: Client) -> object:
    return await client.runs.list("thread_1")


async def delete_thread(client: Client) -> object:
    return await client.threads.delete("thread_1")


async def modify_run(client: Client) -> object:
    return await client.runs.update("run_1", thread_id="thread_1", metadata={})


async def cancel_run(client: Client) -> object:
    return await client.runs.cancel("run_1", thread_id="thread_1")


async def create_run(client: Client) -> object:
    return await client.runs.create("thread_1", assistant_id="asst_1")


async def stream_run(client: Client) -> object:
    request = Request(method="POST", path="/threads/runs", body=b"{}", repeatable=False)
    stream = await client._transport.open(request)
    await stream.aclose()
    return stream


async def submit(client: Client) -> object:
    return await client.runs.submit_tool_outputs("run_1", thread_id="t_1", tool_outputs=[])


async def add_message(client: Client) -> object:
    return await client.messages.create("thread_1", role="user", content="hi")


async def create_thread(client: Client) -> object:
    return await client.threads.create()


async def create_and_run(client: Client) -> object:
    return await client.threads.create_and_run(assistant_id="asst_1")


async def create_assistant(client: Client) -> object:
    return await client.assistants.create(model="m")


async def post_anything(client: Client) -> object:
    return await client.request("POST", "/x")


HARMLESS: list[Call] = [retrieve_run, list_runs, delete_thread, modify_run, cancel_run]
CREATING: list[Call] = [
    create_run,
    stream_run,
    submit,
    add_message,
    create_thread,
    create_and_run,
    create_assistant,
    post_anything,
]


async def arrivals(call: Call, *answers: Answer, **policy: Any) -> int:
    """How often a request that fails in the end has arrived."""
    async with wire(*answers) as server, client_of(server, **policy) as client:
        with pytest.raises((APIStatusError, APIConnectionError)) as caught:
            await call(client)
        error: Any = caught.value
        assert error.retries == len(server.requests) - 1
        return len(server.requests)


@pytest.mark.parametrize("call", HARMLESS)
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_failure_that_may_pass_is_tried_three_times(call: Call, status: int) -> None:
    assert await arrivals(call, failing(status)) == 3


@pytest.mark.parametrize("call", [*HARMLESS, *CREATING])
@pytest.mark.parametrize("status", [400, 401, 403, 409, 422, 501])
async def test_a_failure_that_lasts_is_tried_once(call: Call, status: int) -> None:
    assert await arrivals(call, failing(status)) == 1


@pytest.mark.parametrize("call", HARMLESS)
@pytest.mark.parametrize(
    "act",
    [hang_up, then_hang_up(b"HTTP/1.1 200"), then_hang_up(b"\0\0\r\n")],
    ids=["silent", "cut", "garbage"],
)
async def test_a_connection_that_dies_is_tried_three_times(call: Call, act: Answer) -> None:
    assert await arrivals(call, act) == 3


@pytest.mark.parametrize("call", CREATING)
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_what_creates_is_not_sent_again_where_it_may_have_been_done(
    call: Call, status: int
) -> None:
    assert await arrivals(call, failing(status)) == 1
    assert await arrivals(call, failing(status, "x-should-retry: true")) == 1


@pytest.mark.parametrize("call", CREATING)
async def test_what_creates_is_not_sent_again_after_a_dead_connection(call: Call) -> None:
    assert await arrivals(call, hang_up) == 1


@pytest.mark.parametrize("call", CREATING)
async def test_what_creates_is_sent_again_where_it_was_not_begun(call: Call) -> None:
    assert await arrivals(call, failing(429)) == 3
    assert await arrivals(call, failing(503, "Retry-After: 1")) == 3


@pytest.mark.parametrize("call", [*HARMLESS, *CREATING])
async def test_a_refused_connection_is_tried_again_whatever_the_request(call: Call) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        pauses = Pauses()
        client = Client(
            api_key="",
            base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            retries=RetryPolicy(sleep=pauses),
        )
        async with client:
            with pytest.raises(APIConnectionError, match="no connection could be made"):
                await call(client)
    assert len(pauses) == 2


async def test_a_connect_timeout_is_tried_again_for_what_creates() -> None:
    # A full backlog takes no further connection, and answers nothing.
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        pauses = Pauses()
        async with Client(
            api_key="",
            base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            timeout=0.02,
            retries=RetryPolicy(sleep=pauses),
        ) as client:
            with pytest.raises(APITimeoutError):
                await create_run(client)
    assert len(pauses) == 2


async def test_a_name_without_an_address_is_tried_again() -> None:
    pauses = Pauses()
    policy = RetryPolicy(sleep=pauses)
    async with Client(api_key="", base_url="http://no.invalid", retries=policy) as client:
        with pytest.raises(APIConnectionError, match="has no address"):
            await create_run(client)
    assert len(pauses) == 2


async def test_a_retry_that_succeeds_is_all_that_the_caller_sees() -> None:
    pauses = Pauses()
    async with (
        wire(failing(500), hang_up, answer(RUN)) as server,
        client_of(server, pauses) as client,
    ):
        assert (await client.runs.retrieve("run_1", thread_id="thread_1")).id == "run_1"
        assert len(server.requests) == 3
    assert pauses == [0.5, 1.0]


async def test_a_stream_is_opened_again_where_it_was_not_begun() -> None:
    async with (
        wire(failing(429), STREAM_HEAD + chunk(b"")) as server,
        client_of(server) as client,
    ):
        await stream_run(client)
        assert len(server.requests) == 2


async def test_nothing_is_sent_again_once_a_stream_has_its_headers() -> None:
    async with wire(then_hang_up(STREAM_HEAD)) as server, client_of(server) as client:
        stream = await client._transport.open(Request(method="GET", path="/x"))
        with pytest.raises(APIConnectionError) as caught:
            _ = [piece async for piece in stream]
        assert not should_retry(caught.value)
        assert len(server.requests) == 1


async def test_a_stale_connection_counts_as_an_attempt() -> None:
    pauses = Pauses()
    async with (
        wire(answer(), hang_up) as server,
        client_of(server, pauses) as client,
    ):
        await client.request("GET", "/warm")
        with pytest.raises(APIConnectionError):
            await client.request("GET", "/x")
        assert len(server.requests) == 1 + 3
    assert len(pauses) == 2


async def test_a_token_is_asked_for_at_each_attempt() -> None:
    tokens = iter(["one", "two"])
    async with (
        wire(failing(500), answer()) as server,
        Client(
            api_key=lambda: next(tokens),
            base_url=server.url,
            retries=RetryPolicy(sleep=Pauses()),
        ) as client,
    ):
        await client.request("GET", "/x")
        assert [request.headers["authorization"] for request in server.requests] == [
            "Bearer one",
            "Bearer two",
        ]


async def test_a_pause_can_be_cancelled() -> None:
    async with (
        wire(failing(500)) as server,
        Client(api_key="", base_url=server.url, retries=RetryPolicy(first_delay=60)) as client,
    ):
        request = asyncio.ensure_future(client.request("GET", "/x"))
        await until(lambda: server.requests)
        await asyncio.sleep(0.05)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert len(server.requests) == 1


@pytest.mark.parametrize("first", [failing(500), hang_up])
async def test_a_404_to_a_delete_that_was_sent_before_is_success(first: Answer) -> None:
    async with (
        wire(first, failing(404, "x-request-id: req_2", body=GONE)) as server,
        client_of(server) as client,
    ):
        gone = await client.threads.delete("thread_ü")
        assert (gone.id, gone.deleted, gone.object) == ("thread_ü", True, "thread.deleted")
        assert (gone.raw, gone.request_id) == (None, "req_2")
        assert len(server.requests) == 2


async def test_a_404_to_a_second_delete_is_success_for_every_kind() -> None:
    gone = failing(404, body=GONE)
    async with (
        wire(failing(500), gone, failing(500), gone, failing(500), gone) as server,
        client_of(server) as client,
    ):
        message = await client.messages.delete("msg_1", thread_id="thread_1")
        assistant = await client.assistants.delete("asst_1")
        assert (message.id, message.deleted) == ("msg_1", True)
        assert (assistant.id, assistant.deleted) == ("asst_1", True)
        assert await client.request("DELETE", "/files/file_1") == b""


@pytest.mark.parametrize("call", [delete_thread, retrieve_run])
async def test_a_404_to_the_first_attempt_is_an_error(call: Call) -> None:
    assert await arrivals(call, failing(404, body=GONE)) == 1


async def test_a_404_to_a_second_get_is_an_error() -> None:
    async with wire(failing(500), failing(404, body=GONE)) as server, client_of(server) as client:
        with pytest.raises(NotFoundError):
            await retrieve_run(client)


@pytest.mark.parametrize(
    ("headers", "pauses"),
    [
        ((), [0.5, 1.0]),
        (("Retry-After: 7",), [7, 7]),
        (("Retry-After: 1.5",), [1.5, 1.5]),
        (("Retry-After: 0",), [0, 0]),
        (("retry-after-ms: 250", "Retry-After: 7"), [0.25, 0.25]),
        (
            ("Date: Mon, 01 Jan 2024 00:00:00 GMT", "Retry-After: Mon, 01 Jan 2024 00:00:30 GMT"),
            [30, 30],
        ),
        (("Retry-After: Mon, 01 Jan 2024 00:00:30 GMT",), [0, 0]),
        (("Retry-After: 120",), [120, 120]),
        (("Retry-After: soon",), [0.5, 1.0]),
        (("Retry-After: -1",), [0.5, 1.0]),
        (("Retry-After: nan",), [0.5, 1.0]),
        (("Retry-After: 121",), []),
        (("retry-after-ms: 120001",), []),
    ],
)
async def test_the_server_says_how_long_to_wait(
    headers: tuple[str, ...], pauses: list[float]
) -> None:
    slept = Pauses()
    async with wire(failing(429, *headers)) as server, client_of(server, slept) as client:
        with pytest.raises(RateLimitError):
            await retrieve_run(client)
        assert slept == pauses
        assert len(server.requests) == len(pauses) + 1


async def test_a_wait_that_is_too_long_stands_in_the_error() -> None:
    async with wire(failing(429, "Retry-After: 3600")) as server, client_of(server) as client:
        with pytest.raises(RateLimitError) as caught:
            await create_run(client)
    assert caught.value.retry_after == 3600


@pytest.mark.parametrize(
    ("status", "told", "times"), [(500, "false", 1), (400, "true", 3), (409, "TRUE", 3)]
)
async def test_x_should_retry_has_the_last_word(status: int, told: str, times: int) -> None:
    assert await arrivals(retrieve_run, failing(status, f"x-should-retry: {told}")) == times


@pytest.mark.parametrize("call", [retrieve_run, create_run])
async def test_a_quota_that_is_used_up_does_not_pass(call: Call) -> None:
    assert await arrivals(call, failing(429, body=QUOTA)) == 1


async def test_the_error_body_of_what_creates_may_hang_and_the_status_stands() -> None:
    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\noops")
        await asyncio.sleep(1)
        writer.close()

    async with wire(half) as server, client_of(server) as client:
        with pytest.raises(InternalServerError, match="oops"):
            await client.threads.create(timeout=0.5)


@pytest.mark.parametrize("retries", [0, 1, 5])
async def test_max_retries_is_how_often_it_is_sent_again(retries: int) -> None:
    assert await arrivals(retrieve_run, failing(500), max_retries=retries) == 1 + retries


async def test_max_retries_is_an_argument_of_its_own() -> None:
    pauses = Pauses()
    async with wire(failing(500)) as server:
        policy = RetryPolicy(max_retries=7, sleep=pauses)
        options: Any = {"base_url": server.url, "retries": policy, "max_retries": 1}
        async with Client(api_key="", **options) as client:
            with pytest.raises(InternalServerError):
                await retrieve_run(client)
        assert len(server.requests) == 2


async def test_an_empty_budget_stops_a_storm_and_answers_refill_it() -> None:
    async with (
        wire(*[failing(500)] * 4, *[answer(RUN)] * 3, failing(500)) as server,
        client_of(server, budget=2, refill=0.5) as client,
    ):
        for _ in range(2):  # 1 + 2 retries, then 1 and nothing left
            with pytest.raises(InternalServerError):
                await retrieve_run(client)
        assert len(server.requests) == 4
        for _ in range(3):
            await retrieve_run(client)
        with pytest.raises(InternalServerError):
            await retrieve_run(client)
        assert len(server.requests) == 7 + 2


def test_a_budget_is_never_more_than_full() -> None:
    budget = Budget(RetryPolicy(budget=1, refill=5))
    budget.refill()
    assert budget.left == 1


def test_delays_grow_to_their_longest_and_some_of_them_is_random() -> None:
    exc = error_from_response(500, {}, b"", repeatable=True)
    steady = RetryPolicy(max_retries=2000, random=lambda: 0.0)
    assert [steady.delay(exc, n) for n in range(6)] == [0.5, 1, 2, 4, 8, 8]
    assert steady.delay(exc, 1999) == 8
    lowest = RetryPolicy(random=lambda: 1.0)
    assert lowest.delay(exc, 0) == 0.375
    assert lowest.delay(exc, 2) is None


def test_a_policy_is_data() -> None:
    policy = RetryPolicy()
    assert (policy.max_retries, policy.first_delay, policy.longest_delay) == (2, 0.5, 8.0)
    assert policy == RetryPolicy()
    with pytest.raises(AttributeError):
        policy.max_retries = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="max_retries must be at least 0, not -1"):
        RetryPolicy(max_retries=-1)
    assert msgspec.structs.replace(policy, max_retries=3).max_retries == 3


def test_should_retry_knows_what_is_safe() -> None:
    dead = APIConnectionError("the server hung up")
    dead.retryable = True
    assert should_retry(dead)
    assert should_retry(error_from_response(500, {}, b"", repeatable=True))
    assert should_retry(error_from_response(429, {}, b""))
    for exc in (
        error_from_response(500, {}, b""),
        error_from_response(429, {"retry-after": "121"}, b""),
        AmbiguousRequestError("sent"),
        PoolTimeoutError("full"),
        StreamInterrupted("cut"),
        ValueError("no"),
    ):
        assert not should_retry(exc)


async def test_should_retry_serves_a_loop_of_the_caller_s_own() -> None:
    async with (
        wire(failing(500), hang, answer(RUN)) as server,
        client_of(server, max_retries=0) as client,
    ):
        while True:
            try:
                await client.runs.retrieve("run_1", thread_id="thread_1", timeout=0.1)
                break
            except (APIStatusError, APIConnectionError) as exc:
                if not should_retry(exc):
                    raise
        assert len(server.requests) >= 3
