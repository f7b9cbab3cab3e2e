"""A key to the metadata of a run that carries it: how a run is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEDUPE_KEY", "with_dedupe_key"]

DEDUPE_KEY: Final = "asyncruns_dedupe_key"
"""The metadata key under which a run carries the caller's `dedupe_key`."""

MAX_PAIRS: Final = 16
"""How many metadata pairs an object can have."""

MAX_VALUE: Final = 512
"""How many characters the value of a metadata pair can have."""


def with_dedupe_key(params: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """The parameters of a create with the key in the metadata; ValueError if it has no room."""
    if key is None:
        return dict(params)
    if not 0 < len(key) <= MAX_VALUE:
        raise ValueError(f"dedupe_key must have 1 to {MAX_VALUE} characters, and has {len(key)}")
    if "metadata" in (params.get("extra_body") or {}):
        raise ValueError("with a dedupe_key, metadata must not be passed in extra_body")
    metadata = {**(params.get("metadata") or {}), DEDUPE_KEY: key}
    if len(metadata) > MAX_PAIRS:
        raise ValueError(
            f"metadata has {MAX_PAIRS} pairs already: no room for the dedupe_key; drop one"
        )
    return {**params, "metadata": metadata}
