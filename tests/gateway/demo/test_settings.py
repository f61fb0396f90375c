from pathlib import Path

from gateway.config import load
from gateway.demo.agents import FLEET, ROGUE_BUDGET
from gateway.demo.settings import BAD_DAYS, Ports, configuration, key_variable
from gateway.simulator.models import MODELS


def test_the_configuration_loads_and_says_what_the_fleet_needs(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(configuration(FLEET, Ports(4001, 4011), storage="state", seed=7, speed=2.5), "utf-8")
    snapshot = load(config, {key_variable(role.name): f"key-of-{role.name}" for role in FLEET})
    assert (snapshot.server.port, snapshot.simulator.port) == (4001, 4011)
    assert (snapshot.simulator.enabled, snapshot.simulator.seed, snapshot.simulator.speed) == (True, 7, 2.5)
    assert snapshot.storage.dir == tmp_path / "state"
    assert set(snapshot.agents) == {role.name for role in FLEET}
    assert {key.agent for key in snapshot.keys} == {role.name for role in FLEET}
    assert set(snapshot.catalog.models) == {
        name for name, model in MODELS.items() if model.kind in {"chat", "embedding"}
    } | set(BAD_DAYS)
    assert snapshot.left_out == ()
    assert [(str(budget.scope), budget.limit, budget.enforce) for budget in snapshot.budgets] == [
        ("agent:rogue", ROGUE_BUDGET, True)
    ]


def test_no_key_is_written_down() -> None:
    text = configuration(FLEET, Ports(4001, 4011), storage="state", seed=1, speed=1)
    assert "${FAREBOX_DEMO_KEY_CODER}" in text
