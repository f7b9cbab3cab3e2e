"""A command's place to the command: imported when it is called for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

__all__ = ["LazyCommand"]


class LazyCommand(click.Command):
    """A command that is known by its name and summary until it is called.

    `target` is its place as `module:attribute`; it may be a group, too.
    """

    def __init__(self, name: str, target: str, summary: str, *, hidden: bool = False) -> None:
        super().__init__(name, short_help=summary, hidden=hidden)
        self._target = target

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Import the command, and go on with it."""
        module, _, attribute = self._target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command.make_context(info_name, args, parent, **extra)
