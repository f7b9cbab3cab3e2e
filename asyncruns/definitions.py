"""Python functions to tool definitions: name, description, JSON schema, and arguments from JSON.

What a function is called, says and takes is read from itself: from its signature, its annotations
and its docstring, through `functools.partial`, decorators and callable objects.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import UNSET

from asyncruns.models import FunctionDefinition, FunctionTool, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["RunContext", "ToolFunction"]


class RunContext(msgspec.Struct, frozen=True):
    """What a tool may know of the run that calls it.

    A parameter annotated with this class gets it, and stays out of the tool's schema.
    """

    run: Run
    """The run, as it asked for the call."""
    call_id: str
    """The tool call's id."""

    @property
    def idempotency_key(self) -> str:
        """The run's id and the call's: the same whenever, and wherever, the call is carried out.

        A call whose worker died is carried out again, and its effect should not come twice.
        """
        return f"{self.run.id}:{self.call_id}"


class ToolFunction:
    """One function as a tool.

    Raises ValueError for a name that the API does not take, and TypeError for a signature that
    has no schema, naming the parameter.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> None:
        self.function = function
        target = _target(function)
        self.is_async = inspect.iscoroutinefunction(target)
        self.name = _checked_name(_name(function) if name is None else name)
        documented = _documentation(target)
        self._context_names: list[str] = []
        fields: list[Any] = []
        defaults: dict[str, Any] = {}
        for parameter, hint in _parameters(function, target, self.name):
            if _takes_context(hint):
                self._context_names.append(parameter.name)
            elif parameter.default is parameter.empty:
                fields.append((parameter.name, hint))
            else:
                # The function has its default itself; the schema only tells of it.
                fields.append((parameter.name, hint, msgspec.field(default_factory=_unset)))
                defaults[parameter.name] = parameter.default
        arguments = msgspec.defstruct(
            f"{self.name}.arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        self._decoder = msgspec.json.Decoder(arguments)
        schema = _schema(arguments, documented.parameters, defaults)
        self.definition = FunctionTool(
            function=FunctionDefinition(
                name=self.name,
                description=(documented.text if description is None else description) or None,
                parameters=schema,
                strict=True if _is_strict(schema) else None,
            )
        )

    def keywords(self, arguments: str, context: RunContext) -> dict[str, Any]:
        """The keyword arguments of a call, from the JSON text that the model wrote.

        Raises msgspec.MsgspecError for a text that is no JSON or does not validate, and whatever
        the constructors of the annotated types raise.
        """
        decoded = self._decoder.decode(arguments.strip().encode("utf-8", "replace") or b"{}")
        given = msgspec.structs.asdict(decoded).items()
        keywords = {name: value for name, value in given if value is not UNSET}
        return keywords | dict.fromkeys(self._context_names, context)


def _unset() -> Any:
    return UNSET


_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            f"a tool cannot be named {name!r}: a name has 1 to 64 letters, digits, underscores "
            "and dashes; pass another name="
        )
    return name


def _unbound(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _name(function: Callable[..., Any]) -> str:
    whole = _unbound(function)
    return str(getattr(whole, "__name__", type(whole).__name__))


def _target(function: Callable[..., Any]) -> Any:
    """The object that carries the annotations and the docstring of a callable."""
    whole = _unbound(function)
    if inspect.isroutine(whole) or isinstance(whole, type):
        return whole
    return type(whole).__call__


# The signature


_BY_NAME: Final = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def _parameters(
    function: Callable[..., Any], target: Any, tool: str
) -> Iterator[tuple[inspect.Parameter, Any]]:
    """The parameters that a call gives by name, each with the type that its annotation means."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (NameError, TypeError, ValueError) as exc:
        raise TypeError(f"the signature of tool {tool!r} cannot be read: {exc}") from exc
    # What a partial has bound is the caller's, and none of the model's business.
    bound = function.keywords if isinstance(function, functools.partial) else {}
    namespace = getattr(inspect.unwrap(target), "__globals__", {})
    for parameter in parameters:
        if parameter.name in bound:
            continue
        where = f"the parameter {parameter.name!r} of tool {tool!r}"
        if parameter.kind not in _BY_NAME:
            raise TypeError(f"{where} cannot be passed by name")
        if parameter.annotation is parameter.empty:
            raise TypeError(f"{where} has no annotation")
        try:
            yield parameter, _schemable(parameter.annotation, namespace)
        except Exception as exc:  # an annotation may be any expression, and raise anything
            reason = str(exc).rpartition("\n")[2]
            raise TypeError(f"{where} has no JSON schema: {reason}") from exc


def _schemable(annotation: Any, namespace: dict[str, Any]) -> Any:
    """The type that an annotation means; raises what says why it has no schema."""
    # One at a time, so that no other annotation, the return type for one, needs to resolve.
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    hint = typing.get_type_hints(holder, namespace, include_extras=True)["it"]
    if not _takes_context(hint):
        msgspec.json.schema(hint)
        msgspec.json.Decoder(hint)
    return hint


def _takes_context(hint: Any) -> bool:
    """Whether a parameter is for the run's context: `RunContext`, or `RunContext | None`.

    Raises TypeError for a union with anything else, which the model would have to fill in.
    """
    while typing.get_origin(hint) is Annotated:
        hint = hint.__origin__
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    members = typing.get_args(hint) if is_union else (hint,)
    if RunContext not in members:
        return False
    if not all(member in (RunContext, types.NoneType) for member in members):
        raise TypeError("RunContext goes with no other type")
    return True


# The docstring


class _Documentation(msgspec.Struct):
    text: str = ""
    parameters: dict[str, str] = {}


def _documentation(target: Any) -> _Documentation:
    """What a docstring says of a function, and of its parameters if a parser is installed."""
    docstring = inspect.getdoc(target) or ""
    summary = _Documentation(docstring.partition("\n\n")[0])
    try:
        import docstring_parser  # noqa: PLC0415 -- an extra, imported only where it is used
    except ImportError:
        return summary
    try:
        parsed = docstring_parser.parse(docstring)
    except Exception:  # noqa: BLE001 -- prose is no code: no wording of it is an error
        return summary
    parameters = {
        name.strip(): item.description
        for item in parsed.params
        for name in item.arg_name.split(",")  # NumPy documents several at once: `x, y : int`
        if item.description
    }
    return _Documentation(parsed.description or "", parameters)


# The schema


def _schema(
    arguments: type[msgspec.Struct], descriptions: dict[str, str], defaults: dict[str, Any]
) -> dict[str, Any]:
    """The JSON schema of the arguments, with what it refers to under `$defs`."""
    (root,), components = msgspec.json.schema_components((arguments,))
    schema: dict[str, Any] = components.pop(root["$ref"].rpartition("/")[2])
    del schema["title"]
    for name, described in schema["properties"].items():
        if name in descriptions:
            described.setdefault("description", descriptions[name])
        if name in defaults and (default := _as_json(defaults[name])) is not UNSET:
            described["default"] = default
    if components:
        schema["$defs"] = components
    for one in list(_nested(schema)):
        _refine(one)
    return schema


def _as_json(default: Any) -> Any:
    """A default in JSON's types; UNSET where JSON cannot hold it."""
    try:
        plain = msgspec.json.decode(msgspec.json.encode(default))
    except Exception:  # noqa: BLE001 -- any object may be a default, and its encoding fail anyhow
        return UNSET
    return UNSET if plain is None and default is not None else plain


def _nested(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and every schema in it."""
    yield schema
    inner = [
        *schema.get("properties", {}).values(),
        *schema.get("$defs", {}).values(),
        *schema.get("anyOf", ()),
        *schema.get("prefixItems", ()),
        schema.get("items"),
        schema.get("additionalProperties"),
    ]
    for one in inner:
        if isinstance(one, dict):
            yield from _nested(one)


_JSON_TYPES: Final = {str: "string", int: "integer", type(None): "null"}


def _refine(schema: dict[str, Any]) -> None:
    """Say what strict function calling wants said, and any reader may."""
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    if "enum" in schema:
        kinds = list({_JSON_TYPES[type(value)]: None for value in schema["enum"]})
        schema["type"] = kinds[0] if len(kinds) == 1 else kinds
    if "$ref" in schema and len(schema) > 1:
        schema["anyOf"] = [{"$ref": schema.pop("$ref")}]  # nothing may stand beside a $ref


_STRICT_KEYWORDS: Final = {
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "description",
    "enum",
    "items",
    "properties",
    "required",
    "title",
    "type",
}
# The limits of the narrowest server (Azure): a schema that passes them is refused with a 400.
_STRICT_PROPERTIES: Final = 100
_STRICT_VALUES: Final = 250
_STRICT_LEVELS: Final = 5


def _is_strict(schema: dict[str, Any]) -> bool:
    """Whether a schema keeps to the subset that strict function calling takes everywhere.

    Every property is required, no object takes others, only plain keywords are used, and the
    whole keeps to the limits.
    """
    parts = list(_nested(schema))
    return (
        all(map(_is_plain, parts))
        and sum(len(one.get("properties", ())) for one in parts) <= _STRICT_PROPERTIES
        and sum(len(one.get("enum", ())) for one in parts) <= _STRICT_VALUES
        and _levels(schema, schema.get("$defs", {}), {}) <= _STRICT_LEVELS
    )


def _is_plain(schema: dict[str, Any]) -> bool:
    if not schema.keys() <= _STRICT_KEYWORDS or not schema.keys() & {"type", "$ref", "anyOf"}:
        return False  # a schema of anything at all is empty
    if schema.get("type") == "array":
        return "items" in schema
    if schema.get("type") == "object":
        names = schema.get("properties")
        is_closed = schema.get("additionalProperties") is False
        return names is not None and is_closed and set(schema.get("required", ())) == set(names)
    return True


def _levels(schema: dict[str, Any], definitions: dict[str, Any], known: dict[str, int]) -> int:
    """How deep objects and arrays stand in each other; what refers to itself counts once."""
    reference = schema.get("$ref")
    if reference is not None:
        if reference not in known:
            known[reference] = 0
            target = definitions[reference.removeprefix("#/$defs/")]
            known[reference] = _levels(target, definitions, known)
        return known[reference]
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    inner += [schema["items"]] if "items" in schema else []
    here = schema.get("type") in ("object", "array")
    return here + max((_levels(one, definitions, known) for one in inner), default=0)
