from __future__ import annotations

import pytest

from gateway.guard.hints import is_waiting, lasting, only_looks, wording


@pytest.mark.parametrize(
    ("tool", "result"),
    [
        ("get_job", '{"status": "pending"}'),
        ("getBuildStatus", "17"),
        ("fetch", "HTTP/1.1 503 Service Unavailable"),
        ("fetch", "Error code: 429"),
        ("check_inbox", "[]"),
        ("result", '{"done": false}'),
        ("lock", "resource is locked, error"),
        ("sleep", "ok"),
    ],
)
def test_waiting(tool: str, result: str) -> None:
    assert is_waiting(tool, b"{}", result.encode())


@pytest.mark.parametrize(
    ("tool", "result"),
    [
        ("search", "[]"),
        ("get_job_status", '{"status": "completed"}'),
        ("run_tests", "running 3 tests ... 1 failed"),
        ("fetch", "404 not found"),
        ("count", "found 503 rows"),
        ("read_file", "The train is running late. " * 100),
    ],
)
def test_not_waiting(tool: str, result: str) -> None:
    assert not is_waiting(tool, b"{}", result.encode())


def test_a_shell_that_sleeps() -> None:
    assert is_waiting("bash", b'{"command":"sleep 30 && make"}', b'""')
    assert not is_waiting("bash", b'{"command":"make"}', b'""')


@pytest.mark.parametrize("tool", ["read_file", "searchWeb", "list-orders", "GET", "fs.glob", "db_query"])
def test_tools_that_only_look(tool: str) -> None:
    assert only_looks(tool)


@pytest.mark.parametrize("tool", ["bash", "update_list", "getOrCreate", "edit_file", "think", "", "find_and_replace"])
def test_tools_that_may_change_something(tool: str) -> None:
    assert not only_looks(tool)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 failed in 0.31s", "1 failed in 1.2s"),
        ("at 2026-11-21T07:00:00Z", "at 2026-11-21T08:00:01.5Z"),
        ("id 6f1d3c2a-0000-4000-8000-000000000001", "id 6f1d3c2a-0000-4000-8000-000000000002"),
        ("<object at 0x7f0000001234>", "<object at 0x7fffff001234>"),
        ("commit 3f2a9c0d1e4b", "commit 9f2a9c0d1e4c"),
    ],
)
def test_what_differs_every_time_is_left_out(one: str, other: str) -> None:
    assert lasting(one.encode()) == lasting(other.encode())


@pytest.mark.parametrize(("one", "other"), [("page 1", "page 2"), ("42%", "43%"), ("$10.01", "$10.02"), ("a", "b")])
def test_what_tells_something_stays(one: str, other: str) -> None:
    assert lasting(one.encode()) != lasting(other.encode())


def test_words_without_numbers() -> None:
    assert wording(b"Step 4 of 20.") == wording(b"Step 15 of 20.")
    assert wording(b"Go on.") != wording(b"Stop.")
