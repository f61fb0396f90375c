from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator.prefix_cache import BLOCK_TOKENS, MIN_TOKENS, PrefixCache


@settings(deadline=None)
@given(st.integers(0, 4000), st.integers(0, 4000), st.integers(0, 4000))
def test_the_common_prefix_in_whole_blocks(common: int, first: int, second: int) -> None:
    cache = PrefixCache()
    shared = list(range(common))
    assert cache.look_up("a", [*shared, -1, *range(first)]) == 0
    cached = cache.look_up("a", [*shared, -2, *range(second)])
    whole = common // BLOCK_TOKENS * BLOCK_TOKENS
    assert cached == (whole if whole >= MIN_TOKENS else 0)
    assert cache.look_up("b", shared) == 0


def test_the_oldest_is_forgotten() -> None:
    cache = PrefixCache(capacity=10)
    first = [1] * 1024
    cache.look_up("a", first)
    assert cache.look_up("a", first) == 1024
    cache.look_up("a", [2] * (1024 + 128 * 10))
    assert cache.look_up("a", first) == 0
