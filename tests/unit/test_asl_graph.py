"""The drawings of state machines: their layout, their colours, and what they are written as."""

from __future__ import annotations

import json
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from scones_ml import asl, workflows
from scones_ml.asl.graph.drawing import draw
from scones_ml.asl.graph.layered import Stop, arrange
from scones_ml.asl.graph.layers import Link, Size
from scones_ml.asl.graph.measure import shorten, text_width, wrap
from scones_ml.asl.graph.outcomes import Iterations, Outcome, progress
from scones_ml.asl.graph.palette import DARK_STYLE, paint
from scones_ml.asl.graph.shapes import Drawing
from scones_ml.asl.graph.wording import STATUS_WORDS, duration, item_counts
from scones_ml.errors import WorkflowError

INVOKE = "arn:aws:states:::lambda:invoke"
ALL = ["States.ALL"]
SVG = "{http://www.w3.org/2000/svg}"


def task(following: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": INVOKE, **({"Next": following} if following else {"End": True}), **fields}


def machine(**states: Any) -> dict[str, Any]:
    return {"StartAt": next(iter(states)), "States": states}


def mapped(inner: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"Type": "Map", "ItemProcessor": inner, "End": True, **fields}


def texts(image: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(image).iter(f"{SVG}text")]


def titles(image: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(image).iter(f"{SVG}title")]


@st.composite
def machines(draws: st.DrawFn, depth: int = 1, prefix: str = "") -> dict[str, Any]:
    """Valid definitions: any state may lead to any other, and Map and Parallel hold smaller ones."""
    count = draws(st.integers(1, 6))
    names = [prefix + "n" * draws(st.integers(1, 40)) + str(index) for index in range(count)]
    anywhere = st.sampled_from(names)
    states: dict[str, Any] = {}
    for index, name in enumerate(names):
        kinds = ["Task", "Choice", "Pass", "Succeed", "Fail", *(["Map", "Parallel"] if depth else [])]
        kind = draws(st.sampled_from(kinds))
        state: dict[str, Any] = {"Type": kind}
        if kind == "Choice":
            rules = draws(st.lists(st.tuples(st.text(max_size=60), anywhere), min_size=1, max_size=5))
            state["Choices"] = [{"Variable": "$.a", "StringEquals": text, "Next": to} for text, to in rules]
            state["Default"] = draws(anywhere)
        elif kind not in ("Succeed", "Fail"):
            state |= draws(st.one_of(st.just({"End": True}), anywhere.map(lambda to: {"Next": to})))
        if kind in ("Task", "Map", "Parallel"):
            caught = draws(st.lists(st.tuples(st.sampled_from(["A", "B.Long", "C" * 50]), anywhere), max_size=3))
            state["Catch"] = [{"ErrorEquals": [error], "Next": to} for error, to in caught]
        if kind == "Task":
            state["Resource"] = INVOKE
        inner = [draws(machines(depth - 1, f"{prefix}{index}{side}_")) for side in "ab"] if depth else []
        state |= (
            {"Map": {"ItemProcessor": inner[:1][0]}, "Parallel": {"Branches": inner}}.get(kind, {}) if inner else {}
        )
        states[name] = state
    return {"StartAt": names[0], "States": states}


def boxes(drawing: Drawing) -> Iterator[tuple[str, float, float, float, float]]:
    for card in drawing.cards:
        yield card.name, card.x, card.y, card.x + card.width, card.y + card.height
    for marker in drawing.markers:
        yield marker.word, marker.x, marker.y, marker.x + marker.width, marker.y + marker.height
    for label in drawing.labels:
        half, tall = label.width / 2, label.height / 2
        yield label.whole, label.x - half, label.y - tall, label.x + half, label.y + tall


def points(stops: list[Stop]) -> Iterator[tuple[float, float]]:
    """Points along a route, which is straight within a stop and curved between two."""
    for stop in stops:
        yield from ((stop.x, stop.start), (stop.x, (stop.start + stop.end) / 2), (stop.x, stop.end))
    for one, two in pairwise(stops):
        for step in range(1, 8):
            t = step / 8
            bend = (1 - t) ** 3 + 3 * (1 - t) ** 2 * t
            middle = (one.end + two.start) / 2
            yield (
                one.x * bend + two.x * (1 - bend),
                one.end * (1 - t) ** 3 + 3 * middle * t * (1 - t) + two.start * t**3,
            )


def check_layout(drawing: Drawing) -> None:
    """Nothing overlaps or sticks out, no line crosses a card, and all text has room."""
    found = list(boxes(drawing))
    for index, (name, left, top, right, bottom) in enumerate(found):
        assert left > -0.01, name
        assert top > -0.01, name
        assert right < drawing.width + 0.01, name
        assert bottom < drawing.height + 0.01, name
        for other, x, y, x2, y2 in found[:index]:
            assert not (left < x2 - 0.01 and x < right - 0.01 and top < y2 - 0.01 and y < bottom - 0.01), (name, other)
    for route in drawing.routes:
        for x, y in points(list(route.stops)):
            for card in drawing.cards:
                inside = card.x + 0.5 < x < card.x + card.width - 0.5
                assert not (inside and card.y + 0.5 < y < card.y + card.height - 0.5), card.name
    for card in drawing.cards:
        assert text_width(card.title, 13, bold=True) <= card.width - 39
        assert text_width(card.note, 11) <= card.width - 39
        for inner in card.inside:
            assert inner.x + inner.drawing.width <= card.width
            assert inner.y + inner.drawing.height <= card.height
            check_layout(inner.drawing)


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(machines())
def test_any_machine_is_drawn_without_overlaps(definition: dict[str, Any]) -> None:
    """Cards, markers and labels never overlap, lines pass between them, and the image is well-formed XML."""
    check_layout(draw(asl.StateMachine.from_json(definition)))
    image = asl.svg(definition)
    assert image == asl.svg(json.loads(json.dumps(definition)))
    ET.fromstring(image)


@pytest.mark.parametrize("name", workflows.WORKFLOWS)
def test_our_workflows_are_drawn_without_overlaps(name: str) -> None:
    """Both workflows have each state's whole name in the image."""
    made = workflows.WORKFLOWS[name]()
    check_layout(draw(made))
    assert set(made.states) <= set(texts(asl.svg(made)))


def test_three_hundred_states_are_drawn_within_a_second() -> None:
    """A long machine whose every state can fail, and jump back, takes less than a second of this processor."""
    states: dict[str, Any] = {}
    for index in range(299):
        states[f"State{index}"] = task(f"State{index + 1}", Catch=[{"ErrorEquals": ALL, "Next": "State299"}])
        if index % 5 == 4:
            rule = {"Variable": "$.a", "IsNull": True, "Next": f"State{index - 4}"}
            states[f"State{index}"] = {"Type": "Choice", "Choices": [rule], "Default": f"State{index + 1}"}
    states["State299"] = {"Type": "Fail"}
    started = time.process_time()
    asl.svg(machine(**states))
    assert time.process_time() - started < 1


def test_names_cannot_break_out_of_the_image() -> None:
    """Markup in names, comments and errors is text; control characters and lone surrogates are escaped."""
    name = '</text><script>alert("1")</script>&\x07\ud800'
    comment = "<b onload=x>\nsecond line"
    definition = machine(
        **{name: task(Comment=comment, Catch=[{"ErrorEquals": ["<i>"], "Next": "Z"}]), "Z": {"Type": "Fail"}}
    )
    for image in (asl.svg(definition), asl.StateMachine.from_json(definition)._repr_html_()):
        tree = ET.fromstring(image)
        assert {element.tag.removeprefix(SVG) for element in tree.iter()} - {"div"} == {
            "svg", "title", "desc", "style", "rect", "g", "path", "text", "tspan"
        }  # fmt: skip
        assert not any(key.startswith("on") for element in tree.iter() for key in element.attrib)
        shown = r'</text><script>alert("1")</script>&\x07\ud800'
        assert f"{shown} (Task)\n{comment}" in titles(image)
        assert "<i>" in texts(image)
    chart = asl.mermaid(definition)
    assert "<" not in chart
    assert "#lt;/text#gt;#lt;script" in chart


def test_a_long_name_is_cut_in_its_middle() -> None:
    """The card shows both ends of a name of 80 characters, the tooltip the whole of it."""
    name = "Begin" + "x" * 70 + "Ended"
    image = asl.svg(machine(**{name: task()}))
    assert any(re.fullmatch("Beginx+\u2026x+Ended", text) for text in texts(image))
    assert f"{name} (Task)" in titles(image)


def test_the_image_is_named_for_those_who_do_not_see_it() -> None:
    """The image has a role, a title with the status, and a description with the states by status."""
    definition = {
        "Comment": "Read & write",
        **machine(A=task("B", Catch=[{"ErrorEquals": ALL, "Next": "C"}]), B={"Type": "Succeed"}, C={"Type": "Succeed"}),
    }
    execution = asl.run(definition, {}, resources={INVOKE: lambda p: p})
    tree = ET.fromstring(asl.svg(definition, execution))
    assert tree.get("role") == "img"
    assert tree.findtext(f"{SVG}title") == "Read & write: SUCCEEDED"
    assert tree.findtext(f"{SVG}desc") == "3 states; 2 succeeded (A, B)"
    assert ET.fromstring(asl.svg(definition)).findtext(f"{SVG}desc") == "3 states: A, B, C"


def test_transitions_between_the_same_states_are_one_line() -> None:
    """Several rules to one state share a line, their words below each other; a fifth is counted."""
    rules = [{"Variable": "$.a", "NumericEquals": n, "Next": "B"} for n in range(5)]
    drawing = draw(asl.StateMachine.from_json(machine(
        A={"Type": "Choice", "Choices": [*rules[:2], {**rules[2], "Next": "C"}], "Default": "C"},
        B={"Type": "Choice", "Choices": [{**rule, "Next": "C"} for rule in rules], "Default": "B"},
        C={"Type": "Succeed"},
    )))  # fmt: skip
    assert [tuple(label.lines) for label in drawing.labels] == [
        ("$.a = 0", "$.a = 1"),
        ("$.a = 2", "otherwise"),
        ("$.a = 0", "$.a = 1", "$.a = 2", "\u2026 2 more"),
        ("otherwise",),
    ]
    assert sum(route.loop is not None for route in drawing.routes) == 1


def test_inner_machines_are_marked_where_they_would_not_be_plain() -> None:
    """A machine inside has an end marker where a state can end or go on, a start marker where it is entered again."""
    plain = draw(asl.StateMachine.from_json(machine(M=mapped(machine(A=task("B"), B=task())))))
    unclear = draw(
        asl.StateMachine.from_json(
            machine(M=mapped(machine(A=task("B"), B=task(Catch=[{"ErrorEquals": ALL, "Next": "A"}]))))
        )
    )
    assert [marker.word for marker in plain.markers] == ["Start", "End"]
    assert [[marker.word for marker in d.cards[0].inside[0].drawing.markers] for d in (plain, unclear)] == [
        [],
        ["Start", "End"],
    ]


def failing(parameters: asl.Json) -> asl.Json:
    raise ValueError("no")


def test_each_state_has_its_outcome() -> None:
    """Succeeded, caught, failed and not reached are distinguished in interleaved branches, and items are counted."""
    inner = machine(
        Ask={"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 2, "Next": "Work"}], "Default": "Skip"},
        Skip={"Type": "Pass", "End": True},
        Work=task(Catch=[{"ErrorEquals": ["ValueError"], "Next": "Stop"}]),
        Stop={"Type": "Fail", "Error": "Stopped"},
    )
    definition = machine(
        Each=mapped(inner, ItemsPath="$", Catch=[{"ErrorEquals": ALL, "Next": "Rescue"}]),
        Rescue=task(Catch=[{"ErrorEquals": ["Other"], "Next": "Never"}]),
        Never={"Type": "Succeed"},
    )
    answers = iter([failing, lambda p: 1])
    resources = {INVOKE: lambda p: next(answers)(p)}
    found = progress(asl.run(definition, [1, 2, 3], resources=resources, max_workers=1))
    statuses = {name: outcome.status for name, outcome in found.states.items()}
    assert found.status == "SUCCEEDED"
    assert statuses == {
        "Each": "caught",
        "Ask": "succeeded",
        "Skip": "succeeded",
        "Work": "caught",
        "Stop": "failed",
        "Rescue": "succeeded",
    }
    assert found.states["Each"].iterations == Iterations(3, succeeded=1, failed=1)
    assert found.states["Each"].error == "Stopped"
    assert found.states["Ask"].visits == 2
    assert {("Each", "Rescue", True), ("Work", "Stop", True), ("Rescue", None, False)} <= found.taken
    assert ("Each", None, False) not in found.taken


def test_the_last_visit_counts() -> None:
    """A state that failed, was retried in a loop and succeeded has succeeded, whatever was inside it."""
    answers = iter([failing, lambda p: 1, lambda p: 1])
    definition = machine(
        Each=mapped(machine(Work=task()), Catch=[{"ErrorEquals": ALL, "Next": "Again"}]),
        Again={"Type": "Pass", "Result": [1, 2], "Next": "Each"},
    )
    execution = asl.run(definition, [1], resources={INVOKE: lambda p: next(answers)(p)}, max_workers=1)
    found = progress(execution)
    assert found.states["Work"].status == "succeeded"
    assert found.states["Work"].visits == 3
    assert found.states["Each"].status == "succeeded"
    assert found.states["Each"].iterations == Iterations(2, 2)


def events(*rows: tuple[int, str, dict[str, Any]]) -> dict[str, Any]:
    """A history as AWS prints it, one second from event to event: previous event, type, details."""
    found = []
    for number, (previous, kind, details) in enumerate(rows, 1):
        name = kind[0].lower() + kind[1:]
        name = (
            "stateEntered" if kind.endswith("StateEntered") else "stateExited" if kind.endswith("StateExited") else name
        )
        when = f"2026-03-01T09:00:{number:02}.000+00:00"
        event = {"id": number, "previousEventId": previous, "type": kind, "timestamp": when}
        found.append({**event, f"{name}EventDetails": details} if details else event)
    return {"events": found}


PARALLEL = machine(
    Both={
        "Type": "Parallel",
        "Branches": [machine(Left=task()), machine(Right=task())],
        "Next": "After",
    },
    After={"Type": "Succeed"},
)
BEGUN = (
    (0, "ExecutionStarted", {}),
    (0, "ParallelStateEntered", {"name": "Both"}),
    (2, "ParallelStateStarted", {}),
    (3, "TaskStateEntered", {"name": "Left"}),
    (3, "TaskStateEntered", {"name": "Right"}),
    (4, "TaskScheduled", {}),
    (5, "TaskScheduled", {}),
    (6, "TaskSucceeded", {}),
    (8, "TaskStateExited", {"name": "Left"}),
)


@pytest.mark.parametrize(
    ("rows", "execution", "statuses"),
    [
        ((), "RUNNING", ("running", "succeeded", "running")),
        (((3, "ExecutionAborted", {"error": "Stopped"}),), "ABORTED", ("aborted", "succeeded", "aborted")),
        (
            ((7, "TaskFailed", {"error": "Oops"}), (10, "ParallelStateFailed", {"error": "Oops"}),
             (11, "ExecutionFailed", {"error": "Oops", "cause": "why"})),
            "FAILED", ("failed", "succeeded", "failed"),
        ),
        (
            ((7, "TaskSucceeded", {}), (10, "TaskStateExited", {"name": "Right"}), (11, "ParallelStateSucceeded", {}),
             (12, "ParallelStateExited", {"name": "Both"})),
            "RUNNING", ("succeeded", "succeeded", "succeeded"),
        ),
        (((3, "ExecutionTimedOut", {"error": "States.Timeout"}),), "TIMED_OUT", ("failed", "succeeded", "aborted")),
    ],
    ids=["running", "aborted", "failed", "succeeded", "timed out"],
)  # fmt: skip
def test_a_history_of_aws_is_read(rows: tuple[Any, ...], execution: str, statuses: tuple[str, ...]) -> None:
    """GetExecutionHistory's events are followed by previousEventId, also while the execution goes on."""
    found = progress(events(*BEGUN, *rows))
    assert found.status == execution
    assert found.seconds == len(BEGUN) + len(rows) - 1
    assert tuple(found.states[name].status for name in ("Both", "Left", "Right")) == statuses
    assert found.states["Left"].seconds == 5
    chart, image = asl.mermaid(PARALLEL, events(*BEGUN, *rows)), asl.svg(PARALLEL, events(*BEGUN, *rows))
    assert f"class m0b1_0 {statuses[2]}" in chart
    assert ("not reached" in texts(image)) == ("After" not in found.states)


def test_what_is_no_history_is_refused() -> None:
    """JSON without events is an error that says what to pass; an execution without its history stays uncoloured."""
    with pytest.raises(WorkflowError, match="no list of events"):
        asl.svg(PARALLEL, {})
    execution = asl.run(PARALLEL, {}, resources={INVOKE: lambda p: p}, history=False)
    assert "not reached" not in texts(asl.svg(PARALLEL, execution))
    assert "classDef" not in asl.mermaid(PARALLEL, execution)


def test_what_ran_in_executions_of_its_own_is_not_called_unreached() -> None:
    """States inside a distributed Map are drawn plain, since the parent's history says nothing of them."""
    inner = {**machine(Inside=task()), "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    definition = machine(Each=mapped(inner))
    execution = asl.run(definition, [1, 2], resources={INVOKE: lambda p: p})
    image = asl.svg(definition, execution)
    assert "not reached" not in texts(image)
    assert any(text.startswith("Distributed Map \u00b7 2 items") for text in texts(image))
    assert any("child executions" in title for title in titles(image))


def test_a_notebook_shows_status_duration_error_and_graph() -> None:
    """An execution's output has its status, how long it took, its error, and the coloured graph, without scripts."""
    execution = asl.run(machine(A=task()), {}, resources={INVOKE: failing})
    page = execution._repr_html_()
    words = "".join(ET.fromstring(page).itertext())
    for word in ("FAILED", " in ", "ValueError no", "failed"):
        assert word in words
    assert "stackTrace" not in words
    assert "<script" not in page
    assert "<svg" in asl.StateMachine.from_json(machine(A=task()))._repr_html_()


def test_a_notebook_takes_no_path_for_a_formula() -> None:
    """JupyterLab typesets what stands between two dollar signs, as in two JSONPaths, unless a class forbids it."""
    definition = machine(A=task())
    for page in (
        asl.StateMachine.from_json(definition)._repr_html_(),
        asl.run(definition, {}, resources={INVOKE: failing})._repr_html_(),
    ):
        assert "mathjax_ignore" in ET.fromstring(page).attrib["class"].split()


def test_a_graph_follows_the_theme_of_the_notebook() -> None:
    """Where the notebook's theme is not the system's, the rules of the notebook outrank those of the system."""
    page = asl.StateMachine.from_json(machine(A=task()))._repr_html_()
    assert "[data-jp-theme-light=false],.vscode-dark) .scones-graph{color-scheme:dark}" in page
    assert ".scones-graph.scones-graph .page{fill:light-dark(#ffffff,#15181d)}" in page


def test_a_notebook_output_stays_below_200_kilobytes() -> None:
    """A machine that is too large for a notebook is named, with the function that draws it."""
    states = {f"State{number}": task(f"State{number + 1}") for number in range(400)}
    large = asl.StateMachine.from_json(machine(**states, State400={"Type": "Succeed"}))
    page = large._repr_html_()
    assert len(page.encode()) < 200_000
    assert "401 states" in page
    assert "scones_ml.asl.svg" in page


def test_long_links_are_straight_and_cross_nothing() -> None:
    """Of crossed links the layout uncrosses what it can, and a link past two layers has one place in them."""
    sizes = [Size(100, 40)] * 6
    links = [Link(0, 1), Link(0, 2), Link(1, 4), Link(2, 3), Link(3, 5), Link(4, 5), Link(0, 5)]
    layout = arrange(sizes, links, 0)
    (one, y1), (two, y2), (three, y3), (four, y4) = layout.centres[1:5]
    assert (one < two) == (four < three)
    assert (y1, y3) == (y2, y4)
    assert len({stop.x for stop in layout.routes[6][1:-1]}) == 1


def test_text_is_measured_and_made_to_fit() -> None:
    """Wide letters and East Asian text take more room; what is cut fits, and says so."""
    assert text_width("MMMM", 10) > text_width("llll", 10) * 2
    assert text_width("\u4e2d\u6587", 10) >= 20
    assert shorten("short", 100, 10) == "short"
    assert text_width(shorten("W" * 80, 100, 10), 10) <= 100
    assert shorten("abc", 0, 10) == "\u2026"
    assert wrap("one two three", 45, 10, 3) == ["one two", "three"]
    assert wrap("one two three four", 45, 10, 1)[0].endswith("\u2026")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "<1 ms"),
        (0.0123, "12 ms"),
        (1.25, "1.2 s"),
        (59.96, "1 min 0 s"),
        (125, "2 min 5 s"),
        (11_400, "3 h 10 min"),
    ],
)
def test_durations_are_short(seconds: float, words: str) -> None:
    """A duration has the digits that matter."""
    assert duration(seconds) == words


def test_items_are_counted() -> None:
    """A Map says how many items it has, how many of them ended, and how many failed."""
    assert item_counts(Iterations(1, 1)) == "1 item"
    assert item_counts(Iterations(1_200, 3, 1)) == "4 of 1,200 items, 1 failed"
    assert Outcome("succeeded").visits == 1


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def colours(role: str) -> dict[str, str]:
    dark = re.search(rf"\.{role}{{fill:(#\w+)", DARK_STYLE)
    light = re.search(r'fill="(#\w+)"', paint(role))
    assert dark
    assert light
    return {"light": light[1], "dark": dark[1]}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *((text, card) for text in ("name", "note") for card in ("card", *STATUS_WORDS)),
        ("faint", "idle"),
        ("note", "page"),
        ("note", "label-inside"),
        ("word", "marker"),
    ],
)  # fmt: skip
def test_text_has_enough_contrast(text: str, ground: str, theme: str) -> None:
    """All text has a contrast of 4.5 at least (WCAG AA), in light and in dark."""
    one, two = sorted((luminance(colours(text)[theme]), luminance(colours(ground)[theme])))
    assert (two + 0.05) / (one + 0.05) >= 4.5


TYPES = st.sampled_from(
    ["ExecutionStarted", "TaskStateEntered", "TaskStateExited", "MapStateEntered", "MapStateStarted", "MapStateFailed",
     "MapIterationStarted", "MapIterationFailed", "TaskFailed", "TaskScheduled", "ExecutionFailed", "FailStateEntered"]
)  # fmt: skip
DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["A", "B", 7]),
        "index": st.sampled_from([0, 1, "x"]),
        "length": st.sampled_from([2, "x"]),
        "error": st.sampled_from(["E", None]),
    },
)
EVENTS = st.fixed_dictionaries(
    {
        "id": st.one_of(st.integers(-1, 9), st.none()),
        "type": TYPES,
        "previousEventId": st.integers(-1, 9),
        "timestamp": st.sampled_from([0, 5, 1e300, float("nan"), "2026-01-01T00:00:00Z", "yesterday"]),
        "stateEnteredEventDetails": DETAILS,
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=10))
def test_a_broken_history_is_drawn_or_refused(history: list[asl.Json]) -> None:
    """Whatever a history file holds, it is drawn as far as it goes, or refused in one line."""
    definition = machine(A=mapped(machine(B=task())))
    try:
        ET.fromstring(asl.svg(definition, {"events": history}))
        asl.mermaid(definition, {"events": history})
    except WorkflowError as error:
        assert "the timestamp 'yesterday'" in str(error)
