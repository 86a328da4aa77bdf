"""What fits into a time, by seconds that are made up and a clock that is turned by hand."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.predictions import settings_for
from twinrun.cli.deadline import plan_table
from twinrun.config.settings import Settings
from twinrun.config.trainings import Training, trainings_of
from twinrun.console import Terminal
from twinrun.deadline.deadline import Deadline
from twinrun.deadline.plan import MARGIN, Cost, Measured, cost_of, in_order, plan

MEASURED = Measured(
    setup=5.0,
    frozen=0.5,
    unfrozen=2.0,
    steps=10,
    image=0.01,
    valid=100,
    test=300,
    passes=2,
    weights=100_000_000,
)
# Of a checkpoint: three times the weights at 100 MB/s.
CHECKPOINT = 3.0
# Of the predictions: 400 images in two passes, and the weights.
PREDICTIONS = 9.0


def cost(training: Training, seconds: float) -> Cost:
    return Cost(training, 100, seconds, seconds, MEASURED)


def costs_of(seconds: dict[str, float], folds: dict[str, int] | None = None) -> list[Cost]:
    """Of members that take so many seconds for each of their trainings."""
    return [
        cost(training, each)
        for name, each in seconds.items()
        for training in trainings_of(name, (folds or {}).get(name))
    ]


def test_members_are_planned_in_the_order_of_their_weight_and_equal_ones_as_they_stand(
    tmp_path: Path,
) -> None:
    weights = {"a": 1.0, "b": 3.0, "c": 1.0, "d": 0.0, "e": 3.0}
    order = in_order(settings_for(tmp_path, list(weights), weights=weights))
    assert in_order(settings_for(tmp_path, list(weights))) == list(weights)
    assert order == ["b", "e", "a", "c", "d"]
    costs = costs_of(dict.fromkeys(weights, 100.0))
    for count in range(6):
        seconds = count * 100 * (1 + MARGIN)
        assert [each.name for each in plan(costs, order, seconds + 0.001)] == order[:count]
        assert len(plan(costs, order, seconds - 0.001)) == max(count - 1, 0)


def test_what_does_not_fit_leaves_its_time_to_lighter_members_and_the_rest_to_folds() -> None:
    costs = costs_of({"large": 100.0, "folds": 40.0, "small": 20.0}, {"folds": 5})
    order = ["large", "folds", "small"]

    def planned(seconds: float) -> list[str]:
        return [each.name for each in plan(costs, order, seconds * (1 + MARGIN) + 0.001)]

    assert planned(19) == []
    assert planned(20) == ["small"]
    # Too little for all five folds: the lighter member first, which can be completed.
    assert planned(90) == ["small", "folds/fold-1"]
    assert planned(120) == ["large", "small"]
    assert planned(165) == ["large", "small", "folds/fold-1"]
    whole = [f"folds/fold-{number}" for number in range(1, 6)]
    assert planned(219) == ["large", "small", *whole[:2]]
    assert planned(300) == ["large", *whole]
    assert planned(320) == ["large", *whole, "small"]


@pytest.mark.parametrize(
    ("done", "steps", "trained", "epochs"),
    [
        ((0, 0), 40, 10 * 0.5 + 30 * 2.0, 4),
        ((0, 4), 36, 6 * 0.5 + 30 * 2.0, 4),
        ((1, 0), 30, 30 * 2.0, 3),
        ((2, 9), 11, 11 * 2.0, 2),
        ((4, 0), 0, 0.0, 0),
    ],
)
def test_the_time_of_what_is_left_of_a_training(
    tmp_path: Path, done: tuple[int, int], steps: int, trained: float, epochs: int
) -> None:
    member = settings_for(tmp_path, ["a"]).members["a"]
    longer = member.epochs.model_copy(update={"frozen": 1, "unfrozen": 3})
    member = member.model_copy(update={"epochs": longer})
    found = cost_of(Training("a"), member, MEASURED, done, every=30.0)
    # Each epoch's validation sees 100 images once.
    ends = epochs * (1.0 + CHECKPOINT) + trained / 30 * CHECKPOINT
    assert found.steps == steps
    assert found.trained == pytest.approx(trained)
    assert found.seconds == pytest.approx(5 + trained + ends + PREDICTIONS)
    assert found.needed == pytest.approx(found.seconds * 1.1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path, ["a", "b", "c"], weights={"a": 1.0, "b": 2.0})


class Clock:
    """Stands still until it is turned."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_begins_nothing_that_will_not_fit_and_learns_what_trainings_take(
    settings: Settings,
) -> None:
    clock, folds = Clock(), trainings_of("b", 3)
    costs = {each.training.name: each for each in costs_of({"a": 50.0, "c": 10.0})}
    costs |= {each.name: cost(each, 100.0) for each in folds}
    deadline = Deadline(1000.0 + 400.0, settings, costs, clock)
    # Of 400 images and three members.
    assert deadline.reserve == pytest.approx(10 + 400 * 3 * 2e-4)
    left = [each.training for each in costs.values()]
    assert [each.name for each in deadline.choose(left)] == [*(each.name for each in folds), "a"]

    # The first fold takes half the time, so that there is some for the others.
    clock.now += 50
    deadline.learn(folds[0], 50.0)
    left.remove(folds[0])
    chosen = [each.name for each in deadline.choose(left)]
    assert chosen == ["b/fold-2", "b/fold-3", "a", "c"]
    # And where they take longer, less fits.
    deadline.learn(folds[1], 200.0)
    left.remove(folds[1])
    assert [each.name for each in deadline.choose(left)] == ["b/fold-3", "a", "c"]
    clock.now += 120
    assert [each.name for each in deadline.choose(left)] == ["a", "c"]
    clock.now = 1400.0 - deadline.reserve
    assert deadline.choose(left) == []
    assert deadline.left == pytest.approx(0)


def test_a_fold_that_resumed_before_its_last_step_says_little_of_the_others(
    settings: Settings,
) -> None:
    clock, folds = Clock(), trainings_of("b", 3)
    whole = {each.name: Cost(each, 100, 80.0, 100.0, MEASURED) for each in folds[1:]}
    costs = {folds[0].name: Cost(folds[0], 1, 0.8, 20.8, MEASURED), **whole}
    # Time for both, and some to spare.
    deadline = Deadline(1000.0 + 300.0, settings, costs, clock)
    # Its checkpoint took long to read: twice the time that was planned for what was left of it.
    deadline.learn(folds[0], 41.6)
    assert deadline.choose(folds[1:]) == folds[1:]
    # A whole one tells all: the next will take as long, and the margin.
    deadline.learn(folds[1], 180.0)
    clock.now = 1300.0 - deadline.reserve - 180.0 * (1 + MARGIN) - 0.1
    assert deadline.choose(folds[2:]) == folds[2:]
    clock.now += 0.2
    assert deadline.choose(folds[2:]) == []


def test_a_training_that_has_no_step_left_teaches_nothing(settings: Settings) -> None:
    folds = trainings_of("b", 2)
    costs = {each.name: Cost(each, 0, 0.0, 9.0, MEASURED) for each in folds}
    deadline = Deadline(1000.0 + 40.0, settings, costs, Clock())
    deadline.learn(folds[0], 100.0)
    assert deadline.choose(folds[1:]) == folds[1:]


def test_a_training_is_stopped_in_time_for_its_checkpoint_and_not_begun_to_be_predicted(
    settings: Settings,
) -> None:
    clock = Clock()
    costs = {each.training.name: each for each in costs_of({"a": 50.0})}
    deadline = Deadline(1400.0, settings, costs, clock)
    limit = deadline.limit(Training("a"))
    assert limit.until == pytest.approx(1400 - deadline.reserve - CHECKPOINT)
    assert limit.predictions == pytest.approx(PREDICTIONS * (1 + MARGIN))
    clock.now = limit.until - 9.8
    assert not limit.is_over()
    assert limit.is_over(limit.predictions)
    clock.now = limit.until
    assert limit.is_over()


def test_the_smallest_time_that_would_help_is_of_the_quickest_training(settings: Settings) -> None:
    clock = Clock()
    costs = {each.training.name: each for each in costs_of({"a": 5000.0, "c": 1000.0})}
    deadline = Deadline(clock.now + 3.6, settings, costs, clock)
    clock.now += 20
    hours = deadline.smallest(begun=1000.0)
    needed = (20 + 1100 + deadline.reserve) / 3600
    assert needed < hours < needed * 1.1
    enough = Deadline(1000 + hours * 3600, settings, costs, clock)
    assert [each.name for each in enough.choose([each.training for each in costs.values()])] == [
        "c"
    ]


def test_the_plan_is_a_table_that_fits_a_terminal(settings: Settings, tmp_path: Path) -> None:
    with_folds = settings.members["b"].model_copy(
        update={
            "validation": settings.members["b"].validation.model_copy(
                update={"share": None, "folds": 5}
            )
        }
    )
    settings = settings.model_copy(update={"members": settings.members | {"b": with_folds}})
    costs = {each.name: cost(each, 3600.0) for each in settings.trainings("b")[2:]}
    costs["a"] = cost(Training("a"), 20.0)
    table = plan_table(settings, costs, [Training("a"), *settings.trainings("b")[2:4]])
    assert table.cells("member") == ["b", "a", "c"]
    assert table.cells("weight") == ["2", "1", "0"]
    assert table.cells("this time") == ["2 of 3 folds", "yes", "complete"]
    assert table.cells("left") == ["3 h 00 min", "20 s", ""]
    assert table.cells("steps") == ["20", "20", ""]
    printed = io.StringIO()
    table.print(Terminal(file=printed, width=80, force_terminal=True, color_system=None))
    assert max(map(len, printed.getvalue().splitlines())) <= 80
    fitted = settings.model_copy(
        update={"blend": settings.blend.model_copy(update={"method": "auto"})}
    )
    # What a fit will make of them is not known yet.
    assert "weight" not in plan_table(fitted, costs, []).headings
