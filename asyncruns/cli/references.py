"""`module:attribute` to an object of the user's own code."""

from __future__ import annotations

import inspect
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from asyncruns import Toolset

if TYPE_CHECKING:
    from asyncruns.emulator import Script

__all__ = ["Reference", "ScriptReference", "ToolsetReference"]

NAMES: Final = 8
"""How many names of a module are told where the one that was asked for is not there."""


class Reference(click.ParamType[Any]):
    """A command line's `module:attribute`, imported; anything wrong with it is bad input.

    Only what may be run anyway is imported: code that the user names. It is looked for in the
    current directory first, as `python -m` does.
    """

    name = "module:attribute"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Import the module, and give the attribute (dotted, for one inside another)."""
        module, colon, path = str(value).partition(":")
        if not (module and colon and path):
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)
        found: object = self._imported(module, param)
        for name in path.split("."):
            try:
                found = getattr(found, name)
            except AttributeError:
                self.fail(f"there is no {name!r} in {value!r}: {_said_there(found)}", param, ctx)
        return found

    def _imported(self, module: str, param: click.Parameter | None) -> object:
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            return import_module(module)
        except ModuleNotFoundError as exc:
            if exc.name is not None and f"{module}.".startswith(f"{exc.name}."):
                self.fail(f"there is no module {exc.name!r} in {here}, nor installed", param)
            self.fail(f"the module {module!r} imports {exc.name!r}, which is not there", param)
        except Exception as exc:  # noqa: BLE001 -- a foreign module may raise anything
            self.fail(f"the module {module!r} cannot be imported: {_reason(exc)}", param)


class ToolsetReference(Reference):
    """The place of a Toolset, of a function, or of a list of functions; gives a Toolset."""

    name = "module:toolset"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Toolset:
        """Import it, and make a Toolset of it where it is none."""
        if isinstance(value, Toolset):
            return value
        found = super().convert(value, param, ctx)
        if isinstance(found, Toolset):
            return found
        functions: Any = found if isinstance(found, list | tuple) else [found]
        if not functions or not all(callable(function) for function in functions):
            kind = type(found).__name__
            message = f"is neither a Toolset nor functions, but of the type {kind}"
            self.fail(f"{value!r} {message}", param, ctx)
        try:
            return Toolset(*functions)
        except (TypeError, ValueError) as exc:
            self.fail(f"{value!r} cannot be made a Toolset: {exc}", param, ctx)


class ScriptReference(Reference):
    """The place of a script of the emulator: an async generator function of one parameter."""

    name = "module:function"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Script:
        """Import it, and see that it is one."""
        found: Any = super().convert(value, param, ctx)
        if not inspect.isasyncgenfunction(found):
            message = "is no async generator function: it must be `async def` and `yield` actions"
            self.fail(f"{value!r} {message}", param, ctx)
        return cast("Script", found)


def _said_there(found: object) -> str:
    """What there is instead of a name that was not found."""
    names = [name for name in getattr(found, "__dict__", ()) if not name.startswith("_")]
    return f"it has {', '.join(sorted(names)[:NAMES])}" if names else "it has no names of its own"


def _reason(exc: Exception) -> str:
    """An exception in one line, with the place in the user's own code where it was raised."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    lines = f"{type(exc).__name__}: {exc}".splitlines()
    return f"{lines[0]} ({Path(frame.filename).name}, line {frame.lineno})"
