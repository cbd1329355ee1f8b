"""Prices, counts and what designs cost."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml import asl, workflows
from scones_ml.cost import estimate as cost
from scones_ml.cost.designs import DESIGNS
from scones_ml.cost.prices import HOURS_A_MONTH, PRICES, alarm_hourly_price, hourly_price, price_table
from scones_ml.cost.workload import FunctionUse, Workload, count, count_batches
from scones_ml.errors import ConfigurationError, InvalidDefinitionError

MILLION = 1_000_000
THUMBNAILS = Workload(model_ms=2, instance="ml.m5.xlarge")  # whose costs are known
VOLUMES = st.floats(0, 1e10, allow_nan=False)


def dollars(design: str, images: float = MILLION, workload: Workload | None = None) -> float:
    (one,) = cost.estimate(images, [design], workload=workload)
    return one.per_month


@pytest.mark.parametrize(
    ("design", "known"),
    [("course", 272), ("course-express", 173), ("batch-transform", 6.06), ("batch-transform-packed", 0.72)],
)
def test_a_million_images_cost_what_is_known(design: str, known: float) -> None:
    """The course's design costs $272 for a million images, as Express $173; batch transform $6.06, packed $0.72."""
    assert dollars(design, workload=THUMBNAILS) == pytest.approx(known, rel=0.05)


def test_bulk_costs_what_is_known() -> None:
    """A million thumbnails in bulk cost $0.92, of which reading and computing $0.63; being resumable is extra."""
    (bulk,) = cost.estimate(MILLION, ["bulk"], workload=THUMBNAILS)
    lines = {line.what: line.dollars(MILLION) for line in bulk.lines}
    extra = lines["S3 LIST: done before?"] + lines["listing of the images"] + lines["logs"]
    assert bulk.per_month - extra == pytest.approx(0.92, rel=0.05)
    assert lines["S3 GET"] + lines["Lambda ClassifyBatch"] == pytest.approx(0.63, rel=0.05)
    assert extra < 0.07


def test_the_hourly_price_is_the_tables_or_none() -> None:
    """An hour costs what the table says for each machine; an unknown region or machine has no price, never a guess."""
    table = PRICES["us-east-1"]
    assert hourly_price("us-east-1", "ml.m5.large", 2) == 2 * table.instance("ml.m5.large")
    assert alarm_hourly_price("us-east-1") == table.item("alarm") / HOURS_A_MONTH
    assert hourly_price("us-east-1", "ml.m9.huge") is None
    assert (hourly_price("mars", "ml.m5.large"), alarm_hourly_price("mars")) == (None, None)


def test_an_instance_pays_above_hundreds_of_millions() -> None:
    """An instance that always runs beats compute in the function only above 427 million thumbnails a month."""
    assert cost.instance_break_even(THUMBNAILS) == pytest.approx(427 * MILLION, rel=0.05)


def test_a_slower_model_costs_more_wherever_it_is_paid_by_time() -> None:
    """10 ms more cost a million images their GB-seconds or instance hours, and an endpoint that always runs nothing."""
    slower = dataclasses.replace(THUMBNAILS, model_ms=12)
    more = {name: dollars(name, workload=slower) - dollars(name, workload=THUMBNAILS) for name in DESIGNS}
    table = PRICES["us-east-1"]
    function = MILLION * FunctionUse(10, 1769).gb_seconds * table.item("lambda arm64")
    serverless = MILLION * FunctionUse(10, 2048).gb_seconds * table.item("serverless duration")
    assert more["course"] == more["endpoint"] == 0
    assert more["lambda"] == pytest.approx(function)
    assert more["bulk"] == pytest.approx(function, rel=0.1)  # and a little Express time
    assert more["serverless"] == pytest.approx(serverless)
    assert more["batch-transform"] == pytest.approx(MILLION / 3_600_000 * 10 * table.instance("ml.m5.xlarge"))


def test_transitions_are_counted_from_the_definition() -> None:
    """Our definition takes six states on the way to an outcome, and the start is billed, too."""
    counts = count(workflows.image_classification())
    assert counts.transitions == 7
    assert counts.functions == ("SerializeImageData", "ClassifyImageData", "FilterLowConfidence")
    assert counts.writes == 1


@pytest.mark.parametrize("accepted", [True, False])
def test_the_count_is_what_an_execution_enters(accepted: bool) -> None:
    """The interpreter enters as many states as are counted, accepted or not."""

    def invoke(parameters: asl.Json) -> object:
        return {"Payload": {"image_id": "1", "accepted": accepted}}

    machine = workflows.image_classification()
    resources = {"arn:aws:states:::lambda:invoke": invoke, "arn:aws:states:::aws-sdk:s3:putObject": lambda _: {}}
    execution = asl.run(machine, {}, resources=resources)
    entered = [event for event in execution.history if event.type.endswith("StateEntered")]
    assert len(entered) + 1 == count(machine).transitions


def test_a_longer_definition_costs_more() -> None:
    """A state more is a transition more: $25 for a million images."""
    machine = workflows.image_classification()
    longer = dataclasses.replace(
        machine, start_at="First", states={"First": asl.Pass(next=machine.start_at), **machine.states}
    )
    assert count(longer).transitions == count(machine).transitions + 1


@pytest.mark.parametrize(
    "states",
    [
        {"A": asl.Pass(next="B"), "B": asl.Pass(next="A")},
        {"A": asl.Parallel(branches=(asl.StateMachine(start_at="C", states={"C": asl.Pass(end=True)}),), end=True)},
    ],
)
def test_what_repeats_is_not_guessed(states: dict[str, asl.State]) -> None:
    """A loop or a parallel state has no fixed number of transitions: that is an error, not a guess."""
    with pytest.raises(InvalidDefinitionError, match="cannot be counted"):
        count(asl.StateMachine(start_at="A", states=states))


def test_batches_are_counted_from_the_definition() -> None:
    """The batch size is the definition's own; what the function asks of S3 is its handler's."""
    counts = count_batches(workflows.batch_classification(batch_size=40))
    assert (counts.size, counts.asks, counts.writes) == (40, True, True)
    with pytest.raises(InvalidDefinitionError, match="no distributed map"):
        count_batches(workflows.image_classification())


@pytest.mark.parametrize(
    ("region", "message"),
    [("us-east-2", "did you mean 'us-east-1'"), ("mars", "no prices are known for the region 'mars'")],
)
def test_an_unknown_region_is_an_error(region: str, message: str) -> None:
    """A region without prices is one clear line, never a neighbour's prices."""
    with pytest.raises(ConfigurationError, match=message):
        price_table(region)


def test_an_unknown_instance_is_an_error() -> None:
    """An instance without a price is one clear line that names the known ones."""
    with pytest.raises(ConfigurationError, match=r"no price is known for 'ml.m5.xlarg'.*did you mean 'ml.m5.xlarge'"):
        cost.estimate(1, ["endpoint"], workload=Workload(instance="ml.m5.xlarg"))


@pytest.mark.parametrize(("images", "designs"), [(-1, None), (1, ["endpiont"])])
def test_nonsense_is_an_error(images: float, designs: list[str] | None) -> None:
    """A negative volume or an unknown design is an error."""
    with pytest.raises(ConfigurationError):
        cost.estimate(images, designs)


def test_a_workload_that_lacks_a_function_is_an_error() -> None:
    """A function without a duration is named, not taken for free."""
    with pytest.raises(ConfigurationError, match="ClassifyImageData"):
        cost.estimate(1, ["endpoint"], workload=Workload(functions={"SerializeImageData": FunctionUse(1, 128)}))


def test_every_price_is_dated_and_sourced() -> None:
    """Each price says when and where it was read."""
    for table in PRICES.values():
        for price in (*table.items.values(), *table.instances.values()):
            assert price.dollars > 0
            assert price.date.startswith("2026-")
            assert price.source.startswith("https://aws.amazon.com/")


def test_only_an_endpoint_costs_while_nothing_happens() -> None:
    """A month without an image costs the endpoint's hours, a dollar of alarms, or nothing at all."""
    idle = {one.design: one.idle_per_month for one in cost.estimate(MILLION)}
    assert idle["endpoint"] == pytest.approx(730 * 0.115, rel=0.02)
    assert 0 < idle["lambda"] == idle["lambda-express"] < idle["serverless"] < 1.5
    assert idle["bulk"] == idle["batch-transform"] == 0


@given(st.sampled_from(sorted(DESIGNS)), VOLUMES, VOLUMES)
def test_more_images_never_cost_less(design: str, one: float, other: float) -> None:
    """Costs grow with the number of images, from the idle cost on."""
    fewer, more = sorted((one, other))
    (idle,) = {found.idle_per_month for found in cost.estimate(0, [design])}
    assert idle <= dollars(design, fewer) <= dollars(design, more)


@given(VOLUMES)
def test_a_month_is_the_sum_of_its_lines(images: float) -> None:
    """What is shown adds up: lines make the month, and 1,000 more images cost what is said."""
    for one, later in zip(cost.estimate(images), cost.estimate(images + 1000), strict=True):
        assert one.per_month == pytest.approx(sum(line.dollars(images) for line in one.lines))
        if images:
            assert later.per_month - one.per_month == pytest.approx(one.per_thousand, rel=1e-3, abs=1e-4)


def test_designs_cost_the_same_where_they_break_even() -> None:
    """At a break-even volume two designs cost the same; below it the one, above it the other is cheaper."""
    found = cost.break_evens(cost.estimate(MILLION))
    assert [row.images for row in found] == sorted(row.images for row in found)
    for row in found:
        assert dollars(row.below, row.images) == pytest.approx(dollars(row.above, row.images), rel=1e-6)
        assert dollars(row.below, row.images * 0.9) < dollars(row.above, row.images * 0.9)
        assert dollars(row.above, row.images * 1.1) < dollars(row.below, row.images * 1.1)


def test_a_chart_has_a_point_for_each_design_and_volume() -> None:
    """Chart rows hold what each design costs at each volume."""
    points = cost.chart(cost.estimate(0, ["endpoint", "bulk"]), [0, 1000])
    assert [(point.design, point.images) for point in points] == [
        ("endpoint", 0),
        ("endpoint", 1000),
        ("bulk", 0),
        ("bulk", 1000),
    ]
    assert points[1].dollars == pytest.approx(dollars("endpoint", 1000))


def test_formulas_are_shown_in_numbers() -> None:
    """Each line's formula holds the numbers that its dollars come from."""
    (one,) = cost.estimate(MILLION, ["endpoint"])
    lines = {line.what: line for line in one.lines}
    assert lines["state transitions"].formula == "7 x $0.000025"
    assert lines["state transitions"].per_image == pytest.approx(7 * 0.000025)
    assert lines["endpoint, always on"].formula == "1 x ml.m5.large x 730 h x $0.115"
