from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.document import MAX_DEPTH, parse
from gateway.config.problems import dotted

FILE = Path("config.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", True),
        ("no", False),
        ("~", None),
        ("", None),
        ("12_000", 12_000),
        ("-3", -3),
        ("0.50", 0.5),
        ("1.5e-07", 1.5e-07),
        ("1e-07", 1e-07),
        ('"0.50"', "0.50"),
        ("'on'", "on"),
        ("2027-01-31", "2027-01-31"),
        ("12:30:45", "12:30:45"),
        ("0123", "0123"),
        ("0x1f", "0x1f"),
        ("9" * 60, "9" * 60),
        ("!!str 5", "5"),
    ],
)
def test_scalars_mean_what_people_expect(text: str, value: object) -> None:
    document = parse(f"key: {text}", FILE)

    assert document.problems == []
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


def test_every_value_and_key_has_its_place() -> None:
    document = parse("a:\n  - b: 1\n    c: {d: e}\n", FILE)

    assert document.place(("a", 0, "c", "d"))[1:] == (3, 12)
    assert document.place(("a", 0, "c"), key=True)[1:] == (3, 5)
    assert document.place(("a", 0, "nothing", "here"))[1:] == (2, 5)


def test_keys_stay_text() -> None:
    assert parse("on: 1\n5: 2\n", FILE).data == {"on": 1, "5": 2}


def test_anchors_and_merges_share_values_and_own_keys_win() -> None:
    document = parse("base: &base {a: 1, b: 2}\nother: &other {c: 3}\nx: {<<: [*base, *other], b: 9}\ny: *base\n", FILE)

    assert document.problems == []
    assert document.data["x"] == {"a": 1, "b": 9, "c": 3}
    assert document.data["y"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "'a' is already defined at line 1"),
        ("a: *b", 1, 4, "no anchor '&b' before this alias"),
        ("a: &x [*x]", 1, 8, "no anchor '&x' before this alias"),
        ("a: !python/object:os.system x", 1, 4, "YAML tags are not used here"),
        ("a: 1\n---\nb: 2\n", 2, 1, "a second YAML document; one file holds one"),
        ("? [a]\n: 1\n", 1, 3, "a key must be text"),
        ("<<: 5\n", 1, 5, "<< takes a mapping, or a list of them"),
        ("a: {b: 1\n", 2, 1, "not YAML: did not find expected ',' or '}'"),
        ("a: \x01", 1, 1, "not YAML: a character that YAML does not allow"),
        ("[" * 100_000, 1, MAX_DEPTH + 2, f"nested deeper than {MAX_DEPTH} levels"),
    ],
)
def test_what_is_no_plain_yaml_is_a_problem_at_its_place(text: str, line: int, column: int, message: str) -> None:
    (problem,) = parse(text, FILE).problems

    assert (problem.line, problem.column, problem.message) == (line, column, message)


def test_aliases_of_aliases_are_bounded() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]

    assert "more than" in parse("\n".join(lines), FILE).problems[0].message


@given(st.text(max_size=300))
def test_any_text_is_data_or_problems(text: str) -> None:
    document = parse(text, FILE)

    assert document.data is None or not document.problems or document.problems


@given(st.text(alphabet="ab:{}[]&*<!-? \n\"'#|>%@0.1", max_size=80))
def test_any_yaml_like_text_is_data_or_problems(text: str) -> None:
    for problem in parse(text, FILE).problems:
        assert problem.line >= 1
        assert problem.column >= 1


def test_paths_are_written_so_that_people_can_follow_them() -> None:
    assert dotted(("models", "openai/*", "deployments", 0, "price")) == "models.openai/*.deployments[0].price"
    assert dotted(("models", "gpt-4.1", "price")) == 'models."gpt-4.1".price'
