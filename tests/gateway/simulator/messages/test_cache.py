"""What a prompt's cache has and is given."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator.generation import CacheUse
from gateway.simulator.messages.cache import FIVE_MINUTES_S, HOUR_S, MIN_TOKENS, Mark, MarkedCache

IDS = list(range(5_000))


def test_what_is_marked_is_written_once_and_read_again() -> None:
    cache = MarkedCache()
    marks = [Mark(1_500, HOUR_S), Mark(2_000, None), Mark(3_000, FIVE_MINUTES_S), Mark(4_000, None)]
    assert cache.use("a", IDS, marks, 0.0) == CacheUse(0, 1_500, 1_500)
    assert cache.use("a", IDS, marks, 1.0) == CacheUse(3_000, 0, 0)
    assert cache.use("b", IDS, marks, 1.0) == CacheUse(0, 1_500, 1_500)


def test_a_longer_prompt_reads_what_a_shorter_one_wrote() -> None:
    cache = MarkedCache()
    cache.use("a", IDS[:2_000], [Mark(2_000, FIVE_MINUTES_S)], 0.0)
    grown = [Mark(2_000, None), Mark(2_500, FIVE_MINUTES_S)]
    assert cache.use("a", IDS, grown, 1.0) == CacheUse(2_000, 500, 0)
    assert cache.use("a", [7, *IDS[1:]], grown, 1.0) == CacheUse(0, 2_500, 0)


def test_time_takes_it_and_use_keeps_it() -> None:
    cache = MarkedCache()
    marks = [Mark(2_000, FIVE_MINUTES_S)]
    cache.use("a", IDS, marks, 0.0)
    assert cache.use("a", IDS, marks, 299.0).read == 2_000
    assert cache.use("a", IDS, marks, 598.0).read == 2_000
    assert cache.use("a", IDS, marks, 598.0 + 300.0) == CacheUse(0, 2_000, 0)


def test_nothing_is_asked_and_too_little_is_not_kept() -> None:
    cache = MarkedCache()
    assert cache.use("a", IDS, [Mark(3_000, None)], 0.0) == CacheUse()
    for _ in range(2):
        assert cache.use("a", IDS, [Mark(MIN_TOKENS - 1, HOUR_S)], 0.0) == CacheUse()


def test_the_least_recently_used_go_first() -> None:
    cache = MarkedCache(capacity=2)
    for owner in ("a", "b", "c"):
        cache.use(owner, IDS, [Mark(2_000, HOUR_S)], 0.0)
    assert [cache.use(owner, IDS, [Mark(2_000, HOUR_S)], 0.0).read for owner in ("c", "b", "a")] == [2_000, 2_000, 0]


ENDS = st.lists(st.integers(1, 5_000), min_size=1, max_size=6, unique=True).map(sorted)
TTLS = st.sampled_from([None, HOUR_S, FIVE_MINUTES_S])


@settings(deadline=None)
@given(st.lists(st.tuples(ENDS, st.lists(TTLS, min_size=6, max_size=6)), min_size=1, max_size=5))
def test_parts_never_exceed_the_prompt_up_to_the_last_mark(prompts: list[tuple[list[int], list[float | None]]]) -> None:
    cache = MarkedCache()
    for ends, ttls in prompts:
        marks = [Mark(end, ttl) for end, ttl in zip(ends, sorted(ttls, key=lambda ttl: -(ttl or 0)), strict=False)]
        used = cache.use("a", IDS, marks, 0.0)
        last = max((mark.end for mark in marks if mark.ttl_s is not None and mark.end >= MIN_TOKENS), default=0)
        assert min(used) >= 0
        assert sum(used) == last
