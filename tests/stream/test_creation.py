"""Creating on a thread: once, whatever becomes of the answer, and after whoever came first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import (
    ActiveRunError,
    AmbiguousRequestError,
    APIConnectionError,
    RunTimeoutError,
)
from asyncruns.emulator import Action, Context, Wait
from asyncruns.resources import _creation
from tests.stream.house import Follower, one_call, opened, say_hello
from tests.stream.proxy import CANCEL, CREATE, LIST_RUNS, RETRIEVE, Exchange, answer, relay, swallow
from tests.transport.wires import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tests.stream.house import House

pytestmark = pytest.mark.anyio

KEY = "asyncruns_dedupe_key"
NO_RUNS = b'{"object": "list", "data": []}'
ACTIVE = b"""{"error": {"message": "Thread %b already has an active run %b.",
"type": "invalid_request_error", "code": null}}"""


async def wait_long(_: Context) -> AsyncGenerator[Action, Any]:
    yield Wait(500)


async def create(house: House, thread_id: str, **options: Any) -> str:
    run = await house.client.runs.create(thread_id, assistant_id=house.assistant, **options)
    return str(run.id)


async def stream(house: House, thread_id: str, **options: Any) -> str:
    async with house.stream(thread_id, **options) as opened_stream:
        seen = await Follower(opened_stream).follow()
    truth = await house.truth_of(opened_stream)
    truth.assert_is(seen.accumulator)
    return str(truth.run["id"])


async def poll(house: House, thread_id: str, **options: Any) -> str:
    run = await house.client.runs.create_and_poll(
        thread_id=thread_id, assistant_id=house.assistant, **options
    )
    assert run.status == "completed"
    return run.id


WAYS = [create, stream, poll]


@pytest.fixture
def short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for a lost run for a moment, not for five seconds."""
    monkeypatch.setattr(_creation, "SEARCH_DEADLINE", 0.2)
    monkeypatch.setattr(_creation, "SEARCH_PAUSE", 0.02)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_create_that_is_answered_by_silence_is_done_once(
    way: Callable[..., Awaitable[str]], *, reset: bool
) -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, swallow(reset=reset))
        thread_id = house.thread()
        run_id = await way(house, thread_id, dedupe_key="key 1", metadata={"mine": "too"})
        runs = await house.runs(thread_id)
        assert [run["id"] for run in runs] == [run_id]
        assert runs[0]["metadata"] == {KEY: "key 1", "mine": "too"}
        assert house.proxy.count(CREATE) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("short_search")
async def test_a_create_that_was_not_carried_out_is_sent_again_once(
    way: Callable[..., Awaitable[str]],
) -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, swallow(forward=False))
        thread_id = house.thread()
        run_id = await way(house, thread_id, dedupe_key="key 1")
        assert [run["id"] for run in await house.runs(thread_id)] == [run_id]
        assert house.proxy.count(CREATE) == 2


@pytest.mark.usefixtures("short_search")
async def test_a_create_is_not_sent_for_ever() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, swallow(forward=False), times=99)
        with pytest.raises(AmbiguousRequestError):
            await create(house, house.thread(), dedupe_key="key 1")
        assert house.proxy.count(CREATE) == 2


@pytest.mark.usefixtures("short_search")
async def test_a_run_that_shows_up_late_is_found() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, swallow())
        house.proxy.plan(LIST_RUNS, answer("200 OK", NO_RUNS))
        thread_id = house.thread()
        run_id = await create(house, thread_id, dedupe_key="key 1")
        assert [run["id"] for run in await house.runs(thread_id)] == [run_id]
        assert house.proxy.count(CREATE) == 1


@pytest.mark.usefixtures("short_search")
async def test_a_search_survives_what_passes() -> None:
    async with opened(say_hello) as house:
        house.client = house.client.with_options(max_retries=0)
        house.proxy.plan(CREATE, swallow())
        house.proxy.plan(LIST_RUNS, answer("502 Bad Gateway"))
        thread_id = house.thread()
        await create(house, thread_id, dedupe_key="key 1")
        assert len(await house.runs(thread_id)) == house.proxy.count(CREATE) == 1


@pytest.mark.usefixtures("short_search")
async def test_where_nobody_can_look_nothing_is_sent_again() -> None:
    async with opened(say_hello) as house:
        house.client = house.client.with_options(max_retries=0)
        house.proxy.plan(CREATE, swallow(forward=False))
        house.proxy.plan(LIST_RUNS, swallow(forward=False), times=99)
        with pytest.raises(AmbiguousRequestError) as caught:
            await create(house, house.thread(), dedupe_key="key 1")
        assert isinstance(caught.value.__cause__, APIConnectionError)
        assert house.proxy.count(CREATE) == 1


@pytest.mark.usefixtures("short_search")
async def test_a_run_that_was_not_found_may_still_hold_the_thread() -> None:
    """The create was slow: not there when it was looked for, and there when it was sent again."""
    async with opened(wait_long) as house:

        async def hide(exchange: Exchange) -> None:
            hidden = house.proxy.count(CREATE) < 2
            await (answer("200 OK", NO_RUNS) if hidden else relay)(exchange)

        house.proxy.plan(CREATE, swallow())
        house.proxy.plan(LIST_RUNS, hide, times=99)
        thread_id = house.thread()
        run_id = await create(house, thread_id, dedupe_key="key 1")
        assert [run["id"] for run in await house.runs(thread_id)] == [run_id]
        assert house.proxy.count(CREATE) == 2


@pytest.mark.parametrize("way", WAYS)
async def test_without_a_key_silence_is_an_error(way: Callable[..., Awaitable[str]]) -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(CREATE, swallow())
        thread_id = house.thread()
        with pytest.raises(AmbiguousRequestError, match="may have"):
            await way(house, thread_id)
        assert len(await house.runs(thread_id)) == house.proxy.count(CREATE) == 1


async def test_create_and_run_has_nowhere_to_look() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(r"^POST \S+/threads/runs ", swallow(), times=3)
        threads = house.client.threads
        options: Any = {"assistant_id": house.assistant}
        with pytest.raises(AmbiguousRequestError):
            await threads.create_and_run(**options)
        with pytest.raises(AmbiguousRequestError):
            await threads.create_and_run_poll(**options)
        with pytest.raises(AmbiguousRequestError):
            await threads.create_and_run_stream(**options).__aenter__()
        assert len(house.proxy.lines) == 3


async def test_a_message_that_is_answered_by_silence_is_an_error() -> None:
    async with opened(say_hello) as house:
        house.proxy.plan(r"^POST \S+/messages ", swallow())
        with pytest.raises(AmbiguousRequestError):
            await house.client.messages.create(house.thread(), role="user", content="hi")
        assert len(house.proxy.lines) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_key_needs_room_in_the_metadata(way: Callable[..., Awaitable[str]]) -> None:
    async with opened(say_hello) as house:
        full = {f"key {number}": "" for number in range(16)}
        with pytest.raises(ValueError, match="16"):
            await way(house, house.thread(), dedupe_key="key 1", metadata=full)
        with pytest.raises(ValueError, match="extra_body"):
            await way(house, house.thread(), dedupe_key="k", extra_body={"metadata": {}})
        assert house.proxy.lines == []
        del full["key 0"]
        await way(house, house.thread(), dedupe_key="key 1", metadata=full)
        await way(house, house.thread(), dedupe_key="key 1", metadata={**full, KEY: "old"})


# A run that holds the thread


async def test_a_run_that_holds_the_thread_is_an_error() -> None:
    async with opened(one_call) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        thread_id = run["thread_id"]
        with pytest.raises(ActiveRunError) as caught:
            await create(house, thread_id)
        assert (caught.value.thread_id, caught.value.run_id) == (thread_id, run["id"])
        with pytest.raises(ActiveRunError) as caught:
            await house.client.messages.create(thread_id, role="user", content="hi")
        assert (caught.value.thread_id, caught.value.run_id) == (thread_id, run["id"])


async def message(house: House, thread_id: str, **options: Any) -> str:
    created = await house.client.messages.create(thread_id, role="user", content="hi", **options)
    return created.id


@pytest.mark.parametrize("way", [*WAYS, message])
async def test_a_run_that_holds_the_thread_may_be_waited_for(
    way: Callable[..., Awaitable[str]],
) -> None:
    async with opened(wait_long) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        house.emulator.script = say_hello
        creating = asyncio.ensure_future(way(house, run["thread_id"], on_active_run="wait"))
        await until(lambda: house.proxy.count(rf"^GET \S+{run['id']}") > 2)
        house.emulator.clock.advance(500)
        await creating
        assert house.proxy.count(CANCEL) == 0


@pytest.mark.parametrize("way", [*WAYS, message])
async def test_a_run_that_holds_the_thread_may_be_cancelled(
    way: Callable[..., Awaitable[str]],
) -> None:
    async with opened(one_call) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        house.emulator.script = say_hello
        await way(house, run["thread_id"], on_active_run="cancel")
        old = (await house.truth(run["thread_id"], run["id"])).run
        assert old["status"] == "cancelled"


@pytest.mark.parametrize("choice", ["wait", "cancel"])
async def test_waiting_for_a_thread_has_a_deadline(choice: str) -> None:
    async with opened(one_call) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        house.proxy.plan(CANCEL, answer("400 Bad Request"), times=2)
        options = {"on_active_run": choice, "active_run_deadline": 0.05}
        for way in (create, message):
            with pytest.raises(RunTimeoutError, match=run["id"]):
                await way(house, run["thread_id"], **options)
        assert len(await house.runs(run["thread_id"])) == 1


async def test_a_lock_that_outlives_its_run_is_not_hammered() -> None:
    async with opened(say_hello) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        locked = ACTIVE % (run["thread_id"].encode(), run["id"].encode())
        house.proxy.plan(CREATE, answer("400 Bad Request", locked), times=10**6)
        with pytest.raises(RunTimeoutError):
            await create(house, run["thread_id"], on_active_run="wait", active_run_deadline=0.2)
        assert house.proxy.count(CREATE) <= 2


@pytest.mark.parametrize("way", WAYS)
async def test_creates_on_one_thread_queue_up(way: Callable[..., Awaitable[str]]) -> None:
    async with opened(say_hello) as house:
        thread_id = house.thread()
        creates = [way(house, thread_id, on_active_run="wait") for _ in range(4)]
        run_ids = await asyncio.gather(*creates)
        assert {run["id"] for run in await house.runs(thread_id)} == set(run_ids)
        assert len(set(run_ids)) == 4


async def test_creates_on_one_thread_are_sent_one_by_one() -> None:
    async with opened(wait_long) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        house.emulator.script = say_hello
        wait: Any = {"on_active_run": "wait"}
        creates = [asyncio.create_task(create(house, run["thread_id"], **wait)) for _ in range(4)]
        await until(lambda: house.proxy.count(RETRIEVE) > 4)
        assert house.proxy.count(CREATE) == 1
        house.emulator.clock.advance(500)
        await asyncio.gather(*creates)
        assert len(await house.runs(run["thread_id"])) == 5


async def test_waiting_for_one_s_turn_has_the_deadline_too() -> None:
    async with opened(wait_long) as house:
        run = await house.emulator.add_run(house.thread(), house.assistant)
        first = asyncio.create_task(create(house, run["thread_id"], on_active_run="wait"))
        await until(lambda: house.proxy.count(CREATE) == 1)
        with pytest.raises(RunTimeoutError, match="before this one"):
            await create(house, run["thread_id"], on_active_run="wait", active_run_deadline=0.05)
        assert house.proxy.count(CREATE) == 1
        first.cancel()
        await asyncio.wait({first})
        # Whoever was cancelled while it was their turn holds nobody up.
        await house.post(f"/threads/{run['thread_id']}/runs/{run['id']}/cancel")
        house.emulator.script = say_hello
        await create(house, run["thread_id"], on_active_run="wait")


async def test_an_unknown_choice_is_refused_at_once() -> None:
    async with opened(say_hello) as house:
        with pytest.raises(ValueError, match="on_active_run"):
            await create(house, house.thread(), on_active_run="kill")
        assert house.proxy.lines == []
