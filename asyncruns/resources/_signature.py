"""`**params: Unpack[…]` to a signature that shows, and at a call checks, every keyword."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, Required, TypeVar, get_args, get_origin

from msgspec import UNSET

from asyncruns.resources.parameters import RequestOptions

__all__ = ["keywords"]

P = ParamSpec("P")
R = TypeVar("R")


def keywords(method: Callable[P, R]) -> Callable[P, R]:
    """Spell out the keywords that a method takes as `**params: Unpack[SomeTypedDict]`.

    `inspect.signature` and `help` show them all, and a call with an unknown keyword, or without a
    required one, raises TypeError as any function does, before the method runs. The module must
    not postpone its annotations.
    """
    signature = inspect.signature(method)
    *own, variadic = signature.parameters.values()
    (declared,) = get_args(variadic.annotation)
    required = declared.__required_keys__
    known = {parameter.name for parameter in own} | declared.__annotations__.keys()

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not required <= kwargs.keys() <= known:
            raise TypeError(_complaint(method, kwargs.keys() - known, required - kwargs.keys()))
        return method(*args, **kwargs)

    parameters = [*own, *_parameters(declared)]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call


def _parameters(declared: Any) -> list[inspect.Parameter]:
    """The keywords of a TypedDict; those that every call takes come last."""
    options = RequestOptions.__annotations__
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if name in declared.__required_keys__ else UNSET,
            annotation=get_args(annotation)[0]
            if get_origin(annotation) is Required
            else annotation,
        )
        for name, annotation in sorted(
            declared.__annotations__.items(), key=lambda item: item[0] in options
        )
    ]


def _complaint(method: Callable[..., object], unknown: set[str], missing: set[str]) -> str:
    name = method.__qualname__
    if unknown:
        return f"{name}() got an unexpected keyword argument {min(unknown)!r}"
    return f"{name}() is missing the required keyword argument {min(missing)!r}"
