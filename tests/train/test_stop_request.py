"""By what a training is told to have been stopped."""

from __future__ import annotations

import pytest

from twinrun.errors import OutOfTime, Stopped
from twinrun.train.signals import StopRequest, TimeLimit


@pytest.mark.parametrize(
    ("limit", "asked", "kind"),
    [
        (None, True, Stopped),
        # Of several ranks, one that has not heard the signal itself.
        (None, False, Stopped),
        (TimeLimit(0, 0), True, Stopped),
        (TimeLimit(0, 0), False, OutOfTime),
    ],
)
def test_only_the_end_of_a_given_time_is_told_as_that(
    limit: TimeLimit | None, asked: bool, kind: type[Stopped]
) -> None:
    request = StopRequest("a", 2, 4, limit)
    request.asked = asked
    with pytest.raises(Stopped) as caught:
        request.raise_stopped(1, 2)
    assert type(caught.value) is kind
