"""Options to a client: where the server is, and who asks."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from asyncruns.cli.flags import Flag
from asyncruns.cli.values import COUNT, HEADER, SECONDS, TEXT, URL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncruns import Client

__all__ = ["CONNECTION", "Connection"]

CONNECTION: Final = (
    Flag(
        "api-key", HEADER, "The key; an empty one for servers that ask for none. [OPENAI_API_KEY]"
    ),
    Flag("base-url", URL, "The prefix of all paths; OpenAI's own unless given. [OPENAI_BASE_URL]"),
    Flag("organization", HEADER, "Who pays, as a header. [OPENAI_ORG_ID]"),
    Flag("project", HEADER, "The project, as a header. [OPENAI_PROJECT_ID]"),
    Flag("timeout", SECONDS, "Seconds that one attempt at a request may take; 60 unless given."),
    Flag("max-retries", COUNT, "How often a failed request may be sent again; 2 unless given."),
    Flag(
        "azure-endpoint",
        URL,
        "An Azure OpenAI resource, instead of --base-url. [AZURE_OPENAI_ENDPOINT]",
    ),
    Flag("api-version", TEXT, "The version of Azure's API. [OPENAI_API_VERSION]"),
)

_KEYS: Final = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN")
_OPENAI: Final = ("OPENAI_BASE_URL", "OPENAI_API_KEY")
_OPENAI_ONLY: Final = ("base_url", "organization", "project")

_NO_KEY: Final = (
    "no API key: give --api-key or set OPENAI_API_KEY; servers that ask for none take --api-key ''"
)

_SECRET: Final = 8
"""How long a key must be to be one: shorter ones are words that stand elsewhere, too."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What is said of the server, on the command line and in the environment."""

    options: Mapping[str, Any] = field(repr=False)
    """Those of CONNECTION that are given, by the names that clients have for them."""

    def open(self) -> Client:
        """Make the client, of OpenAI's kind or Azure's; `async with` closes it.

        Raises click.UsageError for what no client can be made of.
        """
        # aiohttp comes with it, and help needs none.
        from asyncruns import AzureClient, Client  # noqa: PLC0415

        azure = self._is_azure()
        if not azure and "api_key" not in self.options and not os.environ.get("OPENAI_API_KEY"):
            raise click.UsageError(_NO_KEY)
        try:
            return AzureClient(**self.options) if azure else Client(**self.options)
        except ValueError as exc:
            raise click.UsageError(self.conceal(str(exc))) from exc

    def conceal(self, text: str) -> str:
        """Take the keys out of a text: servers quote the one that they refuse."""
        secrets = [self.options.get("api_key"), *map(os.environ.get, _KEYS)]
        for secret in secrets:
            if secret and len(secret) >= _SECRET:
                text = text.replace(secret, "…")
        return text

    def _is_azure(self) -> bool:
        """Whether Azure is meant: by a flag, or by the environment and nothing against it."""
        if {"azure_endpoint", "api_version"} & self.options.keys():
            for name in _OPENAI_ONLY:
                if name in self.options:
                    flag = name.replace("_", "-")
                    raise click.UsageError(f"'--{flag}' means nothing to Azure")
            return True
        against = {"base_url"} & self.options.keys() or any(map(os.environ.get, _OPENAI))
        return bool(os.environ.get("AZURE_OPENAI_ENDPOINT")) and not against
