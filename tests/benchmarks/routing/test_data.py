from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.routing.data import Row, digest, folds, question, read_tables, request_of, training_rows
from tests.benchmarks.routing.tables import write_tables


def row(**changes: object) -> Row:
    fields: dict[str, object] = {
        "id": "a",
        "bench": "b",
        "prompt": "p",
        "split": "train",
        "license": "MIT",
        "models": {},
    }
    return msgspec.json.decode(msgspec.json.encode(fields | changes), type=Row)


def test_reads_every_table(tmp_path: Path) -> None:
    write_tables(tmp_path, 16)
    tables = read_tables(tmp_path)
    assert len(tables.rows) == 48
    assert {each.split for each in tables.of("pool7")} == {"train", "test", "blind"}
    assert all(bool(each.outcomes) == (each.split != "blind") for each in tables.rows)


def test_qualities_that_are_kept_back_are_no_outcomes(tmp_path: Path) -> None:
    write_tables(tmp_path, 8)
    assert read_tables(tmp_path).of("pool7", "blind")[0].outcomes == {}


def test_weights_learn_from_no_row_without_a_licence_and_from_no_other_split() -> None:
    rows = [
        row(id="kept", prompt="one question"),
        row(id="unlicensed", prompt="two", license="none: evaluation only, never for shipped weights"),
        row(id="tested", prompt="three", split="test"),
        row(id="blind", prompt="four", split="blind"),
    ]
    assert [each.id for each in training_rows(rows)] == ["kept"]


def test_weights_learn_from_no_question_that_another_table_holds_back() -> None:
    asked = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many?"
    framed = f"## Question:\n{asked}\n## Instruction\nAnswer in JSON."
    rows = [row(id="train", prompt=framed), row(id="held", prompt=asked, split="blind")]
    assert question(framed) == question(asked)
    assert training_rows(rows) == []


def test_short_stems_are_told_apart_by_their_choices() -> None:
    stem = "Which of the following is true?"
    assert question(f"{stem}\nA. one\nB. two") != question(f"{stem}\nA. three\nB. four")


def test_the_same_question_is_always_in_the_same_fold() -> None:
    rows = [row(id=str(number), prompt=f"question {number % 50}") for number in range(200)]
    found = folds(rows, 5)
    assert all(found[number] == found[number % 50] for number in range(200))
    assert set(found) == set(range(5))
    assert folds(rows, 5, seed=1) != found


def test_rows_are_read_as_the_gateway_reads_requests() -> None:
    tools = [{"name": "a"}, {"name": "b"}]
    found = request_of(row(prompt="call them", tools=tools, n_tools=2))
    assert (found.text_head, found.tools) == ("call them", 2)
    assert found.tools_bytes == len(msgspec.json.encode(tools))


def test_the_digest_depends_on_what_is_learned_from() -> None:
    one = [row(prompt="a")]
    assert digest(one) == digest([row(prompt="a")])
    assert digest(one) != digest([row(prompt="b")])
