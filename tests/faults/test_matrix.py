"""Every fault, in every call, with and without recovery: what comes of it, and what is left.

`done` is the call's own result, as the server has it, with the tool called once; `replaced` beside
it says that the text in the deltas was not the final one, and that the event which brought that is
marked so. The number is how many requests arrived; the text after it is what could be read of the
run's messages, from the stream or from its exception. A fault of streams leaves calls without one
`untouched`.

With recovery: two retries, a `dedupe_key` for what creates, `on_interrupt="recover"`. Without: none
of them. After each row no connection is in use or open, and no task is left.
"""

from __future__ import annotations

from typing import get_args

import pytest

from asyncruns.emulator.faults import Kind
from tests.faults.world import CALLS, ROWS, outcome

pytestmark = pytest.mark.anyio

TABLE = """
fault                | call     | with recovery                   | without
nobody listens       | create   | done 1                          | APIConnectionError 0
nobody listens       | retrieve | done 1                          | APIConnectionError 0
nobody listens       | stream   | done 2 OneTwoThreeFour          | APIConnectionError 0
nobody listens       | submit   | done 1 ThreeFour                | APIConnectionError 0
nobody listens       | poll     | done 1                          | done 1
nobody listens       | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour

the server restarts  | create   | done 2                          | AmbiguousRequestError 1
the server restarts  | retrieve | done 2                          | APIConnectionError 1
the server restarts  | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
the server restarts  | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
the server restarts  | poll     | done 2                          | done 2
the server restarts  | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

reset                | create   | done 2                          | AmbiguousRequestError 1
reset                | retrieve | done 2                          | APIConnectionError 1
reset                | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
reset                | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
reset                | poll     | done 2                          | done 2
reset                | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

reset before headers | create   | done 2                          | AmbiguousRequestError 1
reset before headers | retrieve | done 2                          | APIConnectionError 1
reset before headers | stream   | done 6 OneTwoThreeFour          | AmbiguousRequestError 1
reset before headers | submit   | AmbiguousRequestError 1         | AmbiguousRequestError 1
reset before headers | poll     | done 2                          | done 2
reset before headers | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

close                | create   | done 2                          | AmbiguousRequestError 1
close                | retrieve | done 2                          | APIConnectionError 1
close                | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
close                | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
close                | poll     | done 2                          | done 2
close                | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

close before headers | create   | done 2                          | AmbiguousRequestError 1
close before headers | retrieve | done 2                          | APIConnectionError 1
close before headers | stream   | done 6 OneTwoThreeFour          | AmbiguousRequestError 1
close before headers | submit   | AmbiguousRequestError 1         | AmbiguousRequestError 1
close before headers | poll     | done 2                          | done 2
close before headers | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

stall                | create   | done 2                          | AmbiguousRequestError 1
stall                | retrieve | done 2                          | APITimeoutError 1
stall                | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
stall                | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
stall                | poll     | done 2                          | done 2
stall                | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

stall before headers | create   | done 2                          | AmbiguousRequestError 1
stall before headers | retrieve | done 2                          | APITimeoutError 1
stall before headers | stream   | done 6 OneTwoThreeFour          | AmbiguousRequestError 1
stall before headers | submit   | AmbiguousRequestError 1         | AmbiguousRequestError 1
stall before headers | poll     | done 2                          | done 2
stall before headers | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

drip                 | create   | done 1                          | done 1
drip                 | retrieve | done 1                          | done 1
drip                 | stream   | done 2 OneTwoThreeFour          | done 2 OneTwoThreeFour
drip                 | submit   | done 1 ThreeFour                | done 1 ThreeFour
drip                 | poll     | done 1                          | done 1
drip                 | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour

truncate             | create   | done 2                          | AmbiguousRequestError 1
truncate             | retrieve | done 2                          | APIConnectionError 1
truncate             | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
truncate             | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
truncate             | poll     | done 2                          | done 2
truncate             | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

garbage              | create   | done 2                          | AmbiguousRequestError 1
garbage              | retrieve | done 2                          | APIConnectionError 1
garbage              | stream   | done 6 OneTwoThreeFour          | AmbiguousRequestError 1
garbage              | submit   | AmbiguousRequestError 1         | AmbiguousRequestError 1
garbage              | poll     | done 2                          | done 2
garbage              | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

html                 | create   | APIStatusError 1                | APIStatusError 1
html                 | retrieve | APIStatusError 1                | APIStatusError 1
html                 | stream   | APIStatusError 1                | APIStatusError 1
html                 | submit   | APIStatusError 1                | APIStatusError 1
html                 | poll     | APIStatusError 1                | APIStatusError 1
html                 | attach   | StreamInterrupted 1             | StreamInterrupted 1

html 502             | create   | InternalServerError 1           | InternalServerError 1
html 502             | retrieve | done 2                          | InternalServerError 1
html 502             | stream   | InternalServerError 1           | InternalServerError 1
html 502             | submit   | InternalServerError 1           | InternalServerError 1
html 502             | poll     | done 2                          | done 2
html 502             | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

json                 | create   | APIStatusError 1                | APIStatusError 1
json                 | retrieve | APIStatusError 1                | APIStatusError 1
json                 | stream   | APIStatusError 1                | APIStatusError 1
json                 | submit   | APIStatusError 1                | APIStatusError 1
json                 | poll     | APIStatusError 1                | APIStatusError 1
json                 | attach   | StreamInterrupted 1             | StreamInterrupted 1

429                  | create   | done 2                          | RateLimitError 1
429                  | retrieve | done 2                          | RateLimitError 1
429                  | stream   | done 3 OneTwoThreeFour          | RateLimitError 1
429                  | submit   | done 2 ThreeFour                | RateLimitError 1
429                  | poll     | done 2                          | done 2
429                  | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

429 with Retry-After | create   | done 2                          | RateLimitError 1
429 with Retry-After | retrieve | done 2                          | RateLimitError 1
429 with Retry-After | stream   | done 3 OneTwoThreeFour          | RateLimitError 1
429 with Retry-After | submit   | done 2 ThreeFour                | RateLimitError 1
429 with Retry-After | poll     | done 2                          | done 2
429 with Retry-After | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

500                  | create   | InternalServerError 1           | InternalServerError 1
500                  | retrieve | done 2                          | InternalServerError 1
500                  | stream   | InternalServerError 1           | InternalServerError 1
500                  | submit   | InternalServerError 1           | InternalServerError 1
500                  | poll     | done 2                          | done 2
500                  | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

503 with Retry-After | create   | done 2                          | InternalServerError 1
503 with Retry-After | retrieve | done 2                          | InternalServerError 1
503 with Retry-After | stream   | done 3 OneTwoThreeFour          | InternalServerError 1
503 with Retry-After | submit   | done 2 ThreeFour                | InternalServerError 1
503 with Retry-After | poll     | done 2                          | done 2
503 with Retry-After | attach   | done 5 OneTwoThreeFour          | done 5 OneTwoThreeFour

redirect             | create   | APIStatusError 1                | APIStatusError 1
redirect             | retrieve | APIStatusError 1                | APIStatusError 1
redirect             | stream   | APIStatusError 1                | APIStatusError 1
redirect             | submit   | APIStatusError 1                | APIStatusError 1
redirect             | poll     | APIStatusError 1                | APIStatusError 1
redirect             | attach   | StreamInterrupted 1             | StreamInterrupted 1

content type         | create   | done 1                          | done 1
content type         | retrieve | done 1                          | done 1
content type         | stream   | APIStatusError 1                | APIStatusError 1
content type         | submit   | APIStatusError 1                | APIStatusError 1
content type         | poll     | done 1                          | done 1
content type         | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour

gzip                 | create   | done 1                          | done 1
gzip                 | retrieve | done 1                          | done 1
gzip                 | stream   | done 2 OneTwoThreeFour          | done 2 OneTwoThreeFour
gzip                 | submit   | done 1 ThreeFour                | done 1 ThreeFour
gzip                 | poll     | done 1                          | done 1
gzip                 | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour

deflate              | create   | done 1                          | done 1
deflate              | retrieve | done 1                          | done 1
deflate              | stream   | done 2 OneTwoThreeFour          | done 2 OneTwoThreeFour
deflate              | submit   | done 1 ThreeFour                | done 1 ThreeFour
deflate              | poll     | done 1                          | done 1
deflate              | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour

bomb                 | create   | LimitExceededError 1            | LimitExceededError 1
bomb                 | retrieve | LimitExceededError 1            | LimitExceededError 1
bomb                 | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
bomb                 | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
bomb                 | poll     | LimitExceededError 1            | LimitExceededError 1
bomb                 | attach   | StreamInterrupted 1             | StreamInterrupted 1

giant line           | create   | LimitExceededError 1            | LimitExceededError 1
giant line           | retrieve | LimitExceededError 1            | LimitExceededError 1
giant line           | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
giant line           | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
giant line           | poll     | LimitExceededError 1            | LimitExceededError 1
giant line           | attach   | StreamInterrupted 1             | StreamInterrupted 1

invalid json         | create   | APIStatusError 1                | APIStatusError 1
invalid json         | retrieve | APIStatusError 1                | APIStatusError 1
invalid json         | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
invalid json         | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
invalid json         | poll     | APIStatusError 1                | APIStatusError 1
invalid json         | attach   | StreamInterrupted 1             | StreamInterrupted 1

invalid utf-8        | create   | done 1                          | done 1
invalid utf-8        | retrieve | done 1                          | done 1
invalid utf-8        | stream   | done 2 replaced OneTwoThreeFour | done 2 replaced OneTwoThreeFour
invalid utf-8        | submit   | done 1 replaced ThreeFour       | done 1 replaced ThreeFour
invalid utf-8        | poll     | done 1                          | done 1
invalid utf-8        | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour

nul                  | create   | APIStatusError 1                | APIStatusError 1
nul                  | retrieve | APIStatusError 1                | APIStatusError 1
nul                  | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
nul                  | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
nul                  | poll     | APIStatusError 1                | APIStatusError 1
nul                  | attach   | StreamInterrupted 1             | StreamInterrupted 1

duplicate            | create   | untouched, done 1               | untouched, done 1
duplicate            | retrieve | untouched, done 1               | untouched, done 1
duplicate            | stream   | done 2 replaced OneTwoThreeFour | done 2 replaced OneTwoThreeFour
duplicate            | submit   | done 1 replaced ThreeFour       | done 1 replaced ThreeFour
duplicate            | poll     | untouched, done 1               | untouched, done 1
duplicate            | attach   | done 4 replaced OneTwoThreeFour | done 4 replaced OneTwoThreeFour

drop                 | create   | untouched, done 1               | untouched, done 1
drop                 | retrieve | untouched, done 1               | untouched, done 1
drop                 | stream   | done 2 OneTwoThreeFour          | done 2 OneTwoThreeFour
drop                 | submit   | done 1 ThreeFour                | done 1 ThreeFour
drop                 | poll     | untouched, done 1               | untouched, done 1
drop                 | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour

reorder              | create   | untouched, done 1               | untouched, done 1
reorder              | retrieve | untouched, done 1               | untouched, done 1
reorder              | stream   | done 2 OneTwoThreeFour          | done 2 OneTwoThreeFour
reorder              | submit   | done 1 ThreeFour                | done 1 ThreeFour
reorder              | poll     | untouched, done 1               | untouched, done 1
reorder              | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour

negative index       | create   | untouched, done 1               | untouched, done 1
negative index       | retrieve | untouched, done 1               | untouched, done 1
negative index       | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
negative index       | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
negative index       | poll     | untouched, done 1               | untouched, done 1
negative index       | attach   | done 7 OneTwoThreeFour          | StreamInterrupted 4 OneTwoThree

huge index           | create   | untouched, done 1               | untouched, done 1
huge index           | retrieve | untouched, done 1               | untouched, done 1
huge index           | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
huge index           | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
huge index           | poll     | untouched, done 1               | untouched, done 1
huge index           | attach   | done 7 OneTwoThreeFour          | StreamInterrupted 4 OneTwoThree

error                | create   | untouched, done 1               | untouched, done 1
error                | retrieve | untouched, done 1               | untouched, done 1
error                | stream   | done 5 OneTwoThreeFour          | RunStreamError 1 One
error                | submit   | done 4 ThreeFour                | RunStreamError 1 Three
error                | poll     | untouched, done 1               | untouched, done 1
error                | attach   | done 7 OneTwoThreeFour          | RunStreamError 4 OneTwoThree

wrapped error        | create   | untouched, done 1               | untouched, done 1
wrapped error        | retrieve | untouched, done 1               | untouched, done 1
wrapped error        | stream   | done 5 OneTwoThreeFour          | RunStreamError 1 One
wrapped error        | submit   | done 4 ThreeFour                | RunStreamError 1 Three
wrapped error        | poll     | untouched, done 1               | untouched, done 1
wrapped error        | attach   | done 7 OneTwoThreeFour          | RunStreamError 4 OneTwoThree

early done           | create   | untouched, done 1               | untouched, done 1
early done           | retrieve | untouched, done 1               | untouched, done 1
early done           | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
early done           | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
early done           | poll     | untouched, done 1               | untouched, done 1
early done           | attach   | done 7 OneTwoThreeFour          | StreamInterrupted 4 OneTwoThree

no done              | create   | untouched, done 1               | untouched, done 1
no done              | retrieve | untouched, done 1               | untouched, done 1
no done              | stream   | done 2 OneTwoThreeFour          | done 2 OneTwoThreeFour
no done              | submit   | done 1 ThreeFour                | done 1 ThreeFour
no done              | poll     | untouched, done 1               | untouched, done 1
no done              | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour

end without done     | create   | untouched, done 1               | untouched, done 1
end without done     | retrieve | untouched, done 1               | untouched, done 1
end without done     | stream   | done 5 OneTwoThreeFour          | StreamInterrupted 1 One
end without done     | submit   | done 4 ThreeFour                | StreamInterrupted 1 Three
end without done     | poll     | untouched, done 1               | untouched, done 1
end without done     | attach   | done 7 OneTwoThreeFour          | StreamInterrupted 4 OneTwoThree

linger               | create   | untouched, done 1               | untouched, done 1
linger               | retrieve | untouched, done 1               | untouched, done 1
linger               | stream   | done 2 OneTwoThreeFour          | done 2 OneTwoThreeFour
linger               | submit   | done 1 ThreeFour                | done 1 ThreeFour
linger               | poll     | untouched, done 1               | untouched, done 1
linger               | attach   | done 4 OneTwoThreeFour          | done 4 OneTwoThreeFour
"""

MATRIX = {
    (fault, call): (on, off)
    for fault, call, on, off in (
        [cell.strip() for cell in line.split("|")]
        for line in TABLE.strip().splitlines()[1:]
        if line
    )
}


@pytest.mark.parametrize(("row", "call"), MATRIX)
async def test_with_recovery(row: str, call: str) -> None:
    assert await outcome(row, call, recovers=True) == MATRIX[row, call][0]


@pytest.mark.parametrize(("row", "call"), MATRIX)
async def test_without_recovery(row: str, call: str) -> None:
    assert await outcome(row, call, recovers=False) == MATRIX[row, call][1]


def test_the_matrix_has_no_hole() -> None:
    assert list(MATRIX) == [(row, call) for row in ROWS for call in CALLS]
    assert {row.kind for row in ROWS.values()} == set(get_args(Kind))
