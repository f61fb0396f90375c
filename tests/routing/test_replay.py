"""What a recorded request costs with a model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.lengths import Lengths
from routing.money import NanoUsd, Usage
from routing.recorded import Recorded
from routing.replay import Placed, World, priced
from tests.routing.recordings import paid, recorded, recordings
from tests.routing.world import LARGE, MIDDLE


@given(recordings(), st.booleans())
def test_the_model_that_answered_costs_what_it_cost(rows: list[Recorded], switched: bool) -> None:
    for row in rows:
        if row.model == "middle":
            assert priced(row, MIDDLE, Lengths(), switches=switched, switched=switched).cost == row.cost


@given(recordings())
def test_another_costs_its_price_and_what_failed(rows: list[Recorded]) -> None:
    for row in rows:
        if row.model == "middle":
            placed = priced(row, LARGE, Lengths(), switches=False, switched=False)
            assert placed.cost == paid("large", row.usage) + row.other_cost
            assert placed.output_tokens == row.usage.output_tokens


def test_a_switch_back_loses_the_cache_as_well() -> None:
    usage = Usage(1_000, 10, 900)
    row = recorded(1, "middle", usage=usage)
    lost = priced(row, MIDDLE, Lengths(), switches=True, switched=False)
    assert lost.cost == paid("middle", Usage(1_000, 10))


def test_who_was_refused_is_given_an_answer_of_the_usual_length() -> None:
    row = recorded(1, "", usage=Usage(), outcome="refused", max_output_tokens=100, answers=2)
    assert priced(row, LARGE, Lengths(), switches=False, switched=False) == Placed(
        "large", paid("large", Usage(1_000, 200)), "", 200
    )


def test_a_world_remembers_runs_and_conversations() -> None:
    world, row = World("w"), recorded(1, run="tester/r", session="tester/s")
    assert not world.switches(row, "small")
    world.enter(row, Placed("middle", NanoUsd(5)), "p")
    world.enter(row, Placed("middle", NanoUsd(6)), "p")
    world.enter(row, Placed("", refusal="budget"), "p")
    assert world.running(row) == (11, 2, 1.0, 0.0)
    assert world.switches(row, "small")
    assert not world.switches(row, "middle")
    assert not world.switches(recorded(2), "small")
