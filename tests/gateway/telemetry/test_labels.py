from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.labels import OTHER, Label


def label(max_values: int, known: set[str]) -> tuple[Label, list[tuple[str, str]]]:
    evicted: list[tuple[str, str]] = []
    made = Label("agent", max_values, lambda name, value: evicted.append((name, value)))
    made.set_known(known)
    return made, evicted


def test_only_declared_values_get_through() -> None:
    agent, _ = label(10, {"a"})
    assert agent.value("a") == "a"
    assert agent.value("made-up") == OTHER
    assert agent.value("") == ""
    assert agent.overflow == 0


def test_the_cap_keeps_the_first_and_counts_the_rest() -> None:
    agent, _ = label(2, {"a", "b", "c"})
    assert [agent.value(raw) for raw in ("a", "b", "c", "c", "a")] == ["a", "b", OTHER, OTHER, "a"]
    assert agent.overflow == 2


def test_a_removed_id_counts_on_until_its_place_is_needed() -> None:
    agent, evicted = label(2, {"a", "b"})
    assert [agent.value("a"), agent.value("b")] == ["a", "b"]
    agent.set_known({"b", "c"})
    assert agent.value("a") == "a"
    assert evicted == []
    assert agent.value("c") == "c"
    assert evicted == [("agent", "a")]
    assert agent.value("a") == OTHER


@given(
    st.lists(
        st.one_of(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefgh"))),
        max_size=60,
    )
)
def test_never_more_values_than_the_cap(steps: list[str | set[str]]) -> None:
    agent, evicted = label(3, {"a", "b"})
    alive: set[str] = set()
    for step in steps:
        if isinstance(step, set):
            agent.set_known(step)
            continue
        value = agent.value(step)
        assert value in {step, OTHER}
        alive.difference_update(name for _, name in evicted)
        evicted.clear()
        if value != OTHER:
            alive.add(value)
        assert len(alive) <= 3
