"""AzureClient: where it sends, and who it says it is."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.credentials import AccessToken, AccessTokenInfo

from asyncruns import AsyncRunsError, AzureClient, Client
from asyncruns.credentials import AzureToken
from tests.transport.wires import answer, wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.transport.wires import Arrived

SECRET = "secret-1234"
ENDPOINT = "https://mine.openai.azure.com"
COGNITIVE = "https://cognitiveservices.azure.com/.default"
FOUNDRY = "https://ai.azure.com/.default"
VARIABLES = (
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_AD_TOKEN",
    "OPENAI_API_VERSION",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
)


@pytest.fixture(autouse=True)
def own_world(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """Notes for what a token was asked; each is good for an hour."""

    def __init__(self, clock: Callable[[], float] = lambda: 0) -> None:
        self.clock = clock
        self.scopes: list[str] = []
        self.threads: set[int] = set()

    def token(self, scopes: tuple[str, ...]) -> AccessToken:
        self.scopes += scopes
        self.threads.add(threading.get_ident())
        return AccessToken(f"{SECRET}-{len(self.scopes)}", int(self.clock()) + 3600)


class AsyncCredential(Asked):
    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        await asyncio.sleep(0)
        return self.token(scopes)


class SyncCredential(Asked):
    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return self.token(scopes)


class RefreshingCredential(AsyncCredential):
    async def get_token_info(self, *scopes: str, **_: Any) -> AccessTokenInfo:
        token = self.token(scopes)
        return AccessTokenInfo(token.token, token.expires_on, refresh_on=int(self.clock()) + 60)


async def arrived(place: str = "azure_endpoint", path: str = "", **options: Any) -> Arrived:
    async with wire(answer()) as server:
        endpoint: Any = {place: server.url.removesuffix("/v1") + path}
        async with AzureClient(**endpoint, **options) as client:
            await client.request("GET", "/threads/thread_1")
        return server.requests[0]


@pytest.mark.anyio
async def test_a_key_goes_as_api_key_below_openai_with_the_version() -> None:
    request = await arrived(api_key=SECRET, api_version="2024-05-01-preview")
    assert request.target == "/openai/threads/thread_1?api-version=2024-05-01-preview"
    assert request.headers["api-key"] == SECRET
    assert {"authorization", "openai-beta", "openai-organization"}.isdisjoint(request.headers)


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/", "/openai", "/openai/", "/openai/v1"])
async def test_an_endpoint_may_have_its_prefix_already(path: str) -> None:
    request = await arrived(path=path, api_key=SECRET, api_version="v")
    assert request.target.startswith((path.rstrip("/") or "/openai") + "/threads/thread_1?")


@pytest.mark.anyio
async def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire(answer()) as server:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url.removesuffix("/v1"))
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", SECRET)
        monkeypatch.setenv("OPENAI_API_VERSION", "2025-01-01")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
        monkeypatch.setenv("OPENAI_ORG_ID", "org_other")
        async with AzureClient() as client:
            await client.request("GET", "/x")
        (request,) = server.requests
        assert request.target == "/openai/x?api-version=2025-01-01"
        assert request.headers["api-key"] == SECRET
        assert {"authorization", "openai-organization"}.isdisjoint(request.headers)


@pytest.mark.anyio
async def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "other")
    request = await arrived(azure_ad_token=SECRET, api_version="v")
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert "api-key" not in request.headers


@pytest.mark.anyio
async def test_an_entra_token_may_come_from_a_provider() -> None:
    async def provide() -> str:
        return SECRET

    for provider in (provide, lambda: SECRET):
        request = await arrived(azure_ad_token_provider=provider, api_version="v")
        assert request.headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [AsyncCredential, SyncCredential, RefreshingCredential])
async def test_a_credential_is_asked_for_the_scope_of_the_endpoint(kind: type[Asked]) -> None:
    credential = kind()
    request = await arrived(credential=credential, api_version="v")
    assert credential.scopes == [COGNITIVE]
    assert request.headers["authorization"] == f"Bearer {SECRET}-1"
    credential = kind()
    request = await arrived("project_endpoint", "/api/projects/p", credential=credential)
    assert credential.scopes == [FOUNDRY]
    assert request.target == "/api/projects/p/threads/thread_1?api-version=v1"
    credential = kind()
    await arrived("base_url", "/gate", credential=credential, scope="api://mine/.default")
    assert credential.scopes == ["api://mine/.default"]


@pytest.mark.anyio
async def test_a_gateway_s_prefix_is_taken_as_it_is() -> None:
    request = await arrived("base_url", "/gate/openai", api_key=SECRET)
    assert request.target == "/gate/openai/threads/thread_1"
    request = await arrived("base_url", "/gate", api_key=SECRET, api_version="v")
    assert request.target == "/gate/threads/thread_1?api-version=v"


@pytest.mark.anyio
async def test_headers_and_query_of_the_caller_s_own_are_added() -> None:
    request = await arrived(
        api_key=SECRET,
        api_version="v",
        default_headers={"OpenAI-Beta": "assistants=v2"},
        default_query={"a": "b"},
    )
    assert request.headers["openai-beta"] == "assistants=v2"
    assert request.target.endswith("?api-version=v&a=b")


@pytest.mark.anyio
async def test_a_sync_credential_does_not_block_the_loop() -> None:
    credential = SyncCredential()
    await AzureToken(credential, COGNITIVE).headers()
    assert threading.get_ident() not in credential.threads


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "kept"), [(AsyncCredential, 3299), (SyncCredential, 3299), (RefreshingCredential, 59)]
)
async def test_a_token_is_kept_until_shortly_before_it_expires(
    kind: type[Asked], kept: float
) -> None:
    clock = Clock()
    credential: Any = kind(clock)
    token = AzureToken(credential, COGNITIVE, clock=clock)
    same = await asyncio.gather(*(token.headers() for _ in range(10)))
    clock.now += kept
    same.append(await token.headers())
    assert same == [{"Authorization": f"Bearer {SECRET}-1"}] * 11
    clock.now += 1
    assert await token.headers() == {"Authorization": f"Bearer {SECRET}-2"}
    assert len(credential.scopes) == 2


@pytest.mark.anyio
async def test_what_a_credential_raises_reaches_the_caller() -> None:
    class Broken:
        async def get_token(self, *_: str) -> AccessToken:
            raise ConnectionError("no vault")

    with pytest.raises(ConnectionError, match="no vault"):
        await arrived(credential=Broken(), api_version="v")


@pytest.mark.anyio
async def test_a_token_that_no_header_can_hold_is_not_shown() -> None:
    with pytest.raises(AsyncRunsError, match="characters that no header can hold") as caught:
        await arrived(azure_ad_token=f"{SECRET}\n", api_version="v")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"api_key": "a", "azure_ad_token": "b"},
            "takes one credential, and not both api_key and azure_ad_token",
        ),
        ({"api_key": "a", "credential": AsyncCredential()}, "not both api_key and credential"),
        ({}, "no credential: pass one of api_key, azure_ad_token, .* or set AZURE_OPENAI_API_KEY"),
        ({"api_key": "a", "base_url": "http://x"}, "one endpoint, and not both azure_endpoint and"),
        ({"api_key": "a", "api_version": None}, "no API version: pass api_version=… or set OPENAI"),
        ({"api_key": "a", "azure_endpoint": None}, "no endpoint: pass one of azure_endpoint, proj"),
        (
            {"api_key": "a", "azure_endpoint": None, "project_endpoint": "https://x"},
            "a Foundry project takes Entra tokens, and no api_key",
        ),
        (
            {"azure_endpoint": None, "project_endpoint": "https://x"},
            "no credential: pass one of .*, credential$",
        ),
    ],
)
def test_what_is_missing_or_there_twice_is_said(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"azure_endpoint": ENDPOINT, "api_version": "v", **options}
    with pytest.raises(ValueError, match=message):
        AzureClient(**given)


def test_two_credentials_in_the_environment_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", SECRET)
    with pytest.raises(ValueError, match="not both api_key and azure_ad_token") as caught:
        AzureClient(azure_endpoint=ENDPOINT, api_version="v")
    assert SECRET not in str(caught.value)


@pytest.mark.anyio
async def test_secrets_show_nowhere() -> None:
    token = AzureToken(AsyncCredential(), COGNITIVE)
    await token.headers()
    clients = [
        AzureClient(azure_endpoint=ENDPOINT, api_version="v", api_key=SECRET),
        AzureClient(azure_endpoint=ENDPOINT, api_version="v", azure_ad_token=SECRET),
    ]
    assert repr(clients[0]) == "AzureClient(base_url='https://mine.openai.azure.com/openai')"
    for client in clients:
        assert SECRET not in repr(client)
        assert SECRET not in repr(client._transport.settings)
    assert SECRET not in repr(token)


@pytest.mark.anyio
async def test_any_client_takes_an_azure_token_as_its_key() -> None:
    async with wire(answer()) as server:
        key = AzureToken(AsyncCredential(), FOUNDRY)
        async with Client(api_key=key, base_url=server.url) as client:
            await client.request("GET", "/x")
        assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}-1"


@pytest.mark.anyio
async def test_a_token_that_still_holds_is_sent_where_renewing_fails() -> None:
    class Failing:
        clock, asked = Clock(), 0

        async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
            self.asked += 1
            if self.asked > 1:
                raise RuntimeError("the directory is down")
            return AccessToken(SECRET, int(self.clock.now) + 3600)

    credential = Failing()
    token = AzureToken(credential, COGNITIVE, clock=credential.clock)
    await token.headers()
    credential.clock.now += 3400
    assert await token.headers() == {"Authorization": f"Bearer {SECRET}"}
    assert credential.asked == 2
    credential.clock.now += 300
    with pytest.raises(RuntimeError, match="the directory is down"):
        await token.headers()


def test_what_is_no_credential_or_no_resource_is_said() -> None:
    options: Any = {"azure_endpoint": ENDPOINT, "api_version": "v"}
    with pytest.raises(TypeError, match=r"credential must be .* not str"):
        AzureClient(**options, credential="token")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="without /deployments/"):
        AzureClient(
            azure_endpoint=f"{ENDPOINT}/openai/deployments/gpt", api_version="v", api_key=SECRET
        )
    with pytest.raises(ValueError, match=r"pass one of azure_ad_token, .*, credential$"):
        AzureClient(project_endpoint="https://x.services.ai.azure.com/api/projects/p")


@pytest.mark.anyio
async def test_a_provider_of_something_else_is_said() -> None:
    async with Client(api_key=lambda: b"key", base_url="http://127.0.0.1:9") as client:  # type: ignore[arg-type,return-value]
        with pytest.raises(AsyncRunsError, match="must be a string, not bytes"):
            await client.threads.retrieve("t")
