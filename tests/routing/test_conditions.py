from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.conditions import (
    CompiledAnswerCondition,
    CompiledCondition,
    ConditionError,
    Fault,
    variables_of,
)
from routing.rules import Answer, Facts

FACTS = Facts(
    agent="coder",
    team="engineering",
    org="default",
    tags={"feature": "search"},
    model="auto",
    value_usd=5.0,
    priority="normal",
    complexity=0.25,
    input_tokens=100,
    max_output_tokens=0,
    tools=2,
    images=0,
    stream=True,
    json_schema=False,
    session_turns=3,
    run_cost_usd=0.5,
    run_steps=4,
    run_depth=1,
    budget_remaining_ratio=0.2,
    budget_burn_ratio=1.5,
    hour=12,
    weekday=3,
)


def faults(text: str) -> list[Fault]:
    with pytest.raises(ConditionError) as caught:
        CompiledCondition(text)
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('agent == "coder"', True),
        ('"coder" == agent', True),
        ("agent == 'writer'", False),
        ("agent != 'writer'", True),
        ("agent in ['writer', 'coder']", True),
        ("agent in []", False),
        ("agent in ['writer', 'co' + 'der']", True),
        ("team == 'engineering' && value_usd > 1.0", True),
        ("team == 'engineering' && value_usd > 10.0", False),
        ("agent == 'writer' || stream", True),
        ("!(agent == 'writer')", True),
        ("tags.feature == 'search'", True),
        ("tags['feature'] in ['search', 'chat'] && complexity < 0.3", True),
        ("'feature' in tags && !('other' in tags)", True),
        ("has(tags.feature)", True),
        ("tags.exists(key, key.startsWith('fea'))", True),
        ("run.cost_usd > 0.4 && run.steps == 4 && run.depth < 2", True),
        ("budget.remaining_ratio < 0.25 || budget.burn_ratio > 2.0", True),
        ("input_tokens + max_output_tokens > 99 && tools > 1 && images == 0", True),
        ("priority == 'normal' && !json_schema && session_turns >= 3", True),
        ("hour >= 8 && hour < 18 && weekday <= 5", True),
        ("agent.matches('^co')", True),
        ("true", True),
    ],
)
def test_what_is_true_of_a_request(text: str, expected: bool) -> None:
    assert CompiledCondition(text).matches(FACTS) is expected


def test_every_fact_can_be_read_and_has_its_type() -> None:
    literals = {"string": '"a"', "double": "0.5", "int": "1", "bool": "true", "map(string, string)": '{"a": "b"}'}
    values = {"string": "a", "double": 0.5, "int": 1, "bool": True, "map(string, string)": {"a": "b"}}
    variables = variables_of("request")

    assert len(variables) == len(Facts._fields)
    for name, variable in variables.items():
        field = Facts._fields[variable.place]
        assert name.replace(".", "_") == field
        condition = CompiledCondition(f"{name} == {literals[variable.type]}")
        assert condition.reads == {name}
        assert condition.matches(FACTS._replace(**{field: values[variable.type]})) is True


def test_an_answer_has_variables_of_its_own() -> None:
    condition = CompiledAnswerCondition(
        "answer.output_tokens > 3 && answer.text.contains('yes')"
        " && answer.finish_reason == 'stop' && answer.tool_calls == 0"
    )

    assert condition.matches(Answer("yes, it is", "stop", 0, 4)) is True
    assert condition.matches(Answer("yes, it is", "stop", 0, 3)) is False
    with pytest.raises(ConditionError, match="no variable is called 'agent'"):
        CompiledAnswerCondition("agent == 'coder'")
    with pytest.raises(ConditionError, match=r"no variable is called 'answer.txt'; did you mean 'answer.text'\?"):
        CompiledAnswerCondition("answer.txt == 'coder'")


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("agnt == 'a'", 1, 1, "no variable is called 'agnt'; did you mean 'agent'?"),
        ("stream && run.cost > 1.0", 1, 14, "no variable is called 'run.cost'; did you mean 'run.cost_usd'?"),
        ("budget > 1.0", 1, 1, "no variable is called 'budget'; did you mean 'budget.burn_ratio'?"),
        ("stream &&\n  agnt == 'a'", 2, 3, "no variable is called 'agnt'; did you mean 'agent'?"),
        ("siz(agent) > 3", 1, 4, "no function is called 'siz'; did you mean 'size'?"),
        ("agent == 3", 1, 7, "`==` does not go with a string and an int"),
        ("agent > 0.5", 1, 7, "`>` does not go with a string and a double"),
        ("tags > 3", 1, 6, "`>` does not go with a map(string, string) and an int"),
        ("agent in 'abc'", 1, 7, "`in` does not go with a string and a string"),
        ("agent.startsWith(3)", 1, 17, "`startsWith` does not go with a string and an int"),
        (
            "value_usd > 5",
            1,
            11,
            "`>` takes two ints or two doubles: beside a double write `100.0`, beside an int `100`",
        ),
        ("agent ==", 1, 9, "it ends too early"),
        ("value_usd", 1, 1, "a condition is true or false; this is a double"),
        ("input_tokens + 1", 1, 1, "a condition is true or false; this is an int"),
        ("(" * 100, 1, 1, "not a condition: CANCELLED: Expression recursion limit exceeded. limit: 32"),
        ("1" + " + 1" * 900 + " == 2", 1, 1, "nested too deeply"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, line: int, column: int, message: str) -> None:
    assert faults(text) == [Fault(line, column, message)]


def test_a_single_equals_sign_is_told() -> None:
    assert faults("agent = 'x'")[0] == Fault(1, 7, "`=` is no operator: write `==`")


def test_all_unknown_names_are_told_at_once() -> None:
    assert [fault.message.partition(";")[0] for fault in faults("agnt == 'a' || vlue_usd > 1.0")] == [
        "no variable is called 'agnt'",
        "no variable is called 'vlue_usd'",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "1 / (input_tokens - 100) == 1",
        "tags.nothing != 'a'",
        "tags['nothing'].startsWith('a')",
        "int(agent) > 3",
        "input_tokens * 9223372036854775807 > 3",
    ],
)
def test_what_fails_at_run_time_is_neither_true_nor_false(text: str) -> None:
    assert CompiledCondition(text).matches(FACTS) is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("input_tokens > 3", {"input_tokens": 2**70}),
        ("agent != 'b'", {"agent": "\ud800"}),
        ("value_usd > 3.0", {"value_usd": "much"}),
    ],
)
def test_a_value_that_cel_cannot_hold_is_a_failure(text: str, values: dict[str, Any]) -> None:
    assert CompiledCondition(text).matches(FACTS._replace(**values)) is None


def test_a_whole_number_counts_as_a_double() -> None:
    assert CompiledCondition("value_usd * 2.0 > 7.5").matches(FACTS._replace(value_usd=4)) is True


@pytest.mark.parametrize(("text", "expected"), [("tags.a == 'b'", False), ("stream && tags['a'] in ['b']", False)])
def test_a_tag_that_is_missing_equals_nothing(text: str, expected: bool) -> None:
    assert CompiledCondition(text).matches(FACTS) is expected


def test_what_it_reads_is_known() -> None:
    condition = CompiledCondition("complexity > 0.5 && (run.steps > 3 || tags.exists(k, k == agent))")

    assert condition.reads == {"complexity", "run.steps", "tags", "agent"}


def test_the_names_it_compares_with_are_known() -> None:
    condition = CompiledCondition("agent in ['a', 'b'] || team != 'c' || ('d' == agent && size(org) > 3)")

    assert condition.compares == {"agent": {"a", "b", "d"}, "team": {"c"}}


class Asked:
    """A program that says how often CEL is asked."""

    def __init__(self, condition: CompiledCondition) -> None:
        self.times = 0
        self._program = condition._program
        condition._program = self  # type: ignore[assignment]  # only its `result` is used

    def result(self, values: Facts) -> bool | None:
        self.times += 1
        return self._program.result(values)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("agent == 'writer' && complexity > 0.5", 0),
        ("complexity > 0.5 && (model in ['x'])", 0),
        ("complexity > 0.5 && tags.feature == 'chat' && stream", 0),
        ("agent == 'coder' && team in ['engineering'] && 'search' == tags['feature']", 0),
        ("agent == 'coder' && complexity > 0.1", 1),
        ("agent == 'writer' || complexity > 0.1", 1),
        ("agent == team", 1),
    ],
)
def test_cel_is_asked_only_where_a_look_up_does_not_answer(text: str, times: int) -> None:
    condition = CompiledCondition(text)
    asked = Asked(condition)

    condition.matches(FACTS)

    assert asked.times == times


NAMES = st.sampled_from(["coder", "writer", "engineering", "auto", "search", 'a"b\\c', "ü"])
PARTS = st.one_of(
    st.tuples(st.sampled_from(["agent", "team", "org", "model"]), NAMES).map(lambda p: f"{p[0]} == {cel_text(p[1])}"),
    st.tuples(NAMES, st.sampled_from(["agent", "model"])).map(lambda p: f"{cel_text(p[0])} == {p[1]}"),
    st.tuples(st.sampled_from(["agent", "team"]), st.lists(NAMES, max_size=3)).map(
        lambda p: f"{p[0]} in [{', '.join(map(cel_text, p[1]))}]"
    ),
    st.tuples(st.sampled_from(["feature", "b"]), NAMES).map(lambda p: f"tags.{p[0]} == {cel_text(p[1])}"),
    st.tuples(st.sampled_from(["feature", "b"]), NAMES).map(lambda p: f'tags["{p[0]}"] in [{cel_text(p[1])}]'),
    st.sampled_from(["value_usd > 1.0", "stream", "hour < 12", "agent != 'coder'", "(agent == 'coder' || stream)"]),
)
REQUESTS = st.builds(
    lambda agent, team, tags, value, stream: FACTS._replace(
        agent=agent, team=team, tags=tags, value_usd=value, stream=stream
    ),
    NAMES,
    NAMES,
    st.dictionaries(st.sampled_from(["feature", "b"]), NAMES),
    st.floats(0, 2),
    st.booleans(),
)


def cel_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(PARTS, min_size=1, max_size=4), REQUESTS)
def test_look_ups_say_what_cel_says(parts: list[str], facts: Facts) -> None:
    """But that a missing tag is not equal rather than a failure."""
    condition = CompiledCondition(" && ".join(parts))

    by_cel = condition._program.result(facts)

    assert (condition.matches(facts) is True) == (by_cel is True)
    if by_cel is False:
        assert condition.matches(facts) is False


@given(st.text(max_size=60))
def test_any_text_compiles_or_is_refused_with_a_place(text: str) -> None:
    found = mistakes(text)

    assert found is None or found
    assert all(fault.line >= 1 and fault.column >= 1 and fault.message for fault in found or [])
    if found is None:
        assert CompiledCondition(text).matches(FACTS) in {True, False, None}


def mistakes(text: str) -> list[Fault] | None:
    try:
        CompiledCondition(text)
    except ConditionError as error:
        return error.faults
    return None


def test_the_language_of_policies_does_without_cel() -> None:
    program = "import sys, routing.rules, routing.policy, routing.router; print('cel_expr_python' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
