"""Azure's endpoints and credentials to a client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Unpack
from urllib.parse import urlsplit

from asyncruns.client import Client, ClientOptions
from asyncruns.credentials import AzureKey, AzureToken, BearerKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncruns.credentials import AzureCredential, Credential, TokenProvider

__all__ = ["AzureClient"]

OPENAI_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
"""What a token for an Azure OpenAI resource is asked for."""

FOUNDRY_SCOPE: Final = "https://ai.azure.com/.default"
"""What a token for a Foundry project is asked for."""

FOUNDRY_VERSION: Final = "v1"
"""The API version of Foundry projects unless one is given."""

_ENDPOINTS: Final = {"azure_endpoint": "AZURE_OPENAI_ENDPOINT"}
_KEYS: Final = {"api_key": "AZURE_OPENAI_API_KEY", "azure_ad_token": "AZURE_OPENAI_AD_TOKEN"}
"""Arguments, and the variables that stand in for them."""

_OPENAI_ONLY: Final = {"OpenAI-Beta": None, "OpenAI-Organization": None, "OpenAI-Project": None}
"""Headers that mean nothing to Azure."""


class AzureClient(Client):
    """A client of an Azure OpenAI resource or of a Foundry project.

    - `azure_endpoint`: of an Azure OpenAI resource, such as `https://mine.openai.azure.com`, else
      AZURE_OPENAI_ENDPOINT.
    - `project_endpoint`: instead, of a Foundry project, such as
      `https://mine.services.ai.azure.com/api/projects/first`. It takes tokens only.
    - `base_url`: instead, the prefix of all paths, for a gateway in front of either.
    - `api_version`: else OPENAI_API_VERSION; for a project `v1` unless given.
    - Who you are, one of:
      `api_key`, a key or a function that gives one, else AZURE_OPENAI_API_KEY;
      `azure_ad_token`, an Entra token, else AZURE_OPENAI_AD_TOKEN;
      `azure_ad_token_provider`, a function, sync or async, that gives one at every attempt;
      `credential`, any credential of azure-identity (the extra `azure`), sync or async.
    - `scope`: what `credential` is asked for, unless it is Azure's own of the endpoint.

    All other options are those of Client. Raises ValueError where an endpoint, a version or a
    credential is missing, or there are two of them.
    """

    def __init__(
        self,
        *,
        azure_endpoint: str | None = None,
        project_endpoint: str | None = None,
        base_url: str | None = None,
        api_version: str | None = None,
        api_key: str | TokenProvider | None = None,
        azure_ad_token: str | None = None,
        azure_ad_token_provider: TokenProvider | None = None,
        credential: AzureCredential | None = None,
        scope: str | None = None,
        default_headers: Mapping[str, str | None] | None = None,
        default_query: Mapping[str, object] | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        place, url = _only(
            "endpoint",
            _ENDPOINTS,
            azure_endpoint=azure_endpoint,
            project_endpoint=project_endpoint,
            base_url=base_url,
        )
        foundry = place == "project_endpoint"
        if foundry and api_key is not None:
            raise ValueError("a Foundry project takes Entra tokens, and no api_key")
        kind, secret = _only(
            "credential",
            {} if foundry else _KEYS,
            **({} if foundry else {"api_key": api_key}),
            azure_ad_token=azure_ad_token,
            azure_ad_token_provider=azure_ad_token_provider,
            credential=credential,
        )
        scope = scope or (FOUNDRY_SCOPE if foundry else OPENAI_SCOPE)
        super().__init__(
            api_key=_credential(kind, secret, scope),
            base_url=_with_prefix(url) if place == "azure_endpoint" else url,
            default_headers={**_OPENAI_ONLY, **(default_headers or {})},
            default_query={"api-version": _version(place, api_version), **(default_query or {})},
            **options,
        )


def _only(what: str, variables: Mapping[str, str], **given: Any) -> tuple[str, Any]:
    """The one argument that is given, or else stands in the environment: its name and value."""
    found = {name: value for name, value in given.items() if value is not None}
    if not found:
        told = {name: os.environ.get(variable) for name, variable in variables.items()}
        found = {name: value for name, value in told.items() if value}
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        raise ValueError(f"AzureClient takes one {what}, and not both {' and '.join(found)}")
    instead = f", or set {' or '.join(variables.values())}" if variables else ""
    raise ValueError(f"no {what}: pass one of {', '.join(given)}{instead}")


def _credential(kind: str, secret: Any, scope: str) -> Credential:
    if kind == "credential":
        if not (hasattr(secret, "get_token") or hasattr(secret, "get_token_info")):
            named = type(secret).__name__
            raise TypeError(f"credential must be one of azure-core's kind (get_token), not {named}")
        return AzureToken(secret, scope)
    return AzureKey(secret) if kind == "api_key" else BearerKey(secret)


def _with_prefix(endpoint: str) -> str:
    """The paths of an Azure OpenAI resource stand below /openai, and never below a deployment."""
    url = endpoint.rstrip("/")
    if "/deployments/" in f"{urlsplit(url).path}/":
        raise ValueError("azure_endpoint must be the resource's address, without /deployments/…")
    return url if "/openai" in urlsplit(url).path else f"{url}/openai"


def _version(place: str, given: str | None) -> str | None:
    if place == "project_endpoint":
        return given or FOUNDRY_VERSION
    version = given or os.environ.get("OPENAI_API_VERSION")
    if not version and place == "azure_endpoint":
        raise ValueError("no API version: pass api_version=… or set OPENAI_API_VERSION")
    return version
