"""Flags to parameters: what is given on the command line becomes one dict, ready to be sent.

A flag whose value is an object has inner flags, dotted: `--truncation-strategy.type auto` sets one
field of the object. Of a flag that makes a list, an inner flag sets a field of the newest item, or
begins the next item where that has the field already. A whole value takes the place of what the
same flag has set before it; in a list it is one more item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import click
from click.shell_completion import CompletionItem

from asyncruns.cli.values import BOOLEAN, LISTS, TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asyncruns.cli.values import Kind

__all__ = ["Flag", "FlagOption", "undotted"]

Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of the reference: `--name VALUE`, and the parameter that it sets."""

    name: str
    """As it is written, without the dashes in front."""
    kind: Kind
    help: str
    parameter: str = ""
    """The parameter's name, where it is not the flag's own with underscores."""
    required: bool = False
    inner: tuple[Flag, ...] = ()
    """The fields of its object, or of each of its items."""
    open: bool = False
    """Whether its object takes any field: pairs of the caller's own."""

    @property
    def field(self) -> str:
        """The name of the parameter, or of the field."""
        return self.parameter or self.name.replace("-", "_")

    @property
    def many(self) -> bool:
        """Whether each value is an item of a list."""
        return self.kind in LISTS

    def nested(self) -> Iterator[tuple[str, Path, Flag]]:
        """Its inner flags, each with its full name and its place in the object.

        They are named as the fields are. What lies inside the items of an inner list has no name.
        """
        for inner in self.inner:
            own = f"{self.name}.{inner.field.replace('_', '-')}"
            yield own, (inner.field,), inner
            for name, path, flag in () if inner.many else inner.nested():
                yield f"{own}{name.removeprefix(inner.name)}", (inner.field, *path), flag


class Given(NamedTuple):
    """A value that is given, and where in the flag's parameter it belongs."""

    path: Path
    value: Any
    many: bool
    """Whether it is an item of a list."""


class Dotted(str):
    """A word of the command line that follows a dotted flag."""

    __slots__ = ("name",)
    name: str
    """The flag, with its dashes."""

    def __new__(cls, word: str, name: str) -> Self:
        """Note with the word which flag it follows."""
        made = super().__new__(cls, word)
        made.name = name
        return made


class FlagOption(click.Option):
    """The option of a flag and of its inner flags; `fold` makes one value of all that is given."""

    def __init__(self, flag: Flag) -> None:
        self.flag = flag
        self.places: dict[str, tuple[Path, Flag]] = {f"--{flag.name}": ((), flag)}
        self.places.update((f"--{name}", (path, inner)) for name, path, inner in flag.nested())
        optional_value: Any = {"is_flag": False, "flag_value": "true"}
        super().__init__(
            [flag.field, *self.places],
            type=_FlagType(flag),
            help=flag.help,
            metavar=flag.kind.metavar,
            multiple=True,
            **(optional_value if flag.kind is BOOLEAN else {}),
        )

    def read(self, word: str) -> Given:
        """Read the word that follows the flag or one of its inner ones.

        Raises click.BadParameter for one that makes no value.
        """
        name = word.name if isinstance(word, Dotted) else f"--{self.flag.name}"
        path, flag = self.place(name) or ((), self.flag)
        try:
            return Given(path, flag.kind.read(str(word)), flag.many)
        except ValueError as exc:
            raise click.BadParameter(str(exc), param_hint=f"'{name}'") from exc

    def fold(self, given: Iterable[Given], start: Any = None) -> Any:
        """Make one value of what is given; `start` is the object that inner flags change.

        Raises click.BadParameter for a field of something that is no object.
        """
        value: Any = [] if self.flag.many else start
        for path, item, many in given:
            if not path:
                value = _with(value, item) if many and item is not None else item
            elif self.flag.many:
                new = not value or (not many and _is_set(value[-1], path))
                newest = None if new else value.pop()
                value.append(self._set(newest, path, item, many=many))
            else:
                value = self._set(value, path, item, many=many)
        return value

    def help_rows(self) -> Iterator[tuple[str, str]]:
        """What help says of the flag, and of each of its inner ones."""
        own = f"--{self.flag.name}"
        for name, (_, flag) in self.places.items():
            shown = name if name == own else f"  {name.removeprefix(own)}"
            yield _row(shown, flag)
            if flag.open:
                yield f"  {name.removeprefix(own)}.KEY TEXT", "The pair with this key."

    def get_help_record(
        self,
        ctx: click.Context,  # noqa: ARG002 -- click's signature
    ) -> tuple[str, str] | None:
        """What help says of the flag alone, by its one name."""
        return next(self.help_rows())

    def get_error_hint(
        self,
        ctx: click.Context | None,  # noqa: ARG002 -- click's signature
    ) -> str:
        """Name the flag alone."""
        return f"'--{self.flag.name}'"

    def place(self, name: str) -> tuple[Path, Flag] | None:
        """Where a flag's value belongs, and how it is read; None if the flag is not of this one."""
        if name in self.places:
            return self.places[name]
        for outer, (path, flag) in self.places.items():
            key = name.removeprefix(f"{outer}.")
            if flag.open and key and key != name:
                return (*path, key), Flag(name, TEXT, "")
        return None

    def _set(self, value: Any, path: Path, item: Any, *, many: bool) -> Any:
        """Give the object with a field set; the object itself stays as it is."""
        if value is not None and not isinstance(value, dict):
            hint = f"'--{self.flag.name}'"
            raise click.BadParameter(f"{value!r} has no field '{path[0]}'", param_hint=hint)
        name, *below = path
        new = (value or {}).get(name)
        if below:
            new = self._set(new, tuple(below), item, many=many)
        else:
            new = _with(new, item) if many else item
        return {**(value or {}), name: new}


def _row(name: str, flag: Flag) -> tuple[str, str]:
    facts = ["required"] * flag.required + ["repeatable"] * flag.many
    text = f"{flag.help}  [{', '.join(facts)}]" if facts else flag.help
    return f"{name} {flag.kind.metavar}", text


class _FlagType(click.ParamType[Any]):
    def __init__(self, flag: Flag) -> None:
        self.name = flag.kind.metavar
        self._words = flag.kind.words

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,  # noqa: ARG002 -- click's signature
    ) -> Any:
        """Read a word; what has been read stays as it is."""
        if isinstance(value, str) and isinstance(param, FlagOption):
            return param.read(value)
        return value

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 -- click's signature
        param: click.Parameter,  # noqa: ARG002 -- the same
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the values that are known."""
        return [CompletionItem(word) for word in self._words if word.startswith(incomplete)]


def undotted(parameters: Iterable[click.Parameter], words: Sequence[str]) -> list[str]:
    """Write dotted flags as the flag that they belong to; the word after one knows its name.

    Click would not say which of an option's names was used.
    """
    options = [param for param in parameters if isinstance(param, click.Option)]
    named = {name: option for option in options if not option.is_flag for name in option.opts}
    rest, written = list(words), list[str]()
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*written, word, *rest]
        name, equals, value = word.partition("=")
        option = named.get(name) or _open(named, name)
        if option is None or not (equals or _takes(option, rest)):
            written.append(word)  # click knows what to say of it
            continue
        if isinstance(option, FlagOption) and "." in name:
            written += [f"--{option.flag.name}", Dotted(value if equals else rest.pop(0), name)]
        else:
            written += [word] if equals else [word, rest.pop(0)]
    return written


def _open(options: Mapping[str, click.Option], name: str) -> FlagOption | None:
    """The flag that takes any field, where a dotted name begins with it."""
    option = options.get(name.partition(".")[0])
    return option if isinstance(option, FlagOption) and option.place(name) else None


def _takes(option: click.Option, rest: Sequence[str]) -> bool:
    """Whether the next word is the option's value, as click would have it."""
    may_stand_alone = isinstance(option, FlagOption) and option.flag.kind is BOOLEAN
    return bool(rest) and not (may_stand_alone and rest[0].startswith("-"))


def _with(items: Any, item: Any) -> list[Any]:
    """A list and one item more, or several."""
    return [*(items or ()), *(item if isinstance(item, list) else [item])]


def _is_set(item: Any, path: Path) -> bool:
    for name in path:
        if not isinstance(item, dict) or name not in item:
            return False
        item = item[name]
    return True
