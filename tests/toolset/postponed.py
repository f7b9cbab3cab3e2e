"""Functions whose annotations are strings, to be registered from another module."""

from __future__ import annotations

import functools
from typing import Any

import msgspec


class Place(msgspec.Struct):
    city: str


def get_weather(place: Place) -> str:
    return place.city


class Station:
    def measure(self, place: Place) -> str:
        return place.city

    def __call__(self, place: Place) -> str:
        return place.city


@functools.wraps(get_weather)
def wrapped(*args: Any) -> Any:
    return args
