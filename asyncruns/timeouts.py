"""How long each part of a request may take."""

from __future__ import annotations

import msgspec

__all__ = ["Timeout"]


class Timeout(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that the parts of one attempt at a request may take; None for no limit.

    Wherever a timeout is taken, a number is a `total`, and the rest is as here.
    """

    total: float | None = 60.0
    """From the token to the end of the answer; of a stream, until its headers have come."""
    connect: float | None = 5.0
    """To look the host up, connect and agree on TLS."""
    pool: float | None = None
    """To wait for one of the client's connections; within the total in any case."""
    write: float | None = 30.0
    """Until the other side takes the next piece of the request's body."""
    read: float | None = None
    """Between two pieces of the answer, in a stream, too."""

    @classmethod
    def of(cls, given: Timeout | float | None) -> Timeout:
        """Give the limits that a number, or None, stands for; raises TypeError for others."""
        if isinstance(given, Timeout):
            return given
        if given is not None and not isinstance(given, int | float):
            kind = type(given).__name__
            raise TypeError(f"timeout must be seconds, a Timeout of asyncruns or None, not {kind}")
        return cls(total=given)
