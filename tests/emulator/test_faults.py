"""Faults: which requests they take, and what goes over the wire; no client of ours is needed."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, get_args

import aiohttp
import pytest

from asyncruns.emulator import (
    ENDPOINTS,
    Action,
    Context,
    Emulator,
    Fault,
    ManualClock,
    Say,
)
from asyncruns.emulator.faults import OPTIONS, Kind
from tests.leaks import closed
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

HEAD = "POST /v1/threads/thread_1/runs HTTP/1.1\r\nHost: x\r\nOpenAI-Beta: assistants=v2\r\n"


async def say_two_words(_: Context) -> AsyncGenerator[Action, Any]:
    yield Say(["One", "Two"])


@asynccontextmanager
async def serving(*faults: Fault, **options: Any) -> AsyncGenerator[Emulator, None]:
    async with Emulator(say_two_words, faults=faults, **options) as emulator:
        emulator.add_thread(id="thread_1")
        emulator.add_assistant(id="asst_1")
        yield emulator


async def raw(emulator: Emulator, *, stream: bool = True, size: int = -1) -> bytes:
    """What comes over the wire, until the server closes it or so many bytes have come."""
    host, _, port = emulator.origin.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"assistant_id": "asst_1", "stream": stream}).encode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{HEAD}{kind}Connection: close\r\n\r\n".encode() + body)
    try:
        async with asyncio.timeout(10):
            return await (reader.read() if size < 0 else reader.readexactly(size))
    finally:
        await closed(writer)


async def statuses(emulator: Emulator, *paths: str) -> list[int]:
    """The statuses of the answers to GETs, in order."""
    found: list[int] = []
    async with aiohttp.ClientSession(headers={"OpenAI-Beta": "assistants=v2"}) as session:
        for path in paths:
            async with session.get(f"{emulator.base_url}{path}") as answer:
                found.append(answer.status)
    return found


def body_of(answer: bytes) -> bytes:
    """The body, out of its HTTP chunks."""
    rest, body = answer.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body


def names_of(answer: bytes) -> list[str]:
    lines = body_of(answer).decode("utf-8", "replace").splitlines()
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]


# Which requests


@pytest.mark.parametrize(
    ("options", "failing"),
    [
        ({}, [0]),
        ({"count": 2}, [0, 1]),
        ({"count": None}, [0, 1, 2, 3, 4, 5]),
        ({"skip": 2}, [2]),
        ({"skip": 1, "count": 2, "every": 2}, [1, 3]),
        ({"every": 3, "count": None}, [0, 3]),
    ],
)
async def test_a_fault_takes_requests_by_count(options: dict[str, Any], failing: list[int]) -> None:
    async with serving(Fault("status", status=503, **options)) as emulator:
        found = await statuses(emulator, *["/threads/thread_1"] * 6)
    assert [number for number, status in enumerate(found) if status == 503] == failing
    assert [n for n, request in enumerate(emulator.requests) if request.fault] == failing


@pytest.mark.parametrize("endpoint", ["messages.list", "GET /threads/*/messages"])
async def test_a_fault_takes_requests_by_endpoint(endpoint: str) -> None:
    async with serving(Fault("status", endpoint, count=None)) as emulator:
        paths = ("/threads/thread_1", "/threads/thread_1/messages", "/threads/thread_1/runs")
        assert await statuses(emulator, *paths) == [200, 500, 200]


async def test_the_first_of_two_faults_takes_a_request_and_both_count_it() -> None:
    first, second = Fault("status", status=503), Fault("status", status=429, count=2)
    async with serving(first, second) as emulator:
        assert await statuses(emulator, *["/threads/thread_1"] * 3) == [503, 429, 200]


async def test_setting_the_faults_counts_anew() -> None:
    async with serving(Fault("status")) as emulator:
        assert await statuses(emulator, *["/threads/thread_1"] * 2) == [500, 200]
        emulator.faults = emulator.faults
        assert await statuses(emulator, *["/threads/thread_1"] * 2) == [500, 200]
        emulator.faults = ()
        assert await statuses(emulator, "/threads/thread_1") == [200]


async def test_a_fault_of_streams_lets_other_requests_through() -> None:
    async with serving(Fault("early_done")) as emulator:
        assert b"queued" in await raw(emulator, stream=False)
        assert emulator.requests[0].fault is None


def test_every_endpoint_is_one_of_the_emulator_s() -> None:
    from asyncruns.emulator.endpoints import ROUTES  # noqa: PLC0415 -- an inside of this test only

    known = {(method, path) for path, methods in ROUTES.items() for method in methods}
    assert {(method, path.replace("*", "{}")) for method, path in ENDPOINTS.values()} == known


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "explode"}, "there is no fault 'explode'; the kinds are refuse, reset, close"),
        ({"kind": "reset", "endpoint": "runs.make"}, "no endpoint 'runs.make': name one of assis"),
        ({"kind": "reset", "endpoint": "GET threads"}, "write method and path"),
        ({"kind": "reset", "endpoint": "GET /thread/*"}, "no endpoint 'GET /thread/\\*': name one"),
        ({"kind": "reset", "endpoint": "PUT /threads"}, "no endpoint 'PUT /threads': name one"),
        ({"kind": "stall", "seconds": -1}, "seconds must be at least 0, not -1"),
        (
            {"kind": "status", "retry_after": float("nan")},
            "retry_after must be at least 0, not nan",
        ),
        ({"kind": "status", "status": 99}, "status must be at least 200, not 99"),
        ({"kind": "status", "status": 600}, "status must be at most 599, not 600"),
        ({"kind": ["reset"]}, "there is no fault \\['reset'\\]"),
        ({"kind": "drip", "after_events": 1}, "a drip fault takes no option, and not after_events"),
        ({"kind": "stall", "status": 500}, "takes after_bytes, after_events, seconds, and not sta"),
        ({"kind": "reset", "after_events": -1}, "after_events must be at least 0, not -1"),
        ({"kind": "reset", "count": 0}, "count must be at least 1, not 0"),
        ({"kind": "reset", "after_events": 1, "after_bytes": 1}, "not both"),
        ({"kind": "drop", "carried_out": False}, "carried_out cannot be False"),
        ({"kind": "close", "carried_out": False, "after_bytes": 1}, "carried_out cannot be False"),
    ],
)
def test_a_fault_that_makes_no_sense_says_why(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"endpoint": 5}, "an endpoint must be a string, not 5"),
        ({"after_events": "5"}, "after_events must be a number, not '5'"),
        ({"after_bytes": 1.5}, "after_bytes must be a number, not 1.5"),
        ({"count": True}, "count must be a number, not True"),
        ({"skip": None}, "skip must be a number, not None"),
    ],
)
def test_a_fault_says_what_is_no_number_or_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Fault("reset", **arguments)


@pytest.mark.parametrize("endpoint", ["GET /threads/*", "GET /threads/thread_1", "GET /*/thread_1"])
async def test_a_path_may_have_ids(endpoint: str) -> None:
    async with serving(Fault("status", endpoint, count=None)) as emulator:
        emulator.add_thread(id="thread_2")
        paths = ("/threads/thread_1", "/threads/thread_1/messages", "/threads/thread_2")
        last = 500 if endpoint.endswith("/*") else 200
        assert await statuses(emulator, *paths) == [500, 200, last]


def test_what_is_no_fault_is_refused() -> None:
    faults: Any = ["reset"]
    with pytest.raises(TypeError, match="faults must be of Fault, and not 'reset'"):
        Emulator(faults=faults)


def test_every_kind_has_its_options() -> None:
    assert set(OPTIONS) == set(get_args(Kind))


# What goes over the wire


async def test_a_closed_port_opens_again() -> None:
    clock = ManualClock()
    async with serving(Fault("refuse", seconds=5), clock=clock) as emulator:
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                await raw(emulator)
        clock.advance(5)
        await asyncio.sleep(0.05)
        assert names_of(await raw(emulator))[-1] == "done"


async def test_a_server_that_goes_down_resets_every_connection() -> None:
    async with serving(Fault("refuse", "runs.stream", after_events=2)) as emulator:
        with pytest.raises(ConnectionResetError):
            await raw(emulator)
        with pytest.raises(ConnectionRefusedError):
            await raw(emulator)
        await until(lambda: emulator.connections == 0)


@pytest.mark.parametrize("kind", ["reset", "close", "truncate"])
async def test_a_connection_fails_after_so_many_events(kind: Any) -> None:
    async with serving(Fault(kind, after_events=3)) as emulator:
        if kind == "reset":
            with pytest.raises(ConnectionResetError):
                await raw(emulator)
            return
        answer = await raw(emulator)
    whole, _, rest = answer.rpartition(b"\n\n\r\n")
    assert whole.count(b"event: ") == 3
    assert rest == (b"400\r\nevent: thread.mess" if kind == "truncate" else b"")


async def test_a_connection_fails_after_so_many_bytes() -> None:
    async with serving(Fault("close", after_bytes=10)) as emulator:
        assert body_of(await raw(emulator)) == b"event: thr"
    async with serving(Fault("close", after_bytes=10)) as emulator:
        assert (await raw(emulator, stream=False)).endswith(b'\r\n\r\n{"id":"run')


@pytest.mark.parametrize("size", [0, 10, 10_000])
async def test_an_object_is_truncated_within_a_chunk(size: int) -> None:
    async with serving(Fault("truncate", after_bytes=size)) as emulator:
        head, _, body = (await raw(emulator, stream=False)).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body.endswith(b"\r\n400\r\nevent: thread.mess" if size else b"400\r\nevent: thread.mess")
    assert (b'{"id":"run' in body) == (size > 0)


async def test_a_place_beyond_the_end_is_the_end() -> None:
    async with serving(Fault("close", after_events=99)) as emulator:
        assert names_of(await raw(emulator))[-1] == "done"


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_request_may_be_carried_out_before_it_fails(*, carried_out: bool) -> None:
    async with serving(Fault("close", carried_out=carried_out)) as emulator:
        assert await raw(emulator) == b""
        assert len(emulator._store.thread("thread_1").runs) == carried_out


async def test_a_wrong_request_is_refused_in_spite_of_a_fault() -> None:
    async with serving(Fault("close")) as emulator:
        assert await statuses(emulator, "/threads/thread_2") == [404]


async def test_a_stall_ends_after_its_seconds() -> None:
    clock = ManualClock()
    async with serving(Fault("stall", after_events=1, seconds=5), clock=clock) as emulator:
        reading = asyncio.ensure_future(raw(emulator))
        await until(lambda: emulator.requests)
        await asyncio.sleep(0.05)
        assert not reading.done()
        clock.advance(5)
        assert names_of(await reading)[-1] == "done"


async def test_an_emulator_ends_in_spite_of_stalled_requests() -> None:
    tasks = asyncio.all_tasks()
    async with serving(Fault("stall", count=None)) as emulator:
        reading = asyncio.ensure_future(raw(emulator))
        await until(lambda: emulator.requests)
    assert await reading == b""
    assert asyncio.all_tasks() == tasks


async def test_a_drip_is_one_byte_a_chunk() -> None:
    async with serving(Fault("drip")) as emulator:
        answer = await raw(emulator)
    assert names_of(answer)[-1] == "done"
    assert answer.count(b"1\r\n") >= len(body_of(answer))


async def test_garbage_is_no_http() -> None:
    async with serving(Fault("garbage")) as emulator:
        assert not (await raw(emulator)).startswith(b"HTTP/")


@pytest.mark.parametrize(
    ("fault", "head"),
    [
        (Fault("html"), b"HTTP/1.1 200 OK\r\nContent-Type: text/html"),
        (Fault("html", status=502), b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html"),
        (Fault("json"), b"HTTP/1.1 200 OK\r\nContent-Type: application/json"),
        (
            Fault("status", status=429, retry_after=1.5),
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1.5",
        ),
        (Fault("redirect", location="/x"), b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x"),
        (Fault("content_type"), b"HTTP/1.1 200 OK\r\nContent-Type: text/plain"),
    ],
)
async def test_an_answer_in_the_server_s_place(fault: Fault, head: bytes) -> None:
    async with serving(fault) as emulator:
        assert (await raw(emulator)).startswith(head)


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
async def test_a_body_is_packed(kind: Any) -> None:
    async with serving(Fault(kind)) as emulator:
        answer = await raw(emulator)
    assert f"Content-Encoding: {kind}\r\n".encode() in answer
    body = body_of(answer)
    unpacked = gzip.decompress(body) if kind == "gzip" else zlib.decompress(body)
    assert unpacked.endswith(b"event: done\ndata: [DONE]\n\n")


async def test_a_bomb_is_small_and_unpacks_to_its_size() -> None:
    async with serving(Fault("bomb", after_events=1, size=10_000_000)) as emulator:
        body = body_of(await raw(emulator))
    assert len(body) < 100_000
    assert b"data: " + b"a" * 10_000_000 + b"\n\n" in gzip.decompress(body)


async def test_a_giant_line_has_its_size() -> None:
    async with serving(
        Fault("giant_line", size=1_000_000), Fault("giant_line", size=9, skip=1)
    ) as emulator:
        assert body_of(await raw(emulator)).startswith(b"data: " + b"a" * 1_000_000 + b"\n\nevent:")
        emulator.add_thread(id="thread_1")
        answer = await raw(emulator, stream=False)
        assert json.loads(body_of(answer))["padding"] == "a" * 9


WHOLE = [
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
    "thread.run.completed",
    "done",
]


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (Fault("duplicate"), [WHOLE[0], *WHOLE]),
        (Fault("duplicate", events=None), [name for name in WHOLE for _ in range(2)]),
        (Fault("drop", after_events=2), WHOLE[:2] + WHOLE[3:]),
        (Fault("drop", after_events=2, events=3), WHOLE[:2] + WHOLE[5:]),
        (Fault("reorder"), [WHOLE[1], WHOLE[0], *WHOLE[2:]]),
        (Fault("error", after_events=4), [*WHOLE[:4], "error", "done"]),
        (Fault("wrapped_error"), [WHOLE[0], "error", "done"]),
        (Fault("early_done"), [WHOLE[0], "done"]),
        (Fault("no_done"), WHOLE[:-1]),
        (Fault("no_done", after_events=4), WHOLE[:4]),
        (Fault("linger", seconds=0), WHOLE),
    ],
)
async def test_events_come_otherwise(fault: Fault, names: list[str]) -> None:
    async with serving(fault) as emulator:
        assert names_of(await raw(emulator)) == names


@pytest.mark.parametrize(
    ("kind", "mark"),
    [
        ("invalid_utf8", b'"value":"\xff\xfe'),
        ("nul", b'"value":"\0'),
        ("negative_index", b'"index":-1,'),
        ("huge_index", b'"index":1000000000,'),
    ],
)
async def test_data_comes_otherwise(kind: Any, mark: bytes) -> None:
    async with serving(Fault(kind, after_events=7)) as emulator:
        assert body_of(await raw(emulator)).count(mark) == 1


async def test_json_is_cut() -> None:
    async with serving(
        Fault("invalid_json", after_events=7), Fault("invalid_json", skip=1)
    ) as emulator:
        lines = body_of(await raw(emulator)).splitlines()
        wrong = [line for line in lines if line.startswith(b"data: {") and not line.endswith(b"}")]
        assert len(wrong) == 1
        emulator.add_thread(id="thread_1")
        assert not (await raw(emulator, stream=False)).endswith(b"}")
