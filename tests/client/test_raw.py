"""Answers as they came, beside the object that they hold."""

from __future__ import annotations

from typing import Any

import pytest

from asyncruns import APIStatusError, Client, NotFoundError, RawResponse, RetryPolicy, Run
from tests.transport.wires import answer, wire

pytestmark = pytest.mark.anyio

RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'
PAGE = b'{"object":"list","data":[' + RUN + b'],"has_more":false}'
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("runs", "create", {"thread_id": "t", "assistant_id": "a"}),
    ("runs", "retrieve", {"run_id": "run_1", "thread_id": "t"}),
    ("runs", "update", {"run_id": "run_1", "thread_id": "t"}),
    ("runs", "cancel", {"run_id": "run_1", "thread_id": "t"}),
    ("runs", "submit_tool_outputs", {"run_id": "run_1", "thread_id": "t", "tool_outputs": []}),
    ("threads", "create", {}),
    ("threads", "create_and_run", {"assistant_id": "a"}),
    ("threads", "delete", {"thread_id": "t"}),
    ("messages", "create", {"thread_id": "t", "role": "user", "content": "hi"}),
    ("assistants", "retrieve", {"assistant_id": "a"}),
]


@pytest.mark.parametrize(
    ("resource", "method", "keywords"), CALLS, ids=[f"{where}.{name}" for where, name, _ in CALLS]
)
async def test_a_method_gives_its_answer_as_it_came(
    resource: str, method: str, keywords: dict[str, Any]
) -> None:
    came = answer(RUN, status="201 Made", headers=("x-request-id: req_1", "X-Mine: yes"))
    async with wire(came) as server, Client(api_key="", base_url=server.url) as client:
        raw = await getattr(getattr(client, resource).with_raw_response, method)(**keywords)
        assert isinstance(raw, RawResponse)
        assert (raw.status, raw.body, raw.request_id) == (201, RUN, "req_1")
        assert raw.headers["x-MINE"] == "yes"
        parsed = raw.parse()
        assert (parsed.id, parsed.raw, parsed.request_id) == ("run_1", RUN, "req_1")
        assert len(server.requests) == 1
        assert repr(raw) == "RawResponse(status=201)"


async def test_steps_and_lists_give_theirs_too() -> None:
    async with wire(answer(PAGE)) as server, Client(api_key="", base_url=server.url) as client:
        raw = await client.runs.with_raw_response.list("t", limit=1)
        assert raw.body == PAGE
        assert [run.id for run in raw.parse()] == ["run_1"]
        steps = await client.runs.steps.with_raw_response.list("run_1", thread_id="t")
        assert steps.status == 200


async def test_a_body_that_holds_no_object_is_there_all_the_same() -> None:
    body = b'{"unexpected":true}'
    async with wire(answer(body)) as server, Client(api_key="", base_url=server.url) as client:
        raw = await client.runs.with_raw_response.retrieve("run_1", thread_id="t")
        assert raw.body == body
        with pytest.raises(APIStatusError, match="cannot be read"):
            raw.parse()


async def test_an_error_status_is_raised_as_ever() -> None:
    missing = answer(b"{}", status="404 No")
    async with wire(missing) as server, Client(api_key="", base_url=server.url) as client:
        with pytest.raises(NotFoundError):
            await client.threads.with_raw_response.retrieve("t")


async def test_a_second_delete_that_finds_nothing_shows_its_404() -> None:
    async def no_sleep(_: float) -> None:
        pass

    answers = (answer(status="500 No"), answer(status="404 No"))
    retries = RetryPolicy(sleep=no_sleep)
    async with (
        wire(*answers) as server,
        Client(api_key="", base_url=server.url, retries=retries) as client,
    ):
        raw = await client.threads.with_raw_response.delete("thread_1")
        assert (raw.status, raw.body) == (404, b"")
        assert (raw.parse().id, raw.parse().deleted) == ("thread_1", True)


async def test_only_methods_of_one_request_are_there() -> None:
    async with Client(api_key="") as client:
        raw = client.runs.with_raw_response
        methods = {"cancel", "create", "list", "retrieve", "submit_tool_outputs", "update"}
        assert vars(raw).keys() == methods
        with pytest.raises(TypeError, match="no stream"):
            await raw.create("t", assistant_id="a", stream=True)
        with pytest.raises(TypeError, match="takes no dedupe_key"):
            await raw.create("t", assistant_id="a", dedupe_key="key")
        with pytest.raises(TypeError, match="unexpected keyword argument 'nope'"):
            await raw.retrieve("r", thread_id="t", nope=1)  # type: ignore[call-arg]


async def test_the_plain_methods_stay_as_they_are() -> None:
    async with wire(answer(RUN)) as server, Client(api_key="", base_url=server.url) as client:
        _ = client.runs.with_raw_response
        assert isinstance(await client.runs.retrieve("run_1", thread_id="t"), Run)
