"""Refused requests: what is wrong, as the error body that the client gets."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A request that is answered with an HTTP error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str = "invalid_request_error",  # noqa: A002 -- the wire's own name for it
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.type = type

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """Return a 400."""
    return ApiError(400, message, param=param, code=code)


def missing(param: str) -> ApiError:
    """Return the 400 for a parameter that was left out."""
    return bad_request(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def not_found(kind: str, wanted: str) -> ApiError:
    """Return the 404 for an id that the emulator does not know."""
    return ApiError(404, f"No {kind} found with id '{wanted}'.")
