"""Lists: one page, or the items of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncruns import APIStatusError, AsyncRunsError, Client, ListRunsResponse, to_dict
from tests.transport.wires import answer, wire

if TYPE_CHECKING:
    from tests.resources.conftest import Notebook

pytestmark = pytest.mark.anyio


def page(*ids: str, **fields: Any) -> dict[str, Any]:
    data = [{"id": name, "status": "queued", "odd": name} for name in ids]
    edges = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return {"object": "list", "data": data, **edges, **fields}


def cursors(notebook: Notebook) -> list[str | None]:
    return [dict(request.query).get("after") for request in notebook.requests]


async def test_awaiting_a_list_gives_its_first_page(client: Client, notebook: Notebook) -> None:
    notebook.answers = [page("r_1", "r_2", has_more=True)]
    runs = await client.runs.list("t_1")
    assert isinstance(runs, ListRunsResponse)
    assert (runs.object, runs.first_id, runs.last_id, runs.has_more) == ("list", "r_1", "r_2", True)
    assert [run.id for run in runs.data] == [run.id for run in runs] == ["r_1", "r_2"]
    assert runs.raw is not None
    assert runs.data[1].raw == b'{"id": "r_2", "status": "queued", "odd": "r_2"}'
    assert to_dict(runs.data[0])["odd"] == "r_1"


async def test_iterating_follows_the_pages_with_the_same_parameters(
    client: Client, notebook: Notebook
) -> None:
    notebook.answers = [
        page("r_1", "r_2", has_more=True),
        page("r_3", has_more=True),
        page("r_4", has_more=False),
    ]
    ids = [run.id async for run in client.runs.list("t_1", limit=2, order="asc", after="r_0")]
    assert ids == ["r_1", "r_2", "r_3", "r_4"]
    assert cursors(notebook) == ["r_0", "r_2", "r_3"]
    for request in notebook.requests:
        assert dict(request.query).items() >= {"limit": "2", "order": "asc"}.items()


async def test_pages_are_asked_for_as_they_are_needed(client: Client, notebook: Notebook) -> None:
    notebook.answers = [page("r_1", has_more=True), page("r_2", has_more=False)]
    async for _ in client.runs.list("t_1"):
        break
    assert len(notebook.requests) == 1


async def test_pages_can_be_turned_by_hand(client: Client, notebook: Notebook) -> None:
    notebook.answers = [page("r_1", has_more=True), page("r_2", has_more=False)]
    first = await client.runs.list("t_1")
    assert first.has_next_page()
    second = await first.get_next_page()
    assert [run.id for run in second.data] == ["r_2"]
    assert not second.has_next_page()
    with pytest.raises(AsyncRunsError, match="there is no next page"):
        await second.get_next_page()


async def test_iterating_over_a_page_goes_on_to_the_later_ones(
    client: Client, notebook: Notebook
) -> None:
    notebook.answers = [page("r_1", has_more=True), page("r_2", has_more=False)]
    first = await client.runs.list("t_1")
    assert [run.id async for run in first] == ["r_1", "r_2"]


@pytest.mark.parametrize("more", [True, None])
async def test_an_empty_page_is_the_end(
    client: Client, notebook: Notebook, more: bool | None
) -> None:
    notebook.answers = [page("r_1", has_more=more), page(has_more=more)]
    assert [run.id async for run in client.runs.list("t_1")] == ["r_1"]
    assert cursors(notebook) == [None, "r_1"]


async def test_without_has_more_pages_are_asked_for_until_one_is_empty(
    client: Client, notebook: Notebook
) -> None:
    notebook.answers = [page("r_1"), page("r_2"), page()]
    assert [run.id async for run in client.runs.list("t_1")] == ["r_1", "r_2"]


async def test_without_last_id_the_last_object_s_id_is_the_cursor(
    client: Client, notebook: Notebook
) -> None:
    notebook.answers = [
        {"data": page("r_1", "r_2")["data"], "has_more": True},
        page("r_3", has_more=False),
    ]
    assert [run.id async for run in client.runs.list("t_1")] == ["r_1", "r_2", "r_3"]
    assert cursors(notebook) == [None, "r_2"]


async def test_a_server_that_gives_the_same_page_again_is_asked_once_more_only(
    client: Client, notebook: Notebook
) -> None:
    notebook.answers = [page("r_1", "r_2", has_more=True)] * 5
    assert [run.id async for run in client.runs.list("t_1")] == ["r_1", "r_2"]
    assert len(notebook.requests) == 2
    again = await (await client.runs.list("t_1")).get_next_page()
    assert not again.has_next_page()


async def test_null_data_is_an_empty_page(client: Client, notebook: Notebook) -> None:
    notebook.answers = [{"data": None, "has_more": True}]
    assert [run async for run in client.runs.list("t_1")] == []


async def test_an_item_of_an_unknown_kind_does_not_spoil_its_page(
    client: Client, notebook: Notebook
) -> None:
    odd = {"id": "s_2", "status": "completed", "step_details": {"type": "activities", "n": 1}}
    plain = {"id": "s_1", "status": "completed", "step_details": {"type": "tool_calls"}}
    notebook.answers = [{"data": [plain, odd], "has_more": False}]
    first, second = [step async for step in client.runs.steps.list("r_1", thread_id="t_1")]
    assert first.step_details is not None
    assert first.step_details.type == "tool_calls"
    assert second.step_details is not None
    assert second.step_details.type == "activities"
    assert to_dict(second) == odd


async def test_a_page_that_cannot_be_read_is_an_error_that_says_why(
    client: Client, notebook: Notebook
) -> None:
    notebook.answers = [{"data": [{"id": "r_1", "status": "queued"}, {"status": "queued"}]}]
    with pytest.raises(APIStatusError, match=r"cannot be read: .*`id`"):
        await client.runs.list("t_1")


async def test_pages_of_every_kind_give_their_objects(client: Client, notebook: Notebook) -> None:
    kinds: list[Any] = [
        client.runs.list("t_1"),
        client.runs.steps.list("r_1", thread_id="t_1"),
        client.messages.list("t_1"),
        client.assistants.list(),
    ]
    for paginator in kinds:
        notebook.answers = [page("x_1", has_more=True), page("x_2", has_more=False)]
        assert [item.id async for item in paginator] == ["x_1", "x_2"]


@pytest.mark.parametrize("body", [b'{"error":{"message":"soft fail"}}', b'{"id":"run_1"}'])
async def test_an_answer_that_is_no_list_is_an_error_and_no_empty_page(body: bytes) -> None:
    async with wire(answer(body)) as server, Client(api_key="", base_url=server.url) as client:
        with pytest.raises(APIStatusError, match="the answer cannot be read") as caught:
            await client.runs.list("t")
        assert ("soft fail" in str(caught.value)) == (b"soft" in body)


async def test_a_delete_without_a_body_is_done() -> None:
    gone = answer(b"", status="204 Gone", kind=None)
    async with wire(gone) as server, Client(api_key="", base_url=server.url) as client:
        deleted = await client.threads.delete("thread_1")
        assert (deleted.id, deleted.deleted) == ("thread_1", True)
