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
    Flag("api-key", HEADER, "The key; '' for servers that ask for none. [OPENAI_API_KEY]"),
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

_OPENAI_ONLY: Final = ("base_url", "organization", "project")
_AZURE_ONLY: Final = ("azure_endpoint", "api_version")

_NEEDED: Final = (("api_key", "API key", _KEYS[:1]),)
_NEEDED_BY_AZURE: Final = (
    ("azure_endpoint", "endpoint", ("AZURE_OPENAI_ENDPOINT",)),
    ("api_version", "API version", ("OPENAI_API_VERSION",)),
    ("api_key", "API key", _KEYS[1:]),
)
"""The options without which there is no client, what they are, and the variables instead."""

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
        from asyncruns import AzureClient, Client  # noqa: PLC0415 -- only when used

        azure = self._is_azure()
        for name, what, variables in _NEEDED_BY_AZURE if azure else _NEEDED:
            if name not in self.options and not any(map(os.environ.get, variables)):
                wanted = f"give {_flag(name)} or set {' or '.join(variables)}"
                raise click.UsageError(f"no {what}: {wanted}")
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
        against = [name for name in _OPENAI_ONLY if name in self.options]
        if any(name in self.options for name in _AZURE_ONLY):
            if against:
                raise click.UsageError(f"'{_flag(against[0])}' means nothing to Azure")
            return True
        told = any(map(os.environ.get, ("OPENAI_BASE_URL", "OPENAI_API_KEY")))
        return bool(os.environ.get("AZURE_OPENAI_ENDPOINT")) and not (against or told)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
