"""What arrives at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncruns import AsyncRunsError, Client
from asyncruns.transport import Request
from tests.transport.wires import STREAM_HEAD, answer, wire

if TYPE_CHECKING:
    from tests.transport.wires import Arrived

pytestmark = pytest.mark.anyio

RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'


async def arrived(*calls: tuple[str, str, dict[str, Any]], **options: Any) -> list[Arrived]:
    async with wire(answer()) as server:
        settings: dict[str, Any] = {"api_key": "sk-1", "base_url": server.url, **options}
        async with Client(**settings) as client:
            for method, path, keywords in calls:
                await client.request(method, path, **keywords)
        return server.requests


async def test_a_request_carries_key_beta_and_agent() -> None:
    (request,) = await arrived(("GET", "/files/file_1", {}))
    assert (request.method, request.target) == ("GET", "/v1/files/file_1")
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["openai-beta"] == "assistants=v2"
    assert request.headers["user-agent"].startswith("asyncruns/")
    assert request.headers["accept"] == "*/*"
    assert {"openai-organization", "openai-project", "content-type", "cookie"}.isdisjoint(
        request.headers
    )


async def test_organization_and_project_come_from_arguments_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org_env")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj_env")
    (request,) = await arrived(("GET", "/x", {}), organization="org_arg")
    assert request.headers["openai-organization"] == "org_arg"
    assert request.headers["openai-project"] == "proj_env"


async def test_key_and_base_url_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire(answer()) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
        async with Client() as client:
            await client.request("GET", "/x")
        assert server.requests[0].target == "/v1/x"
        assert server.requests[0].headers["authorization"] == "Bearer sk-env"


async def test_the_nearer_header_wins_whatever_its_case() -> None:
    (request,) = await arrived(
        ("GET", "/x", {"extra_headers": {"X-NEAR": "call", "accept": "text/plain"}}),
        default_headers={"x-near": "client", "X-Far": "client"},
    )
    assert request.headers["x-near"] == "call"
    assert request.headers["x-far"] == "client"
    assert request.headers["accept"] == "text/plain"


async def test_a_header_of_none_is_left_out() -> None:
    (request,) = await arrived(("GET", "/x", {}), default_headers={"openai-beta": None})
    assert "openai-beta" not in request.headers


async def test_a_caller_s_own_authorization_wins_and_needs_no_key() -> None:
    (request,) = await arrived(
        ("GET", "/x", {"extra_headers": {"authorization": "Basic abc"}}), api_key=None
    )
    assert request.headers["authorization"] == "Basic abc"


async def test_an_empty_key_sends_no_authorization() -> None:
    (request,) = await arrived(("GET", "/x", {}), api_key="")
    assert "authorization" not in request.headers


async def test_query_parameters_are_encoded_and_the_nearer_ones_win() -> None:
    query = {
        "a": "ö &=",
        "include": ["x[*]", "y"],
        "yes": True,
        "n": 3,
        "none": None,
        "far": "call",
    }
    (request,) = await arrived(
        ("GET", "/x?in=path", {"extra_query": query}), default_query={"far": "client", "v": "1"}
    )
    assert parse_qsl(urlsplit(request.target).query) == [
        ("in", "path"),
        ("far", "call"),
        ("v", "1"),
        ("a", "ö &="),
        ("include[]", "x[*]"),
        ("include[]", "y"),
        ("yes", "true"),
        ("n", "3"),
    ]


async def test_json_and_bytes_are_sent_as_bodies() -> None:
    as_json, as_bytes, as_null = await arrived(
        ("POST", "/x", {"json": {"a": [1, None]}}),
        ("post", "x", {"body": b"raw", "extra_headers": {"Content-Type": "text/plain"}}),
        ("PUT", "/x", {"json": None}),
    )
    assert (as_json.body, as_json.headers["content-type"]) == (
        b'{"a":[1,null]}',
        "application/json",
    )
    assert (as_bytes.method, as_bytes.target) == ("POST", "/v1/x")
    assert (as_bytes.body, as_bytes.headers["content-type"]) == (b"raw", "text/plain")
    assert as_null.body == b"null"


async def test_a_post_without_a_body_has_neither_content_nor_its_type() -> None:
    (request,) = await arrived(("POST", "/x", {}))
    assert (request.body, request.headers["content-length"]) == (b"", "0")
    assert "content-type" not in request.headers


async def test_a_body_of_megabytes_is_sent() -> None:
    (request,) = await arrived(("POST", "/x", {"body": b"x" * 3_000_000}))
    assert len(request.body) == 3_000_000


async def test_a_body_is_json_or_bytes_not_both() -> None:
    async with Client(api_key="") as client:
        with pytest.raises(TypeError, match="json or body"):
            await client.request("POST", "/x", json={}, body=b"")


@pytest.mark.parametrize(
    "path", ["https://other.example/x", "//other.example/x", "/a/../x", "..", "/a/./b"]
)
async def test_a_path_stays_below_the_base_url(path: str) -> None:
    async with Client(api_key="", base_url="http://127.0.0.1:9/v1") as client:
        with pytest.raises(ValueError, match="path below"):
            await client.request("GET", path)


@pytest.mark.parametrize("odd", ["../x?y", "a/b", "a#b", "ü %2e", "..%2f..", "a;b&c=d"])
async def test_an_id_cannot_change_the_path(odd: str) -> None:
    async with wire(answer(RUN)) as server, Client(api_key="", base_url=server.url) as client:
        await client.runs.retrieve("run_1", thread_id=odd)
        path = server.requests[0].target
        assert path.count("/") == "/v1/threads/x/runs/run_1".count("/")
        assert "?" not in path
        assert path.startswith("/v1/threads/")
        assert path.endswith("/runs/run_1")


@pytest.mark.parametrize("bad", ["", ".", "..", None, 7])
async def test_an_id_that_is_none_is_refused_by_its_name(bad: Any) -> None:
    async with Client(api_key="", base_url="http://127.0.0.1:9") as client:
        with pytest.raises(ValueError, match=r"^thread_id must be an id"):
            await client.runs.retrieve("run_1", thread_id=bad)
        with pytest.raises(ValueError, match=r"^run_id must be an id"):
            await client.runs.retrieve(bad, thread_id="thread_1")
        with pytest.raises(ValueError, match=r"^thread_id must be an id"):
            client.runs.list(bad)
        with pytest.raises(ValueError, match=r"^thread_id must be an id"):
            client.runs.stream(thread_id=bad, assistant_id="asst_1")


async def test_a_stream_is_asked_for_by_its_media_type() -> None:
    async with wire(STREAM_HEAD) as server, Client(api_key="", base_url=server.url) as client:
        await (await client._transport.open(Request(method="POST", path="/x"))).aclose()
        assert server.requests[0].headers["accept"] == "application/json, text/event-stream"


async def test_a_token_provider_is_asked_at_every_attempt() -> None:
    tokens = iter(["one", "two"])

    async def later() -> str:
        return next(tokens)

    first, second = await arrived(("GET", "/x", {}), ("GET", "/x", {}), api_key=later)
    assert first.headers["authorization"] == "Bearer one"
    assert second.headers["authorization"] == "Bearer two"
    (third,) = await arrived(("GET", "/x", {}), api_key=lambda: "plain")
    assert third.headers["authorization"] == "Bearer plain"


async def test_what_a_token_provider_raises_reaches_the_caller() -> None:
    def broken() -> str:
        raise OSError("the vault is sealed")

    with pytest.raises(OSError, match="the vault is sealed") as caught:
        await arrived(("GET", "/x", {}), api_key=broken)
    assert not isinstance(caught.value, AsyncRunsError)


async def test_requests_after_one_another_share_a_connection() -> None:
    async with wire(answer()) as server, Client(api_key="", base_url=server.url) as client:
        for _ in range(3):
            await client.request("GET", "/x")
        assert server.connections == 1


async def test_cookies_are_not_kept() -> None:
    async with (
        wire(answer(headers=("Set-Cookie: a=b; Path=/",))) as server,
        Client(api_key="", base_url=server.url) as client,
    ):
        await client.request("GET", "/x")
        await client.request("GET", "/x")
        assert "cookie" not in server.requests[1].headers


@pytest.mark.parametrize("header", ["Authorization", "api-key"])
@pytest.mark.parametrize("place", ["client", "call"])
async def test_a_none_leaves_the_credential_out(header: str, place: str) -> None:
    def provider() -> str:
        raise AssertionError("nobody needs a key")

    headers: dict[str, str | None] = {header.upper(): None}
    options = {"default_headers": headers} if place == "client" else {}
    call = {} if place == "client" else {"extra_headers": headers}
    (request,) = await arrived(("GET", "/x", call), api_key=provider, **options)
    assert {"authorization", "api-key"}.isdisjoint(request.headers)


@pytest.mark.parametrize("path", ["/%2e%2e/x", "/a/.%2E/b", "/a#b", "/a\r\nb", "//other/x"])
async def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="a path below"):
        await arrived(("GET", path, {}))


@pytest.mark.parametrize("value", [object(), {"a": 1}, [None]])
async def test_what_no_query_can_hold_is_a_type_error_that_names_it(value: object) -> None:
    with pytest.raises(TypeError, match="limit stands in the query"):
        await arrived(("GET", "/x", {"extra_query": {"limit": value}}))


@pytest.mark.parametrize("timeout", ["5", object()])
async def test_a_timeout_of_another_kind_is_a_type_error(timeout: Any) -> None:
    with pytest.raises(TypeError, match="timeout must be seconds"):
        await arrived(("GET", "/x", {"timeout": timeout}))
    with pytest.raises(TypeError, match="timeout must be seconds"):
        Client(timeout=timeout)
