from __future__ import annotations

import pytest
from pydantic import ValidationError

from routing.policy import Policy


def test_a_policy_needs_only_a_name() -> None:
    policy = Policy.model_validate({"name": "default"})

    assert (policy.strategy, policy.description) == ("ordered", "")


@pytest.mark.parametrize(
    "written", [{}, {"name": ""}, {"name": "a b"}, {"name": "a", "strategy": "cheapest"}, {"name": "a", "rules": []}]
)
def test_anything_unknown_is_refused(written: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate(written)
