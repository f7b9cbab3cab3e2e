"""A run's events to browsers: server-sent bytes for one of them, or for many.

::

    return StreamingResponse(relay(client.runs.stream(...)), headers=HEADERS)

`relay` hands a stream on to one browser and lives as long as its answer does. `Broadcast` reads a
stream once for many: tabs, and browsers that come back.
"""

from asyncruns.relay.broadcast import Broadcast, Subscription
from asyncruns.relay.frames import HEADERS
from asyncruns.relay.single import Relay, relay

__all__ = ["HEADERS", "Broadcast", "Relay", "Subscription", "relay"]
