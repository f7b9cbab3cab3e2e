"""Errors, as a stream's `error` event and the bodies of failed requests carry them."""

from __future__ import annotations

from asyncruns.models._base import Model

__all__ = ["ErrorObject"]


class ErrorObject(Model, kw_only=True):
    """What the server says went wrong."""

    code: str | None = None
    """The error's code, such as `rate_limit_exceeded`; None where the server does not say."""
    message: str | None = None
    """The error in words; None where the server does not say."""
    param: str | None = None
    """The parameter that is to blame; None where there is none."""
    type: str | None = None
    """The kind of error, such as `server_error`; None where the server does not say."""
