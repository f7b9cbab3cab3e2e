"""Functions to definitions: names, descriptions, schemas, and what is refused.

Without `from __future__ import annotations`, so that types of a test's own can be annotations.
"""

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import msgspec
import pytest

from asyncruns import RunContext, Toolset
from asyncruns.models import FunctionDefinition, to_dict
from tests.toolset import postponed

JSONObject = dict[str, Any]


def definition(function: Callable[..., Any], **options: Any) -> FunctionDefinition:
    toolset = Toolset()
    toolset.tool(**options)(function)
    (tool,) = toolset.definitions
    return tool.function


def schema(function: Callable[..., Any]) -> JSONObject:
    parameters = definition(function, name="it").parameters
    assert parameters is not None
    return parameters


def of(kind: Any) -> Any:
    """The schema of a parameter of a type, with what it refers to beside it."""

    def it(value: Any) -> None: ...

    it.__annotations__["value"] = kind
    whole = schema(it)
    assert whole["required"] == ["value"]
    assert whole["additionalProperties"] is False
    return whole["properties"]["value"] | ({"$defs": whole["$defs"]} if "$defs" in whole else {})


def is_strict(*kinds: Any) -> bool:
    def it(value: Any) -> None: ...

    toolset = Toolset()
    for number, kind in enumerate(kinds):
        it.__annotations__["value"] = kind
        toolset.tool(name=f"tool_{number}")(it)
    stricts = {tool.function.strict for tool in toolset.definitions}
    assert stricts <= {True, None}
    (strict,) = stricts
    return strict is True


# Registering


def get_weather(city: str) -> str:
    """Tell the weather."""
    return city


def test_functions_are_registered_by_the_constructor_by_calls_and_as_decorators() -> None:
    toolset = Toolset(get_weather)

    @toolset.tool
    def plain() -> None: ...

    @toolset.tool(name="renamed", description="Another text.")
    def with_options() -> None:
        """Its own text."""

    returned = toolset.tool(name="again")(get_weather)
    assert returned is get_weather
    assert plain.__name__ == "plain"
    assert [tool.function.name for tool in toolset.definitions] == [
        "get_weather",
        "plain",
        "renamed",
        "again",
    ]
    assert [tool.function.description for tool in toolset.definitions] == [
        "Tell the weather.",
        None,
        "Another text.",
        "Tell the weather.",
    ]


def test_a_definition_is_the_json_that_the_api_takes() -> None:
    assert to_dict(Toolset(get_weather).definitions) == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Tell the weather.",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                    "additionalProperties": False,
                },
                "strict": True,
            },
        }
    ]


def test_the_empty_description_leaves_the_docstring_out() -> None:
    assert definition(get_weather, description="").description is None


def test_a_name_can_be_taken_once() -> None:
    toolset = Toolset(get_weather)
    with pytest.raises(ValueError, match="there is a tool named 'get_weather' already"):
        toolset.tool(get_weather)
    assert len(toolset.definitions) == 1
    toolset.tool(name="get_weather_again")(get_weather)
    assert len(toolset.definitions) == 2


@pytest.mark.parametrize("name", ["", "a b", "a.b", "é", "a" * 65, "<lambda>", "a\n", "a/b"])
def test_a_name_that_the_api_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be named .* 1 to 64 letters"):
        definition(get_weather, name=name)


@pytest.mark.parametrize("name", ["a", "a" * 64, "get-weather_2", "A", "0"])
def test_a_name_that_the_api_takes_is_taken(name: str) -> None:
    assert definition(get_weather, name=name).name == name


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ValueError, match=r"cannot be named '<lambda>'.*pass another name="):
        Toolset(lambda: 1)
    assert definition(lambda: 1, name="one").name == "one"


# Kinds of callables


class Station:
    """A weather station."""

    def measure(self, place: str) -> str:
        """Measure at a place."""
        return place

    @classmethod
    def by_class(cls, place: str) -> str:
        return place

    @staticmethod
    def by_itself(place: str) -> str:
        return place

    def __call__(self, place: str) -> str:
        """Call the station."""
        return place


class Silent:
    """A station that says nothing of calls."""

    def __call__(self, place: str) -> None: ...


PLACE = {"place": {"type": "string"}}


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (Station().measure, "measure"),
        (Station.by_class, "by_class"),
        (Station.by_itself, "by_itself"),
        (Station(), "Station"),
    ],
)
def test_methods_and_callable_objects_are_tools(function: Callable[..., Any], name: str) -> None:
    made = definition(function)
    assert made.name == name
    assert made.parameters is not None
    assert made.parameters["properties"] == PLACE


def test_a_callable_object_is_described_by_its_call() -> None:
    assert definition(Station()).description == "Call the station."


def test_a_partial_is_named_and_described_as_its_function() -> None:
    made = definition(functools.partial(get_weather))
    assert (made.name, made.description) == ("get_weather", "Tell the weather.")
    assert definition(functools.partial(Station())).name == "Station"


def search(index: str, query: str, *, key: str, limit: int = 3) -> str:
    return f"{index} {query} {key} {limit}"


def test_what_a_partial_has_bound_is_not_in_the_schema() -> None:
    bound = functools.partial(search, "books", key="secret")
    made = schema(bound)
    assert made["properties"] == {
        "query": {"type": "string"},
        "limit": {"type": "integer", "default": 3},
    }
    assert "secret" not in str(made)
    twice = functools.partial(functools.partial(search, key="secret"), "books", limit=1)
    assert schema(twice)["properties"] == {"query": {"type": "string"}}


def test_a_decorated_function_is_read_through_its_wraps() -> None:
    @functools.wraps(get_weather)
    def wrapper(*args: Any, **kwargs: Any) -> Any: ...

    made = definition(wrapper)
    assert (made.name, made.description) == ("get_weather", "Tell the weather.")
    assert made.parameters is not None
    assert made.parameters["properties"] == {"city": {"type": "string"}}


def test_postponed_annotations_are_read_where_they_were_written() -> None:
    @functools.wraps(postponed.get_weather)
    def wrapped_here(*args: Any) -> Any: ...

    for function in (
        wrapped_here,
        postponed.get_weather,
        functools.partial(postponed.get_weather),
        postponed.Station().measure,
        postponed.Station(),
        postponed.wrapped,
    ):
        made = schema(function)
        assert made["properties"]["place"] == {"$ref": "#/$defs/Place"}
        assert list(made["properties"]) == ["place"]
        assert made["$defs"]["Place"]["properties"] == {"city": {"type": "string"}}


# Types


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class City(msgspec.Struct):
    """A city."""

    name: str
    country: str | None


class Tree(msgspec.Struct):
    label: str
    children: list["Tree"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Literal["b", "a"], {"type": "string", "enum": ["a", "b"]}),
        (
            Literal[2, "a", None],  # noqa: PYI061 -- one enum, and not a union
            {"type": ["null", "integer", "string"], "enum": [None, 2, "a"]},
        ),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (dt.date, {"type": "string", "format": "date"}),
        (
            Annotated[int, msgspec.Meta(ge=1, description="How many.")],
            {"type": "integer", "minimum": 1, "description": "How many."},
        ),
        (Annotated[str, "a note"], {"type": "string"}),
    ],
)
def test_each_type_has_its_schema(kind: Any, expected: JSONObject) -> None:
    assert of(kind) == expected


def test_an_enum_tells_its_values_and_their_type() -> None:
    assert of(Color)["$defs"]["Color"] == {
        "title": "Color",
        "enum": ["blue", "red"],
        "type": "string",
    }
    assert of(Size)["$defs"]["Size"]["type"] == "integer"


def test_objects_are_closed_and_stand_under_defs() -> None:
    assert of(Point) == {
        "$ref": "#/$defs/Point",
        "$defs": {
            "Point": {
                "title": "Point",
                "type": "object",
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
                "required": ["x"],
                "additionalProperties": False,
            }
        },
    }
    assert of(Movie)["$defs"]["Movie"]["required"] == ["title"]
    assert of(City)["$defs"]["City"]["description"] == "A city."
    assert of(City)["$defs"]["City"]["additionalProperties"] is False


def test_recursive_types_refer_to_themselves() -> None:
    tree = of(Tree)["$defs"]["Tree"]
    assert tree["properties"]["children"] == {"type": "array", "items": {"$ref": "#/$defs/Tree"}}


def test_a_type_that_is_called_like_the_tool_is_no_trouble() -> None:
    def make(value: City) -> None: ...

    made = definition(make, name="City")
    assert made.parameters is not None
    assert made.parameters["properties"] == {"value": {"$ref": "#/$defs/City"}}
    assert list(made.parameters["$defs"]) == ["City"]


def test_nothing_stands_beside_a_reference() -> None:
    def it(where: Annotated[City, msgspec.Meta(description="Which city.")]) -> None: ...

    assert schema(it)["properties"]["where"] == {
        "anyOf": [{"$ref": "#/$defs/City"}],
        "description": "Which city.",
    }
    assert definition(it).strict is True


# Defaults


def test_defaults_are_told_and_the_parameter_is_not_required() -> None:
    def it(  # noqa: PLR0917 -- one of each
        a: int,
        b: str = "x",
        c: list[int] = [1],  # noqa: B006 -- the point
        d: dict[str, int] = {},  # noqa: B006 -- the same
        e: City | None = None,
        f: Color = Color.RED,
        g: City = City("Oslo", None),  # noqa: B008 -- the same
        *,
        h: dt.date = dt.date(2026, 1, 2),
    ) -> None: ...

    made = schema(it)
    assert made["required"] == ["a"]
    told = {name: one.get("default") for name, one in made["properties"].items()}
    assert told == {
        "a": None,
        "b": "x",
        "c": [1],
        "d": {},
        "e": None,
        "f": "red",
        "g": {"name": "Oslo", "country": None},
        "h": "2026-01-02",
    }
    assert "default" in made["properties"]["e"]
    assert "default" not in made["properties"]["a"]


def test_a_default_that_json_cannot_hold_is_kept_to_oneself() -> None:
    def it(a: int = object(), b: float = float("inf")) -> None: ...  # type: ignore[assignment]

    made = schema(it)
    assert made["properties"] == {"a": {"type": "integer"}, "b": {"type": "number"}}
    assert made["required"] == []


# Strict


class Six(msgspec.Struct):
    it: list[list[list[list[list[int]]]]]


OPEN = {"properties": {"a": {"type": "integer"}}, "required": ["a"]}
Wide = msgspec.defstruct("Wide", [(f"field_{number}", int) for number in range(100)])
Many = enum.Enum("Many", {f"m{number}": f"v{number}" for number in range(251)})  # type: ignore[misc]
Enough = enum.Enum("Enough", {f"m{number}": f"v{number}" for number in range(250)})  # type: ignore[misc]


def test_strict_is_on_where_every_rule_of_strict_function_calling_holds() -> None:
    assert is_strict(
        str,
        int,
        float,
        bool,
        None,
        int | None,
        Literal["a", "b"],
        Literal[1, None],  # noqa: PYI061 -- as above
        Color,
        Size,
        list[str],
        list[list[int]],
        City,
        list[City | None],
        Tree,
        Enough,
        int | str | None,
    )
    assert definition(lambda: 1, name="nothing").strict is True


def test_strict_is_off_where_a_rule_does_not_hold() -> None:
    assert not is_strict(
        Any,
        list,
        list[Any],
        dict,
        dict[str, int],
        tuple[int, str],
        set[int],
        Movie,
        Point,
        list[Point],
        dt.date,
        bytes,
        decimal.Decimal,
        Annotated[int, msgspec.Meta(ge=1)],
        Annotated[str, msgspec.Meta(min_length=1)],
        Annotated[str, msgspec.Meta(pattern="a")],
        Annotated[int, msgspec.Meta(extra_json_schema={"default": 1})],
        Annotated[dict[str, int], msgspec.Meta(extra_json_schema=OPEN)],
        Annotated[dict[str, Any], msgspec.Meta(extra_json_schema={"properties": {"a": {}}})],
        list[Annotated[str, msgspec.Meta(max_length=3)]],
        Six,
        Wide,
        Many,
    )


def test_strict_is_off_where_a_parameter_has_a_default() -> None:
    def it(a: int, b: int = 1) -> None: ...

    assert definition(it).strict is None


# Docstrings


GOOGLE = """Tell the weather
of a city.

It is a forecast.

Args:
    city (str): The city's name.
    days: How many days,
        at most ten.

Returns:
    The weather.
"""

NUMPY = """Tell the weather
of a city.

It is a forecast.

Parameters
----------
city : str
    The city's name.
days : int
    How many days,
    at most ten.
"""

REST = """Tell the weather
of a city.

It is a forecast.

:param city: The city's name.
:param int days: How many days,
    at most ten.
:returns: The weather.
"""


def described(docstring: str) -> FunctionDefinition:
    def get_forecast(city: str, days: int) -> None: ...

    get_forecast.__doc__ = docstring
    return definition(get_forecast)


def descriptions(made: FunctionDefinition) -> dict[str, str]:
    assert made.parameters is not None
    return {
        name: one["description"]
        for name, one in made.parameters["properties"].items()
        if "description" in one
    }


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_a_docstring_describes_the_tool_and_its_parameters(docstring: str) -> None:
    made = described(docstring)
    assert made.description == "Tell the weather\nof a city.\n\nIt is a forecast."
    assert descriptions(made) == {
        "city": "The city's name.",
        "days": "How many days,\nat most ten.",
    }
    assert made.strict is True


def test_numpy_may_document_several_parameters_at_once() -> None:
    made = described("Add.\n\nParameters\n----------\ncity, days : int\n    A number.\n")
    assert descriptions(made) == {"city": "A number.", "days": "A number."}


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        "One line.",
        "One line.\n\n: :",
        "One line.\n\n:param",
        "One line.\n\nArgs:\n",
        "One line.\n\nNote: a: b",
    ],
)
def test_any_docstring_will_do(docstring: str) -> None:
    made = described(docstring)
    assert descriptions(made) == {}
    assert (made.description or "").startswith(docstring[:9])


def test_without_the_parser_the_summary_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docstring_parser", None)  # an import now fails
    made = described(GOOGLE)
    assert made.description == "Tell the weather\nof a city."
    assert descriptions(made) == {}


def test_an_annotation_describes_a_parameter_before_the_docstring_does() -> None:
    def it(city: Annotated[str, msgspec.Meta(description="By type.")]) -> None:
        """Do it.

        Args:
            city: By docstring.
        """

    assert descriptions(definition(it)) == {"city": "By type."}


def test_a_parameter_of_an_object_type_is_described_too() -> None:
    def it(where: City) -> None:
        """Do it.

        Args:
            where: Which city.
            other: There is no such parameter.
        """

    assert descriptions(definition(it)) == {"where": "Which city."}


# The run's context


@pytest.mark.parametrize(
    "kind",
    [
        RunContext,
        RunContext | None,
        Optional[RunContext],  # noqa: UP045 -- the older form, too
        Annotated[RunContext, "a note"],
    ],
)
def test_a_parameter_for_the_context_is_left_out_of_the_schema(kind: Any) -> None:
    def it(city: str, context: Any) -> None:
        """Do it.

        Args:
            city: A city.
            context: The run.
        """

    it.__annotations__["context"] = kind

    made = definition(it)
    assert made.parameters is not None
    assert list(made.parameters["properties"]) == ["city"]
    assert made.parameters["required"] == ["city"]
    assert made.strict is True


# What is refused


class Opaque:
    pass


class Broken(msgspec.Struct):
    it: "list[Nowhere]"  # type: ignore[name-defined]  # noqa: F821 -- the point


class Odd(enum.Enum):
    ONE = 1
    TWO = "two"


def unannotated(a: int, b) -> None: ...  # type: ignore[no-untyped-def]
def variadic(a: int, *b: int) -> None: ...
def open_ended(a: int, **b: int) -> None: ...
def positional(a: int, b: int, /) -> None: ...
def positional_context(b: RunContext, /) -> None: ...
def ambiguous(b: RunContext | str) -> None: ...
def opaque(b: Opaque) -> None: ...
def callback(b: Callable[[int], int]) -> None: ...
def union(b: City | Tree) -> None: ...
def odd(b: Odd) -> None: ...
def broken(b: Broken) -> None: ...
def unresolved(b: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821 -- the point
def garbled(b: "int |") -> None: ...  # type: ignore[valid-type]  # noqa: F722 -- the point
def raising(b: "1 / 0") -> None: ...  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (unannotated, "has no annotation"),
        (variadic, "cannot be passed by name"),
        (open_ended, "cannot be passed by name"),
        (positional, "cannot be passed by name"),
        (positional_context, "cannot be passed by name"),
        (ambiguous, "has no JSON schema: RunContext goes with no other type"),
        (opaque, "has no JSON schema: .*Opaque"),
        (callback, "has no JSON schema: .*Callable"),
        (union, "has no JSON schema: .*must be tagged"),
        (odd, "has no JSON schema: "),
        (broken, "has no JSON schema: name 'Nowhere' is not defined"),
        (unresolved, "has no JSON schema: name 'Nowhere' is not defined"),
        (garbled, "has no JSON schema: "),
        (raising, "has no JSON schema: division by zero"),
    ],
)
def test_a_signature_without_a_schema_is_refused_by_function_and_parameter(
    function: Callable[..., Any], fault: str
) -> None:
    name = function.__name__
    parameter = "'a'" if function is positional else "'b'"
    with pytest.raises(TypeError, match=f"the parameter {parameter} of tool '{name}' {fault}"):
        Toolset(function)


def test_a_callable_without_a_signature_is_refused() -> None:
    with pytest.raises(TypeError, match="the signature of tool 'it' cannot be read"):
        definition(max, name="it")


def test_a_return_type_that_cannot_be_read_does_not_matter() -> None:
    def it(a: int) -> "Nowhere": ...  # type: ignore[name-defined]  # noqa: F821 -- the point

    assert schema(it)["required"] == ["a"]
