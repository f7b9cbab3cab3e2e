"""Lists and their pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncruns.emulator import ManualClock

if TYPE_CHECKING:
    from tests.emulator.conftest import Api, Serve

pytestmark = pytest.mark.anyio

PATH = "/threads/thread_id/messages"


async def five_messages(serve: Serve) -> Api:
    """Return an emulator with messages m1 to m5, all of the same second."""
    api = await serve(clock=ManualClock())
    api.emulator.add_thread(id="thread_id")
    for number in range(1, 6):
        api.emulator.add_message("thread_id", "Hello", id=f"m{number}")
    return api


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        ({}, "m5 m4 m3 m2 m1", False),
        ({"order": "asc"}, "m1 m2 m3 m4 m5", False),
        ({"limit": "2"}, "m5 m4", True),
        ({"limit": "2", "after": "m4"}, "m3 m2", True),
        ({"limit": "2", "after": "m2"}, "m1", False),
        ({"limit": "2", "after": "m3"}, "m2 m1", False),
        ({"after": "m1"}, "", False),
        ({"order": "asc", "after": "m4"}, "m5", False),
        ({"limit": "2", "before": "m2"}, "m4 m3", True),
        ({"limit": "2", "before": "m4"}, "m5", False),
        ({"before": "m5"}, "", False),
        ({"order": "asc", "limit": "1", "before": "m3"}, "m2", True),
        ({"after": "m5", "before": "m2"}, "m4 m3", False),
        ({"after": "m5", "before": "m1", "limit": "2"}, "m4 m3", True),
        ({"after": "m2", "before": "m4"}, "", False),
        ({"limit": "100"}, "m5 m4 m3 m2 m1", False),
    ],
)
async def test_a_page_is_the_window_asked_for(
    serve: Serve, query: dict[str, str], ids: str, has_more: bool
) -> None:
    api = await five_messages(serve)
    page = await api.get(PATH, **query)
    expected = ids.split()
    assert list(page) == ["object", "data", "first_id", "last_id", "has_more"]
    assert [message["id"] for message in page["data"]] == expected
    assert page["first_id"] == (expected[0] if expected else None)
    assert page["last_id"] == (expected[-1] if expected else None)
    assert page["has_more"] is has_more


async def test_an_empty_list_has_null_ids(serve: Serve) -> None:
    api = await serve()
    assert await api.get("/assistants") == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_a_page_holds_twenty_unless_told_otherwise(serve: Serve) -> None:
    api = await serve()
    for _ in range(21):
        api.emulator.add_assistant()
    page = await api.get("/assistants")
    assert (len(page["data"]), page["has_more"]) == (20, True)


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ({"limit": "0"}, 400, "limit"),
        ({"limit": "101"}, 400, "limit"),
        ({"limit": "-1"}, 400, "limit"),
        ({"limit": "1000000000000"}, 400, "limit"),
        ({"limit": "many"}, 400, "limit"),
        ({"limit": ""}, 400, "limit"),
        ({"limit": "٣"}, 400, "limit"),
        ({"order": "up"}, 400, "order"),
        ({"after": "m6"}, 404, None),
        ({"before": "m6"}, 404, None),
    ],
)
async def test_a_bad_query_is_refused(
    serve: Serve, query: dict[str, str], status: int, param: str | None
) -> None:
    api = await five_messages(serve)
    error = await api.refused("GET", PATH, **query)
    assert (error["status"], error["param"]) == (status, param)
