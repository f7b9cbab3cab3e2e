"""Steps of a run: list, retrieve (reference: Run steps)."""

from typing import Final, Unpack

from asyncruns import raw
from asyncruns.models import ObjectDecoder, RunStep
from asyncruns.pages import RUN_STEP_PAGE, Paginator
from asyncruns.resources._base import Resource, request_of
from asyncruns.resources._signature import keywords
from asyncruns.resources.parameters import IncludeParams, StepListParams
from asyncruns.transport import path_of

__all__ = ["Steps"]

_RUN_STEP: Final[ObjectDecoder[RunStep]] = ObjectDecoder(RunStep)


class Steps(Resource):
    """The endpoints of a run's steps."""

    @property
    def with_raw_response(self) -> "RawSteps":
        """The methods that send one request, giving status, headers and body as they came."""
        return RawSteps(Steps(self._transport, raw.unread))

    @keywords
    async def retrieve(
        self, step_id: str, *, thread_id: str, run_id: str, **params: Unpack[IncludeParams]
    ) -> RunStep:
        """Give a step."""
        template = "/threads/{thread_id}/runs/{run_id}/steps/{step_id}"
        path = path_of(template, thread_id=thread_id, run_id=run_id, step_id=step_id)
        return await self._ask(_RUN_STEP, request_of("GET", path, params))

    @keywords
    def list(
        self, run_id: str, *, thread_id: str, **params: Unpack[StepListParams]
    ) -> Paginator[RunStep]:
        """Give a run's steps: `await` for one page, `async for` for all of them."""
        template = "/threads/{thread_id}/runs/{run_id}/steps"
        path = path_of(template, thread_id=thread_id, run_id=run_id)
        return Paginator(self._transport, request_of("GET", path, params), RUN_STEP_PAGE)


class RawSteps:
    """The methods of Steps that send one request, each giving a RawResponse.

    Statuses of errors are raised as ever.
    """

    def __init__(self, steps: Steps) -> None:
        self.retrieve = raw.single(steps.retrieve)
        self.list = raw.page(steps.list)
