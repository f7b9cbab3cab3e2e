"""A command that asks a server: its flags and its body to a connection and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from asyncruns import AsyncRunsError
from asyncruns.cli.body import BODY, read_body
from asyncruns.cli.connection import CONNECTION, Connection
from asyncruns.cli.flags import FlagOption, undotted
from asyncruns.cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncruns.cli.flags import Flag

__all__ = ["Failure", "RequestCommand"]

_HELP_COLUMN: Final = 28
"""How wide the column with the flags is; the help of one that is longer begins below it."""

_INNER_HELP: Final = (
    "An indented flag is a field of the one above it: '.type' below '--tool' is written "
    "'--tool.type'. Where that is repeatable, a field that is given again begins the next one."
)


class Failure(click.ClickException):
    """A command that could not do what it was to do: one line on stderr, exit code 1."""

    exit_code = 1


class RequestCommand(click.Command):
    """A command with an endpoint's flags and those of the connection.

    Its callback gets `connection`, a Connection; `params`, the endpoint's parameters by their
    names, each as it is to be sent; and whatever other options it has. With `takes_body` the
    parameters may also come as JSON: see `read_body`; one that `streams` needs no `stream` in it,
    and the others refuse it. Errors of asyncruns become a Failure, with every key taken out of its
    text.
    """

    def __init__(
        self,
        name: str | None,
        *,
        flags: Sequence[Flag],
        takes_body: bool = False,
        streams: bool = False,
        params: Sequence[click.Parameter] = (),
        **settings: Any,
    ) -> None:
        self.flags = flags
        self.takes_body = takes_body
        self._streams = streams
        body = [BODY] if takes_body else []
        options = [FlagOption(flag) for flag in (*flags, *body, *CONNECTION)]
        self._gathered = {option.name for option in options}
        super().__init__(name, params=[*options, *params], **settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, dotted flags among them."""
        return super().parse_args(ctx, undotted(self.params, args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags into the help: the endpoint's, the command's own, the connection's."""
        rows: dict[str, list[tuple[str, str]]] = {"Parameters": [], "Options": [], "Server": []}
        for param in self.get_params(ctx):
            if isinstance(param, FlagOption):
                section = "Server" if param.flag in CONNECTION else "Parameters"
                rows[section] += param.help_rows()
            elif isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                rows["Options"].append(record)
        for section, records in rows.items():
            if not records:
                continue
            with formatter.section(section):
                formatter.write_dl(records, col_max=_HELP_COLUMN)
            if any(name.startswith(" ") for name, _ in records):
                formatter.write_paragraph()
                formatter.write_text(_INNER_HELP)

    def invoke(self, ctx: click.Context) -> Any:
        """Gather what is given, and call the callback with it."""
        root = ctx.find_root()
        connection = Connection({**_gather(root, CONNECTION), **_gather(ctx, CONNECTION)})
        body = read_body(_gather(ctx, [BODY]).get(BODY.field)) if self.takes_body else {}
        params = {**self._parted(body), **_gather(ctx, self.flags, body)}
        for flag in self.flags:
            if flag.required and flag.field not in params:
                raise click.UsageError(f"Missing option '--{flag.name}'.", ctx)
        others = {name: ctx.params[name] for name in ctx.params if name not in self._gathered}
        ctx.params = {**others, "connection": connection, "params": params}
        try:
            return super().invoke(ctx)
        except AsyncRunsError as exc:
            raise Failure(connection.conceal(one_line(str(exc)))) from exc

    def _parted(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body's members as parameters; what no flag knows is sent along as it is."""
        if self._streams:
            body = {name: value for name, value in body.items() if name != "stream"}
        elif body.get("stream"):
            raise click.UsageError("'stream' is not for this command: see 'asyncruns runs stream'")
        known = {flag.field for flag in self.flags}
        params = {name: value for name, value in body.items() if name in known}
        extra = {name: value for name, value in body.items() if name not in known}
        return {**params, "extra_body": extra} if extra else params


def _gather(
    ctx: click.Context, flags: Sequence[Flag], start: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Fold what is given for each flag; flags that are not given are not there."""
    folded: dict[str, Any] = {}
    for option in ctx.command.params:
        if isinstance(option, FlagOption) and option.flag in flags:
            given = ctx.params.get(option.flag.field)
            if given:
                before = None if start is None else start.get(option.flag.field)
                folded[option.flag.field] = option.fold(given, before)
    return folded
