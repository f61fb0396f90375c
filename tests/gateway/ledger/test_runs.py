"""Runs and their carves, adjustments, recovery and upkeep, a rule at a time."""

from __future__ import annotations

import pytest

from gateway.ledger.book import GRACE_S, Book
from gateway.ledger.budgets import RunLimits
from gateway.ledger.held import Carved
from gateway.ledger.operations import Amounts, Granted, Opening, Refused, Run, RunRefused, Ticket, Unit
from routing.money import NanoUsd
from tests.gateway.ledger.test_attempts import NOW_S, TOKENS, admit, bid, claim, posted_reserved

ORG = claim("b|org|acme|total", 100)


def opening(id: str = "r/a", parent: str | None = None, carve: int = 0, **more: object) -> Opening:
    claims = (ORG,) if carve else ()
    plain = Opening(id, parent, "acme", "r", RunLimits(), 600.0, NanoUsd(carve), claims)
    return plain._replace(**more)  # type: ignore[arg-type]


def carved(book: Book, spend: int, id: str = "a", run: str = "r/a", limit: int = 60) -> Granted | Refused:
    """An attempt in a run that has carved."""
    return book.admit(Ticket(id, (bid(claim(f"k|{run}", limit), money=spend),), (run,), f"carve:{run}"), NOW_S)


def cause(answer: Run | RunRefused) -> str | None:
    return answer.cause if isinstance(answer, RunRefused) else None


def why(answer: Granted | Refused) -> str:
    assert isinstance(answer, Refused)
    return answer.denials[0].cause


# --- the tree ---


def test_opening_a_run_again_finds_it() -> None:
    book = Book()
    book.open_run(opening(), NOW_S)
    first = book.open_run(opening("r/b", "r/a"), NOW_S)
    assert book.open_run(opening("r/b", limits=RunLimits(requests=1)), NOW_S + 9) == first
    assert cause(book.open_run(opening("r/b", "r/x"), NOW_S)) == "parent_differs"
    assert cause(book.open_run(opening("r/b", org="other"), NOW_S)) == "other_org"


def test_a_parent_must_be_known_open_and_of_the_same_org() -> None:
    book = Book()
    assert cause(book.open_run(opening("r/b", "r/a"), NOW_S)) == "parent_unknown"
    book.open_run(opening(), NOW_S)
    assert cause(book.open_run(opening("r/b", "r/a", org="other"), NOW_S)) == "other_org"
    book.pause_run("r/a", "looping", NOW_S)
    assert cause(book.open_run(opening("r/b", "r/a"), NOW_S)) == "parent_closed"


def test_no_more_runs_are_open_than_may_be() -> None:
    book = Book()
    for id, parent in (("r/a", None), ("r/b", "r/a")):
        assert isinstance(book.open_run(opening(id, parent, max_open=2), NOW_S), Run)
    refused = book.open_run(opening("r/c", carve=10, max_open=2), NOW_S)
    assert refused == RunRefused("too_many", "", 2)
    assert isinstance(book.open_run(opening("r/b", max_open=2), NOW_S), Run), "it is open already"
    book.pause_run("r/b", "looping", NOW_S)
    assert cause(book.open_run(opening("r/c", max_open=2), NOW_S)) == "too_many", "a paused run is not over"
    book.close_run("r/b", "done", NOW_S)
    assert isinstance(book.open_run(opening("r/c", max_open=2, ttl_s=5.0), NOW_S), Run)
    assert isinstance(book.open_run(opening("r/d", max_open=2), NOW_S + 5), Run), "the time of r/c is over"
    book.expire(NOW_S + 700)
    assert isinstance(book.open_run(opening("r/e", max_open=1), NOW_S + 700), Run), "all are forgotten"


def test_depth_and_children_are_limited_for_the_whole_subtree() -> None:
    book = Book()
    book.open_run(opening(limits=RunLimits(depth=1, children=1)), NOW_S)
    assert cause(book.open_run(opening("r/b", "r/a"), NOW_S)) is None
    assert book.open_run(opening("r/c", "r/b"), NOW_S) == RunRefused("depth", "run:r/a", 1)
    assert book.open_run(opening("r/c", "r/a"), NOW_S) == RunRefused("children", "run:r/a", 1)
    book.close_run("r/b", "done", NOW_S)
    assert cause(book.open_run(opening("r/c", "r/a"), NOW_S)) == "children", "closed ones count too"


def test_a_sub_run_never_outlives_its_parent() -> None:
    book = Book()
    book.open_run(opening(ttl_s=10.0), NOW_S)
    run = book.open_run(opening("r/b", "r/a"), NOW_S)
    assert isinstance(run, Run)
    assert run.closes_at_s == NOW_S + 10


def test_attempts_need_every_run_open_and_within_its_time() -> None:
    book = Book()
    book.open_run(opening(limits=RunLimits(wall_s=5.0)), NOW_S)
    book.open_run(opening("r/b", "r/a"), NOW_S)
    runs = ("r/b", "r/a")
    assert why(book.admit(Ticket("a", (bid(),), ("r/b", "r/x")), NOW_S)) == "closed"
    assert why(book.admit(Ticket("a", (bid(),), runs), NOW_S + 5)) == "time"
    book.pause_run("r/a", "looping", NOW_S)
    assert why(book.admit(Ticket("a", (bid(),), runs), NOW_S + 5)) == "paused"
    book.resume_run("r/a", NOW_S)
    assert isinstance(book.admit(Ticket("a", (bid(),), runs), NOW_S), Granted)
    assert why(book.admit(Ticket("b", (bid(),), runs), NOW_S + 600)) == "closed"


def test_closing_closes_sub_runs_and_ends_what_is_under_way() -> None:
    book = Book()
    book.open_run(opening(), NOW_S)
    book.open_run(opening("r/b", "r/a"), NOW_S)
    metered = bid(claim(calibrated=True), calibrated=Amounts(1, 1))
    book.admit(Ticket("a", (metered,), ("r/b", "r/a")), NOW_S)
    book.close_run("r/a", "done", NOW_S)
    found = book.run("r/b", NOW_S)
    assert found is not None
    assert (found.state, found.reason) == ("closed", "done")
    assert book.extend("a", Amounts(1, 1), NOW_S) == "gone"
    assert book.settle("a", Amounts(5, 5), NOW_S).resolution == "settled"
    assert book.resume_run("r/a", NOW_S) == book.run("r/a", NOW_S), "closed for good"
    assert book.close_run("r/x", "done", NOW_S) is None


def test_the_latest_runs_come_first() -> None:
    book = Book()
    for name in "abc":
        book.open_run(opening(f"r/{name}"), NOW_S)
    book.close_run("r/b", "done", NOW_S)
    assert [run.id for run in book.runs(NOW_S, limit=2)] == ["r/c", "r/b"]
    assert [run.id for run in book.runs(NOW_S, "open")] == ["r/c", "r/a"]


# --- carves ---


def test_a_carve_is_reserved_once_and_never_counted_twice() -> None:
    book = Book()
    book.open_run(opening(carve=60), NOW_S)
    assert posted_reserved(book, ORG.key) == (0, 60)
    carved(book, 40)
    assert posted_reserved(book, ORG.key) == (0, 60)
    book.settle("a", Amounts(25, 0), NOW_S)
    assert posted_reserved(book, ORG.key) == (25, 35)


def test_a_carve_that_does_not_fit_opens_no_run() -> None:
    book = Book()
    admit(book, "a", bid(ORG, money=50))
    assert book.open_run(opening(carve=60), NOW_S) == RunRefused("carve", ORG.scope, 100)
    assert book.run("r/a", NOW_S) is None
    assert posted_reserved(book, ORG.key) == (0, 50)


def test_closing_gives_back_what_is_left_and_not_under_way() -> None:
    book = Book()
    book.open_run(opening(carve=60), NOW_S)
    carved(book, 40)
    book.close_run("r/a", "done", NOW_S)
    assert posted_reserved(book, ORG.key) == (0, 40)
    book.settle("a", Amounts(25, 0), NOW_S)
    assert posted_reserved(book, ORG.key) == (25, 0)


def test_a_release_in_a_closed_run_gives_its_part_of_the_carve_back() -> None:
    book = Book()
    book.open_run(opening(carve=60), NOW_S)
    carved(book, 40)
    book.close_run("r/a", "done", NOW_S)
    book.release("a", NOW_S)
    assert posted_reserved(book, ORG.key) == (0, 0)


def test_a_time_to_live_ends_a_run_as_closing_does() -> None:
    book = Book()
    book.open_run(opening(carve=60), NOW_S)
    assert [run.id for run in book.expire(NOW_S + 600)] == ["r/a"]
    assert posted_reserved(book, ORG.key) == (0, 0)


def test_spend_and_corrections_pass_through_carves_of_carves() -> None:
    book = Book()
    book.open_run(opening(carve=60), NOW_S)
    purse = claim("k|r/a", 60)
    book.open_run(opening("r/b", "r/a", 30, carve_claims=(purse,), carve_via="carve:r/a"), NOW_S + 5)
    carved(book, 20, run="r/b", limit=30)
    orphaned = book.orphan("a", NOW_S)
    assert orphaned is not None
    assert orphaned.at_s == NOW_S, "it counts in the windows of the outermost carve"
    book.close_run("r/a", "done", NOW_S)
    keys = (ORG.key, "k|r/a", "k|r/b")
    assert [posted_reserved(book, key) for key in keys] == [(20, 0)] * 3
    book.settle("a", Amounts(12, 0), NOW_S)
    assert [posted_reserved(book, key) for key in keys] == [(12, 0)] * 3


def test_a_carve_that_is_not_there_admits_nothing() -> None:
    assert why(Book().admit(Ticket("a", (bid(),), (), "carve:r/a"), NOW_S)) == "closed"


# --- counters ---


def test_an_adjustment_is_posted_once_per_entry() -> None:
    book = Book()
    assert book.adjust(ORG.key, -5, "entry", NOW_S) is None
    book.seed(ORG, 50)
    for _ in range(2):
        state = book.adjust(ORG.key, -5, "entry", NOW_S)
    assert state is not None
    assert state.posted == 45


def test_counters_are_seeded_whole_or_by_bucket() -> None:
    book = Book()
    book.seed(ORG, 70)
    assert why(admit(book, "a", bid(ORG, money=31))) == "posted"
    rolling = claim("b|roll||rolling:600", bucket_s=10)
    bucket = int(NOW_S // 10)
    book.seed(rolling, {bucket - 61: 9, bucket - 60: 5, bucket: 1})
    assert posted_reserved(book, rolling.key) == (6, 0)
    for wrong, posted in ((ORG, {1: 1}), (rolling, 1)):
        with pytest.raises(ValueError):
            book.seed(wrong, posted)


# --- recovery ---


def test_what_is_pending_is_restored_as_it_was() -> None:
    book, again = Book(), Book()
    run = book.open_run(opening(carve=60), NOW_S)
    assert isinstance(run, Run)
    carved(book, 20)
    admit(book, "b", bid(claim(calibrated=True), calibrated=Amounts(10, 10)))
    book.extend("b", Amounts(7, 0), NOW_S)
    carve = Carved((ORG,), None, 0)
    for _ in range(2):
        again.restore_run(run, carve)
        for pending in book.pending():
            again.restore(pending)
    assert {s.key: s for s in again.counters(None, NOW_S)} == {s.key: s for s in book.counters(None, NOW_S)}
    assert again.orphan("b", NOW_S) == book.orphan("b", NOW_S)


def test_nothing_is_restored_without_what_it_stands_on() -> None:
    book, again = Book(), Book()
    run = book.open_run(opening(carve=60), NOW_S)
    sub = book.open_run(opening("r/b", "r/a"), NOW_S)
    carved(book, 20)
    assert isinstance(sub, Run)
    with pytest.raises(LookupError):
        again.restore_run(sub)
    with pytest.raises(LookupError):
        again.restore(book.pending()[0])
    assert isinstance(run, Run)
    with pytest.raises(LookupError):
        again.restore_run(run, Carved((ORG,), "carve:r/x", 0))


# --- upkeep ---


def test_counters_of_windows_long_ended_are_dropped_but_not_while_in_use() -> None:
    book = Book()
    day = claim("b|day|x|2026-11-18", end_s=NOW_S + 100)
    admit(book, "a", bid(day, money=0))
    later_s = NOW_S + 100 + GRACE_S
    book.expire(later_s)
    assert day.key in book, "an attempt under way counts in it"
    book.settle("a", Amounts(5, 0), later_s)
    book.expire(later_s - 1)
    assert day.key in book
    book.expire(later_s)
    assert day.key not in book


def test_idle_cells_and_forgotten_runs_are_dropped() -> None:
    book = Book()
    book.open_run(opening(carve=60), NOW_S)
    limit = claim("r|r/a|requests", 9, Unit.REQUESTS, scope="run:r/a")
    book.admit(Ticket("a", (bid(limit, rates=(TOKENS,)),), ("r/a",)), NOW_S)
    book.expire(NOW_S + 600)
    assert book.run("r/a", NOW_S + 600) is not None, "an attempt is under way"
    book.release("a", NOW_S + 600)
    book.expire(NOW_S + 5000)
    assert book.run("r/a", NOW_S + 5000) is None
    assert limit.key not in book
    assert book.pending() == []
