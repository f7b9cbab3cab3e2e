"""`**params: Unpack[…]` to a signature that shows, and at a call checks, every keyword."""

import inspect
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from functools import cache, wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, Required, TypeVar, get_args, get_origin

from msgspec import UNSET

from asyncruns.resources.parameters import RequestOptions

__all__ = ["keywords"]

P = ParamSpec("P")
R = TypeVar("R")


def keywords(method: Callable[P, R]) -> Callable[P, R]:
    """Spell out the keywords that a method takes as `**params: Unpack[SomeTypedDict]`.

    `inspect.signature` and `help` show them all, and a call with an unknown keyword, or without a
    required one, raises TypeError before the method runs. The module must not postpone its
    annotations.
    """
    signature = inspect.signature(method)
    *own, variadic = signature.parameters.values()
    (declared,) = get_args(variadic.annotation)
    required = declared.__required_keys__
    known = {parameter.name for parameter in own} | declared.__annotations__.keys()

    def check(keywords: AbstractSet[str]) -> None:
        if not required <= keywords <= known:
            raise TypeError(_complaint(method, keywords - known, required - keywords))

    # A coroutine function stays one: whoever wraps it, to try again or to trace, looks for that.
    call: Any = (
        _checked_async(method, check) if iscoroutinefunction(method) else _checked(method, check)
    )
    parameters = [*own, *_parameters(declared)]
    call.__signature__ = signature.replace(parameters=parameters)
    checked: Callable[P, R] = call
    return checked


def _checked(method: Callable[P, R], check: Callable[[AbstractSet[str]], None]) -> Any:
    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check(kwargs.keys())
        return method(*args, **kwargs)

    return call


def _checked_async(
    method: Callable[P, Awaitable[R]], check: Callable[[AbstractSet[str]], None]
) -> Any:
    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check(kwargs.keys())
        return await method(*args, **kwargs)

    return call


@cache  # many methods take the same
def _parameters(declared: Any) -> list[inspect.Parameter]:
    """The keywords of a TypedDict; those that every call takes come last."""
    options = RequestOptions.__annotations__
    annotations = sorted(declared.__annotations__.items(), key=lambda item: item[0] in options)
    return [
        _parameter(name, annotation, required=name in declared.__required_keys__)
        for name, annotation in annotations
    ]


@cache  # and most of those are in several TypedDicts
def _parameter(name: str, annotation: Any, *, required: bool) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else UNSET,
        annotation=get_args(annotation)[0] if get_origin(annotation) is Required else annotation,
    )


def _complaint(
    method: Callable[..., object], unknown: AbstractSet[str], missing: AbstractSet[str]
) -> str:
    name = method.__qualname__
    if unknown:
        return f"{name}() got an unexpected keyword argument {min(unknown)!r}"
    return f"{name}() is missing the required keyword argument {min(missing)!r}"
