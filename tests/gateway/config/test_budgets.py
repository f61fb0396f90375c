"""Budgets, limits, runs, guards and metering: what people write, what it becomes, and everything that is wrong with it."""

# ruff: noqa: E501  # a case a line reads better than one broken into pieces
from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.compile import resolve_wildcard
from gateway.config.snapshot import QueueSettings, RunSettings, Snapshot
from gateway.guard.settings import DEFAULT_LOOPS, LoopRule, VelocityRule
from gateway.ledger.budgets import NO_LIMITS, Budget, Quota, RateLimit, RunLimits
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from routing.catalog import Deployment, Metering
from routing.money import NanoUsd

from .conftest import Load, Problems

USD = 1_000_000_000
BASE = """\
providers:
  sim: {base_url: http://127.0.0.1:1/v1}
  openai: {base_url: https://api.openai.com/v1}
models:
  small: {provider: sim, price: {input: "1", output: "2"}, aliases: [s], countable_stream: true, stops_on_disconnect: true}
  large: {provider: sim, price: {input: "1", output: "2"}}
  sim/*: {provider: sim, price: {input: "1", output: "2"}}
orgs: {acme: {}}
teams: {research: {org: acme}}
agents:
  dev: {requires: [user, "tag:feature"]}
"""


def warnings(snapshot: Snapshot) -> list[str]:
    """The warnings, without the file."""
    return [line.partition("config.yaml:")[2] for line in snapshot.warnings]


def test_budgets_as_people_write_them(load_text: Load) -> None:
    snapshot = load_text(
        BASE
        + """\
budgets:
  research-month: {scope: team:research, limit_usd: "200", window: month, timezone: Europe/Berlin, alert_at: [0.8, 1]}
  each-user-day: {scope: "user:*", limit_usd: "5", window: day, when_missing: shared}
  last-six-hours: {scope: global, limit_usd: "50", window: {rolling: 6h}, mode: shadow}
  search: {scope: "tag:feature=search", limit_usd: "0.000000001", window: week, on_exceed: downgrade, reserve: calibrated}
  kept: {scope: "model:small", limit_usd: "20", window: total, on_store_failure: open, allowance_usd: "1"}
"""
    )

    assert snapshot.warnings == ()
    assert snapshot.budgets == (
        Budget("research-month", Scope("team", "research"), NanoUsd(200 * USD), Window("month", "Europe/Berlin"), alert_at=(0.8, 1.0)),
        Budget("each-user-day", Scope("user", "*"), NanoUsd(5 * USD), Window("day"), when_missing="shared"),
        Budget("last-six-hours", Scope("global"), NanoUsd(50 * USD), Window("rolling", length_s=21_600), enforce=False),
        Budget("search", Scope("tag", "search", "feature"), NanoUsd(1), Window("week"), on_exceed="downgrade", reserve="calibrated"),
        Budget("kept", Scope("model", "small"), NanoUsd(20 * USD), Window("total"), on_store_failure="open", allowance=NanoUsd(USD)),
    )  # fmt: skip


def test_limits_as_people_write_them(load_text: Load) -> None:
    snapshot = load_text(
        """\
limits:
  per-agent: {scope: "agent:*", requests: 600/min, tokens: 1_000_000/hour, concurrency: 50}
  burst: {scope: global, requests: {limit: 600, per: 2m, burst: 50}, mode: shadow}
  plain: {scope: global, tokens: {limit: 7, per: 1d}}
"""
    )

    assert snapshot.rate_limits == (
        RateLimit("per-agent", Scope("agent", "*"), Quota(600, 60.0, 600), Quota(1_000_000, 3600.0, 1_000_000), 50),
        RateLimit("burst", Scope("global"), Quota(600, 120.0, 50), enforce=False),
        RateLimit("plain", Scope("global"), tokens=Quota(7, 86_400.0, 7)),
    )


def test_agents_have_what_governs_their_runs(load_text: Load) -> None:
    agent = load_text(
        BASE
        + """\
  all:
    reserve: calibrated
    max_output_tokens: 100
    clamp: {min_output_tokens: 32}
    assemble_whole_answers: true
    require_run: true
    requires: [session, "tag:a.b"]
    runs: {cost_usd: "1.5", requests: 10, tokens: 1_000, wall_s: 60, depth: 0, children: 2}
    loops: {action: block, window: 20, threshold: 5}
    velocity: {usd: "0.5", per_s: 10, action: warn}
"""
    ).agents["all"]

    assert (agent.reserve, agent.max_output_tokens, agent.clamp_min_output_tokens) == ("calibrated", 100, 32)
    assert (agent.assemble_whole_answers, agent.require_run) == (True, True)
    assert agent.requires == {"session", "tag:a.b"}
    assert agent.run_limits == RunLimits(NanoUsd(USD * 3 // 2), 10, 1_000, 60.0, 0, 2)
    assert agent.loops == LoopRule("block", 20, 5)
    assert agent.velocity == VelocityRule(NanoUsd(USD // 2), 10, "warn")


def test_what_an_agent_does_not_say(load_text: Load) -> None:
    agent = load_text(BASE).agents["dev"]

    assert (agent.reserve, agent.max_output_tokens, agent.clamp_min_output_tokens) == ("strict", None, 256)
    assert (agent.assemble_whole_answers, agent.require_run) == (False, False)
    assert (agent.run_limits, agent.loops, agent.velocity) == (NO_LIMITS, DEFAULT_LOOPS, None)


@pytest.mark.parametrize(
    ("written", "least"), [("off", None), ('"off"', None), ("{}", 256), ("{min_output_tokens: 1}", 1)]
)
def test_forms_of_a_clamp(load_text: Load, written: str, least: int | None) -> None:
    agent = load_text(f"agents: {{a: {{clamp: {written}, loops: {{action: off}}}}}}").agents["a"]

    assert agent.clamp_min_output_tokens == least
    assert agent.loops.action == "off"


def test_the_queue_runs_and_the_status(load_text: Load) -> None:
    snapshot = load_text(
        "queue: {wait_s: 0, max_waiting: 3}\nruns: {ttl_s: 60, key_ttl_s: 5, max_open: 9}\nbudget_status: 429\n"
    )

    assert snapshot.queue == QueueSettings(0.0, 3)
    assert snapshot.runs == RunSettings(60.0, 5.0, 9)
    assert snapshot.budget_status == 429
    bare = load_text("")
    assert (bare.queue, bare.runs, bare.budget_status) == (QueueSettings(), RunSettings(), 402)
    assert load_text("budget_status: ${STATUS}", {"STATUS": "422"}).budget_status == 422


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ('b: {scope: team:reserch, limit_usd: "1", window: day}', "14:14: budgets.b.scope: no team is called 'reserch'; did you mean 'research'?"),
        ('b: {scope: org:acne, limit_usd: "1", window: day}', "14:14: budgets.b.scope: no org is called 'acne'; did you mean 'acme'?"),
        ('b: {scope: agent:de, limit_usd: "1", window: day}', "14:14: budgets.b.scope: no agent is called 'de'; did you mean 'dev'?"),
        ('b: {scope: run:de/1, limit_usd: "1", window: day}', "14:14: budgets.b.scope: no agent is called 'de'; did you mean 'dev'?"),
        ('b: {scope: model:smal, limit_usd: "1", window: day}', "14:14: budgets.b.scope: no model is called 'smal'; did you mean 'small'?"),
        ('b: {scope: model:s, limit_usd: "1", window: day}', "14:14: budgets.b.scope: 's' is an alias; a scope has the model's own name"),
        ('b: {scope: provider:sym, limit_usd: "1", window: day}', "14:14: budgets.b.scope: no provider is called 'sym'; did you mean 'sim'?"),
        ('b: {scope: usr:x, limit_usd: "1", window: day}', "14:14: budgets.b.scope: no scope begins with 'usr'; did you mean 'user'?"),
        ('b: {scope: x, limit_usd: "1", window: day}', "14:14: budgets.b.scope: not a scope; examples are `global`, `team:research`, `user:*` or `tag:feature=search`"),
        ('b: {scope: 5, limit_usd: "1", window: day}', "14:14: budgets.b.scope: should be `global`, `team:research`, `user:*` or `tag:feature=search`"),
        ('b: {scope: "global:", limit_usd: "1", window: day}', "14:14: budgets.b.scope: `global` has no value: it is every request"),
        ('b: {scope: "team:", limit_usd: "1", window: day}', "14:14: budgets.b.scope: says not which team: write `team:<name>`, or `team:*` for a counter of each"),
        ('b: {scope: "agent:d*", limit_usd: "1", window: day}', "14:14: budgets.b.scope: `*` stands alone: `agent:*` keeps a counter of each; a part of a name cannot be left open"),
        ('b: {scope: "user:a b", limit_usd: "1", window: day}', "14:14: budgets.b.scope: not a name that a user can have"),
        ('b: {scope: "run:dev", limit_usd: "1", window: day}', "14:14: budgets.b.scope: a run's scope is `run:*` for each run, or `run:<agent>/<run>` for one"),
        ('b: {scope: "tag:feature", limit_usd: "1", window: day}', "14:14: budgets.b.scope: a tag's scope is `tag:<name>=<value>`, or `tag:<name>=*` for a counter of each value"),
        ('b: {scope: "tag:a=b|c", limit_usd: "1", window: day}', "14:14: budgets.b.scope: a tag's value is at most 256 printable characters, without `|`"),
        ('b: {scope: "${SCOPE}", limit_usd: "1", window: day}', "14:14: budgets.b.scope: what ${SCOPE} stands for will not do; it should be `global`, `team:research`, `user:*` or `tag:feature=search`"),
        ('b: {limit_usd: "1", window: day}', "14:3: budgets.b: needs `scope`"),
        ('b: {scope: global, limit_usd: 1, window: day}', '14:33: budgets.b.limit_usd: quote amounts of USD, so that they stay exact: "1"'),
        ('b: {scope: global, limit_usd: "0.0000000001", window: day}', "14:33: budgets.b.limit_usd: finer than a nano-dollar: at most 9 decimals"),
        ('b: {scope: global, limit_usd: "-1", window: day}', '14:33: budgets.b.limit_usd: not an amount of USD; write a decimal number such as "0.15", with at most 9 decimals'),
        ('b: {scope: global, limit_usd: "1"}', "14:3: budgets.b: needs `window`"),
        ('b: {scope: global, limit_usd: "1", window: dy}', "14:46: budgets.b.window: no window is called 'dy'; did you mean 'day'?"),
        ('b: {scope: global, limit_usd: "1", window: 5}', "14:46: budgets.b.window: should be one of hour, day, week, month, quarter, year, total, or `{rolling: 6h}`"),
        ('b: {scope: global, limit_usd: "1", window: {rolling: 59s}}', "14:56: budgets.b.window.rolling: a rolling window is at least a minute and at most 400 days long"),
        ('b: {scope: global, limit_usd: "1", window: {rolling: 401d}}', "14:56: budgets.b.window.rolling: a rolling window is at least a minute and at most 400 days long"),
        ('b: {scope: global, limit_usd: "1", window: {rolling: 6ms}}', "14:56: budgets.b.window.rolling: should be a length of time such as `90s`, `30m`, `6h` or `7d`"),
        ('b: {scope: global, limit_usd: "1", window: {rolling: 6h, rollin: 1h}}', "14:60: budgets.b.window.rollin: unknown setting 'rollin'; did you mean 'rolling'?"),
        ('b: {scope: global, limit_usd: "1", window: day, timezone: Europe/Berln}', "14:61: budgets.b.timezone: no time zone is called 'Europe/Berln'; did you mean 'Europe/Berlin'?"),
        ('b: {scope: global, limit_usd: "1", window: day, timezone: ../zones}', "14:61: budgets.b.timezone: no time zone is called '../zones'; they are called as in `Europe/Berlin`"),
        ('b: {scope: global, limit_usd: "1", window: {rolling: 6h}, timezone: UTC}', "14:71: budgets.b.timezone: a rolling window has no midnights, so no time zone"),
        ('b: {scope: global, limit_usd: "1", window: total, timezone: UTC}', "14:63: budgets.b.timezone: a window without an end has no midnights, so no time zone"),
        ('b: {scope: global, limit_usd: "1", window: day, alert_at: [0.9, 0.8]}', "14:61: budgets.b.alert_at: shares ascend: write the smallest first, each once"),
        ('b: {scope: global, limit_usd: "1", window: day, alert_at: [0]}', "14:61: budgets.b.alert_at: shares of the limit are above 0 and at most 10: 0.8 is 80 %"),
        ('b: {scope: global, limit_usd: "1", window: day, alert_at: [80]}', "14:61: budgets.b.alert_at: shares of the limit are above 0 and at most 10: 0.8 is 80 %"),
        ('b: {scope: global, limit_usd: "1", window: day, mode: dry}', "14:57: budgets.b.mode: should be 'enforce' or 'shadow'"),
        ('b: {scope: global, limit_usd: "1", window: day, on_exced: block}', "14:51: budgets.b.on_exced: unknown setting 'on_exced'; did you mean 'on_exceed'?"),
        ('b: {scope: global, limit_usd: "1", window: day, allowance_usd: "1"}', "14:66: budgets.b.allowance_usd: only with `on_store_failure: open`: it is for while the store is away"),
        ('b: {scope: global, limit_usd: "1", window: day, on_store_failure: open}', "14:69: budgets.b.on_store_failure: `open` needs an `allowance_usd`: what each gateway may spend in the meantime"),
        ('b: {scope: global, limit_usd: "1", window: day, on_store_failure: open, allowance_usd: "2"}', "14:90: budgets.b.allowance_usd: more than the limit itself"),
        ('"b|c": {scope: global, limit_usd: "1", window: day}', '14:3: budgets."b|c": not a name that can be used here; allowed are letters, digits and `._:-`, at most 128, a letter or digit first'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_budget(problems: Problems, budget: str, problem: str) -> None:
    assert problems(f"{BASE}\nbudgets:\n  {budget}\n", {"SCOPE": "secret:thing"}) == [f"config.yaml:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limits: {l: {scope: global}}", "1:10: limits.l: limits nothing: needs `requests`, `tokens` or `concurrency`"),
        ("limits: {l: {scope: agent:x, concurrency: 1}}", "1:21: limits.l.scope: no agent is called 'x'; none is defined"),
        ("limits: {l: {scope: global, requests: 600}}", "1:39: limits.l.requests: should be a count per time such as `600/min`"),
        ("limits: {l: {scope: global, requests: 10/week}}", "1:39: limits.l.requests: should be a count per time such as `600/min`; the time is s, min, h or d"),
        ("limits: {l: {scope: global, tokens: 0/min}}", "1:37: limits.l.tokens: should be a count per time such as `600/min`; the time is s, min, h or d"),
        ("limits: {l: {scope: global, tokens: {limit: 5}}}", "1:29: limits.l.tokens: needs `per`"),
        ("limits: {l: {scope: global, tokens: {limit: 5, per: 1m, brst: 5}}}", "1:57: limits.l.tokens.brst: unknown setting 'brst'; did you mean 'burst'?"),
        ("limits: {l: {scope: global, tokens: {limit: 5, per: 60}}}", "1:53: limits.l.tokens.per: should be a length of time such as `30m`"),
        ("limits: {l: {scope: global, concurrency: 0}}", "1:42: limits.l.concurrency: should be greater than or equal to 1"),
        ("agents: {a: {reserve: loose}}", "1:23: agents.a.reserve: should be 'strict' or 'calibrated'"),
        ("agents: {a: {clamp: on}}", "1:21: agents.a.clamp: should be `off`, or `{min_output_tokens: 256}`"),
        ("agents: {a: {clamp: {min: 1}}}", "1:22: agents.a.clamp.min: unknown setting 'min'; there is 'min_output_tokens'"),
        ("agents: {a: {requires: [usr]}}", "1:25: agents.a.requires[0]: should be `user`, `session` or `tag:<name>`"),
        ("agents: {a: {runs: {cost: 1}}}", "1:21: agents.a.runs.cost: unknown setting 'cost'; did you mean 'cost_usd'?"),
        ("agents: {a: {runs: {depth: -1}}}", "1:28: agents.a.runs.depth: should be greater than or equal to 0"),
        ("agents: {a: {loops: {action: kill}}}", "1:30: agents.a.loops.action: should be 'off', 'observe', 'warn', 'block' or 'downgrade'"),
        ("agents: {a: {loops: {window: 3, threshold: 5}}}", "1:14: agents.a.loops: `threshold` is larger than `window`: no loop would ever be seen"),
        ("agents: {a: {velocity: {}}}", "1:14: agents.a.velocity: needs `usd`"),
        ("queue: {wait_s: -1}", "1:17: queue.wait_s: should be greater than or equal to 0"),
        ("runs: {ttl: 5}", "1:8: runs.ttl: unknown setting 'ttl'; did you mean 'ttl_s'?"),
        ("budget_status: 403", "1:16: budget_status: should be 402, 422 or 429"),
        ("storage: {store: redis}", "1:18: storage.store: should be 'memory' or 'valkey'"),
        ("storage: {store: valkey}", "1:18: storage.store: `valkey` needs `valkey_url` and `journal_url` too: counters there, the journal in PostgreSQL"),
        ("storage: {store: valkey, valkey_url: '${V}'}", "1:18: storage.store: `valkey` needs `journal_url` too: counters there, the journal in PostgreSQL"),
        ("storage: {valkey_url: valkey://u:pw@h}", "1:23: storage.valkey_url: a secret is not written here in clear: put it in a variable and write ${NAME}, or in a file: file:/path"),
        ("storage: {valkey_url: '${J}'}", "1:23: storage.valkey_url: what the reference stands for should be a URL such as `valkey://host/...`"),
        ("storage: {journal_url: '${ODD}'}", "1:24: storage.journal_url: what the reference stands for should be a URL such as `postgresql://host/...`"),
        ("storage: {journal_url: '${HASH}'}", "1:24: storage.journal_url: what the reference stands for should be a URL such as `postgresql://host/...`"),
        ("storage: {installation: 'a{b}'}", "1:25: storage.installation: has characters that are not allowed here, or is too long; the pattern is ^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"),
    ],
)  # fmt: skip
def test_what_is_wrong_elsewhere(problems: Problems, text: str, problem: str) -> None:
    environ = {"V": "valkey://u:pw@h:1/0", "J": "postgresql://u:pw@h/d", "ODD": "postgresql://h:x/d"}
    environ["HASH"] = "postgresql://u:12#45@h/d"

    assert problems(text, environ) == [f"config.yaml:{problem}"]


def test_the_settings_of_a_shared_store(load_text: Load) -> None:
    text = 'storage: {store: valkey, valkey_url: "${V}", journal_url: "${J}", durability: power, installation: a, store_timeout_s: 2, max_lag_s: 3}'

    snapshot = load_text(text, {"V": "valkeys://u:s3cret@h:1/0", "J": "postgresql://u:s3cret@h/d"})

    storage = snapshot.storage
    assert (storage.store, storage.durability, storage.installation) == ("valkey", "power", "a")
    assert (storage.valkey_url, storage.journal_url) == ("valkeys://u:s3cret@h:1/0", "postgresql://u:s3cret@h/d")
    assert (storage.store_timeout_s, storage.max_lag_s) == (2.0, 3.0)
    assert "s3cret" not in repr(snapshot)
    assert load_text("storage: {valkey_url: '${V:-}'}").storage.valkey_url is None


def deployment(snapshot: Snapshot, name: str) -> Deployment:
    model = snapshot.catalog.find(name) or resolve_wildcard(snapshot, name)
    assert model is not None
    return model.deployments[0]


def test_declarations_make_a_deployment_metered(load_text: Load) -> None:
    snapshot = load_text(
        """\
providers: {sim: {base_url: http://a}, other: {base_url: "https://API.openai.com/v1"}}
models:
  both: {provider: sim, price: &p {input: "1", output: "2"}, countable_stream: true, stops_on_disconnect: true}
  one: {provider: sim, price: *p, countable_stream: true, stops_on_disconnect: false}
  told: {deployments: [{provider: other, model: m, price: *p, countable_stream: true, stops_on_disconnect: true, metering: {tokens_per_event: 4, read_ahead_tokens: 9}, image_tokens: 7}]}
  named: {provider: other, price: *p, max_tokens_field: max_tokens}
  w/*: {provider: other, price: *p, countable_stream: true, stops_on_disconnect: true, metering: {cancel_s: 2}, image_tokens: 3}
"""
    )

    assert deployment(snapshot, "both").metering == Metering()
    assert deployment(snapshot, "one").metering is None
    assert deployment(snapshot, "told").metering == Metering(4, 400.0, 0.5, 9)
    assert deployment(snapshot, "w/x").metering == Metering(cancel_s=2.0)
    fields = [deployment(snapshot, name).max_tokens_field for name in ("both", "told", "named", "w/x")]
    assert fields == ["max_tokens", "max_completion_tokens", "max_tokens", "max_completion_tokens"]
    assert [deployment(snapshot, name).image_tokens for name in ("both", "told", "w/x")] == [None, 7, 3]


@pytest.mark.parametrize("name", ["m", "m/*"])
@pytest.mark.parametrize(
    "also", ["", ", countable_stream: true", ", countable_stream: true, stops_on_disconnect: false"]
)
def test_metering_needs_both_declarations(problems: Problems, name: str, also: str) -> None:
    text = f'providers: {{p: {{base_url: http://a}}}}\nmodels:\n  {name}: {{metering: {{}}, provider: p, price: {{input: "1", output: "1"}}{also}}}\n'

    (problem,) = problems(text)

    assert problem.endswith(
        f"models.{name}.metering: needs `countable_stream: true` and `stops_on_disconnect: true` beside it"
    )


def test_one_deployment_of_two_models_has_one_word_on_its_streams(problems: Problems) -> None:
    text = """\
providers: {p: {base_url: http://a}}
models:
  a: {provider: p, model: m, price: {input: "1", output: "1"}}
  b: {provider: p, model: m, price: {input: "1", output: "1"}, image_tokens: 5}
"""

    assert "they must agree" in problems(text)[0]


def test_limits_on_what_clients_need_not_send_are_warned_of(load_text: Load) -> None:
    snapshot = load_text(
        BASE
        + """\
  one: {requires: [user]}
  two: {}
budgets:
  a: {scope: user:jo, limit_usd: "1", window: day}
  b: {scope: "user:*", limit_usd: "1", window: day}
  c: {scope: "user:*", limit_usd: "1", window: day, when_missing: shared}
  d: {scope: "tag:feature=x", limit_usd: "1", window: day}
  e: {scope: "user:*", limit_usd: "1", window: day, mode: shadow}
limits:
  f: {scope: "tag:feature=*", concurrency: 1}
"""
    )

    assert warnings(snapshot) == [
        "15:14: budgets.a.scope: binds only where the agent must send it, and these agents need not: two; say `requires: [user]` there",
        "16:14: budgets.b.scope: refuses requests without it (`when_missing: deny`), which these agents need not send: two; say `requires: [user]` there, or `when_missing: shared` here",
        '18:14: budgets.d.scope: binds only where the agent must send it, and these agents need not: one, two; say `requires: ["tag:feature"]` there',
        "19:14: budgets.e.scope: binds only where the agent must send it, and these agents need not: two; say `requires: [user]` there",
        '21:14: limits.f.scope: binds only where the agent must send it, and these agents need not: one, two; say `requires: ["tag:feature"]` there',
    ]


def test_calibration_that_nothing_can_be_metered_for_is_warned_of(load_text: Load) -> None:
    snapshot = load_text(
        BASE
        + """\
  a: {reserve: calibrated, allowed_models: [large, "sim/*"], requires: [user]}
  b: {reserve: calibrated, allowed_models: ["s*"]}
  c: {reserve: calibrated, allowed_models: [s]}
budgets:
  d: {scope: "model:large", limit_usd: "1", window: day, reserve: calibrated}
  e: {scope: "model:small", limit_usd: "1", window: day, reserve: calibrated}
  f: {scope: "model:*", limit_usd: "1", window: day, reserve: calibrated}
  g: {scope: "provider:openai", limit_usd: "1", window: day, reserve: calibrated}
  h: {scope: "provider:sim", limit_usd: "1", window: day, reserve: calibrated}
  i: {scope: "model:sim/x", limit_usd: "1", window: day, reserve: calibrated}
"""
    )

    assert [line.partition(" ")[2].partition(":")[0] for line in warnings(snapshot)] == [
        "agents.a.reserve",
        "budgets.d.reserve",
        "budgets.g.reserve",
        "budgets.i.reserve",
    ]
    assert warnings(snapshot)[0] == (
        "12:16: agents.a.reserve: `calibrated` is `strict` here: no deployment that it may use "
        "declares `countable_stream` and `stops_on_disconnect`"
    )


def test_a_budget_on_a_provider_that_is_left_out_is_fine(load_text: Load) -> None:
    snapshot = load_text(
        """\
providers: {p: {base_url: "${P}", optional: true}}
models: {m: {provider: p}}
budgets:
  a: {scope: "provider:p", limit_usd: "1", window: day}
  b: {scope: "model:m", limit_usd: "1", window: day}
"""
    )

    assert [str(budget.scope) for budget in snapshot.budgets] == ["provider:p", "model:m"]


def test_a_journals_url_without_its_store_is_warned_of(load_text: Load) -> None:
    snapshot = load_text("storage: {journal_url: '${J}'}", {"J": "postgresql://u:pw@h/d"})

    assert warnings(snapshot) == ["1:24: storage.journal_url: not used with `store: memory`, whose journal is in `dir`"]


def test_the_version_of_limits_is_the_newest_files_time(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("teams: {a: {}}\n")
    (tmp_path / "unused.yaml").write_text("")
    os.utime(tmp_path / "more.yaml", ns=(0, 4_000_000_000_123_456_789))
    os.utime(tmp_path / "unused.yaml", ns=(0, 5_000_000_000_000_000_000))

    assert load_text("include: [more.yaml]").limits_version == 4_000_000_000_123

    os.utime(tmp_path / "more.yaml", ns=(0, 1_000_000))
    snapshot = load_text("include: [more.yaml]")
    assert snapshot.limits_version == (tmp_path / "config.yaml").stat().st_mtime_ns // 1_000_000
