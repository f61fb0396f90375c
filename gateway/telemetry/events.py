"""What happened, as frozen values. The request's path makes them; the journal, metrics and logs read them.

The path never imports prometheus_client or SQLAlchemy: it hands events to a `gateway.telemetry.recorder.Recorder`,
which passes them on in batches.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.ledger.operations import Run
from routing.decision import Considered, Shadow
from routing.money import ZERO, NanoUsd, Usage
from routing.profile import RequestProfile


class RequestStarted(NamedTuple):
    """An identified request entered the pipeline."""

    request_id: str
    org: str
    team: str
    agent: str


class ChargePosted(NamedTuple):
    """One upstream attempt and what it cost: an immutable ledger entry."""

    charge_id: str
    request_id: str
    attempt: int
    """1 for the first upstream call of the request."""
    at_s: float
    """Unix time of settlement."""
    org: str
    team: str
    agent: str
    model: str
    """The configured model's name."""
    deployment: str
    provider: str
    upstream_model: str
    usage: Usage
    price_point: str
    """`PricePoint.id`."""
    service_tier: str
    cost_nano_usd: NanoUsd
    estimated: bool
    """True when the provider sent no usage and the tokens are our estimate."""
    unpriced: bool
    """True when a configured ceiling stood in for a missing price."""
    outcome: str
    """`ok`, `shortened` (a metered stream whose money ended), `error` (refused by the upstream), `timeout`,
    `unreachable`, `cut` (broke mid-answer), `cancelled` (the client left), `malformed`, `unverified` (whole, but not
    what its rule's `verify` asks for), `drained` (the gateway stopped), `orphaned` (the gateway was lost)."""
    purpose: str
    """`useful`, or why money went elsewhere: `cancelled`, `failed`, `unverified`, `loop`, `retry`, `fallback`,
    `hedge`."""
    upstream_status: int | None
    latency_ms: float
    first_token_ms: float | None
    """From the upstream send to the first byte of the answer's body."""
    run_path: str = ""
    """The runs from the root to the attempt's own (each `agent/run`), joined by `>`; empty without a run."""
    user: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    window_at_s: float = 0.0
    """Unix time, the store's, whose budget windows the charge counts in: when it was reserved, or, where it spends what
    a run carved, when the outermost carve was made.

    0 where nothing governed it: it then counts at `at_s`.
    """
    resolution: str = "settled"
    """`settled`; `released` (nothing can have been billed: it counts nowhere); `orphaned` (its gateway was lost: it is
    charged in full); `correction` (what a late settlement changes of an orphaned charge; may be negative)."""
    reserved_nano_usd: NanoUsd = NanoUsd(0)
    """What was set aside for it in the end. A cost beyond it is an overrun. 0 where nothing governed it."""
    reserved_at_s: float = 0.0
    """When it was reserved itself, where that is not `window_at_s`; 0 where it is. The scopes that the carve is not
    reserved in (user, tag, model, provider, the runs inside it) count it in the windows of this moment."""
    listed_nano_usd: NanoUsd | None = None
    """What our price list says that it costs, where the provider's own word is charged instead; else None."""
    fee_nano_usd: NanoUsd = NanoUsd(0)
    """Part of the cost: what the tariff asks for `units`."""
    units: str = ""
    """What was billed by count beside tokens: `web_search=2`; empty for most."""


class Choice(NamedTuple):
    """What a policy decided for a request, and by what: enough to explain it, and to decide it again."""

    policy: str
    rule: str
    reason: str = ""
    strategy: str = "ordered"
    model: str = ""
    """The one to be called first; empty: the gates left none."""
    tier: str = ""
    arm: str = ""
    """Of an experiment: `experiment/arm`."""
    probability: float = 1.0
    """That this choice came out."""
    value_usd: float = 0.0
    """What a right answer was taken to be worth."""
    complexity: float | None = None
    """None: nothing read it."""
    p_correct: float | None = None
    money_price: float = 1.0
    expected_cost_nano_usd: NanoUsd = ZERO
    runner_up: str = ""
    strongest: str = ""
    strongest_cost_nano_usd: NanoUsd = ZERO
    """What the strongest candidate was expected to cost."""
    strongest_paid_nano_usd: NanoUsd | None = None
    """What the strongest candidate would have cost for the tokens of the answer; None: there is no answer."""
    asked_paid_nano_usd: NanoUsd | None = None
    """What the model that was asked for would have cost for them; None: it was left to the policy."""
    priority: str = "normal"
    run_cost_usd: float = 0.0
    """Of the request's run before it, as its gateway knew it."""
    run_steps: int = 0
    run_depth: int = 0
    budget_remaining_ratio: float = 1.0
    budget_burn_ratio: float = 0.0
    parallel_tools: bool = False
    in_tool_loop: bool = False
    downgraded: str = ""
    """Why it was sent to a weaker model than its rule says: `loop`, `velocity`, `budget`."""
    considered: tuple[Considered, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    failed: tuple[str, ...] = ()
    """Rules whose condition failed at run time."""
    skipped: tuple[str, ...] = ()
    """Rules that matched, and of which the gates left nothing."""


class RequestFinished(NamedTuple):
    """One identified client request, served or refused: a row of `requests`."""

    request_id: str
    at_s: float
    """Unix time of arrival."""
    org: str
    team: str
    agent: str
    key_id: str
    run: str | None
    parent_run: str | None
    session: str | None
    user: str | None
    tags: tuple[tuple[str, str], ...]
    value_nano_usd: NanoUsd | None
    sdk: str | None
    """The client library, from its User-Agent."""
    endpoint: str
    """`chat`, `completions`, `embeddings`."""
    model: str
    """As asked for; empty when the request could not be read."""
    profile: RequestProfile | None
    deployment: str
    """Empty when none was reached."""
    provider: str
    rule: str
    """The rule that chose the deployment, and why."""
    outcome: str
    """`ok`, `shortened`, `refused` (by Farebox, before any upstream call), `upstream_error`, `client_gone`, `cut`,
    `drained`, `error`, `lost` (its gateway was)."""
    status: int
    error_code: str
    """The `code` of the error body; empty on success."""
    latency_ms: float
    first_token_ms: float | None
    """From arrival to the first body byte handed to the client."""
    overhead_ms: float
    """Latency less the time spent waiting for the upstream."""
    streamed: bool
    cost_nano_usd: NanoUsd
    """The sum of the request's charges."""
    choice: Choice | None = None
    """What a policy decided; None where none did."""
    content: tuple[bytes, bytes] | None = None
    """Request and answer bodies, only under `record_content: true`."""
    traceparent: str = ""
    """The span of its client that it belongs to: `00-<trace id>-<span id>-<flags>`. Not in the journal."""

    @property
    def trace_id(self) -> str:
        """Of the client's trace, 32 hex digits; empty where it sent none."""
        return self.traceparent[3:35]


class OrphanReturned(NamedTuple):
    """A gateway that was taken for lost came back and settled an attempt: what the orphan was charged counts no more.

    The journal has a correction for it. Whoever adds up charges as they happen has counted the attempt twice.
    """

    org: str
    team: str
    agent: str
    model: str
    provider: str
    cost_nano_usd: NanoUsd
    """What the orphan was charged, less what nobody else has counted."""


class KeyRefused(NamedTuple):
    """A request without a valid key: it has no identity, and so no row."""

    at_s: float
    client: str
    """The client's address; behind a trusted proxy, the one the proxy reports."""
    code: str


class KeysReloaded(NamedTuple):
    """The key ring was read again."""

    keys: int


class ConfigLoaded(NamedTuple):
    """A configuration file was read: put in force, or refused."""

    at_s: float
    ok: bool
    version: int
    """Of the snapshot in force afterwards."""
    reason: str
    """Why it was refused; empty when it was not."""


class RunChanged(NamedTuple):
    """A run was opened, paused, resumed or closed."""

    run: Run
    """As it stands from then on."""
    at_s: float
    """Unix time, the store's. Of several changes the latest counts, in whatever order they are heard of."""


class Adjusted(NamedTuple):
    """An operator put money into a budget's counter or took some out: an immutable ledger entry."""

    entry_id: str
    at_s: float
    budget: str
    """`Budget.id`."""
    value: str
    """Which of the budget's counters: one of `Scope.values`; empty for `global`."""
    window_at_s: float
    """Unix time, the store's: any moment of the window that it counts in."""
    amount_nano_usd: int
    """Counted as spent; negative gives money back."""
    reason: str
    actor: str


class LoopFound(NamedTuple):
    """An agent repeats itself."""

    at_s: float
    agent: str
    run: str | None
    """`agent/run`."""
    kind: str
    """`repeated_call`, `alternating_calls`, `repeated_prompt`."""
    times: int
    action: str
    """What the agent's rule does about it: `observe`, `warn`, `block`, `downgrade`."""


class LimitNoticed(NamedTuple):
    """What a budget or limit did to a request besides refusing it."""

    at_s: float
    agent: str
    kind: str
    """`shadow` (a rule in shadow mode would have refused it), `clamped` (its answer was bounded lower), `waited` (for
    money that others had reserved), `refused`."""
    rule: str
    """The budget's or limit's name; empty for `clamped`."""
    scope: str
    reason: str
    """For `refused`, why: `budget_exceeded`, `budget_reserved`, `requests`, `tokens`, `concurrency`, `velocity` ..."""
    waited_s: float = 0.0


class BudgetCrossed(NamedTuple):
    """What is posted to a budget has passed one of its `alert_at` shares, or its limit."""

    at_s: float
    budget: str
    scope: str
    window: str
    share: float
    posted_nano_usd: int
    limit_nano_usd: int


class BreakerChanged(NamedTuple):
    """A breaker changed its state."""

    at_s: float
    breaker: str
    """A deployment's id, or a provider's name."""
    state_from: str
    state_to: str
    """`closed`, `open`, `half_open`, `forced_open`, `forced_closed`."""
    reason: str
    """See `routing.breaker.Transition`."""
    note: str = ""
    """An operator's own words, when they forced it."""
    actor: str = ""
    """Who forced it."""


class CredentialsRefused(NamedTuple):
    """A provider began to refuse our credentials or account, or accepts them again. Once for each change."""

    at_s: float
    provider: str
    refused: bool


WELL = frozenset(("ok", "shortened"))
"""Outcomes of charges whose attempts went well."""


class AttemptEnded(NamedTuple):
    """An upstream call ended, and not well: one that did is told by its charge alone (`WELL`)."""

    deployment: str
    kind: str
    """`first`, `fallback`, `retry`, `hedge`."""
    outcome: str
    """`cancelled` (by the client or by us), or a `routing.failures.FailureKind`."""


class AttemptDenied(NamedTuple):
    """A retry or a hedge was not made because there were too many lately."""

    model: str
    kind: str
    """`retry`, `hedge`."""


Event = (
    RequestStarted
    | ChargePosted
    | OrphanReturned
    | RequestFinished
    | KeyRefused
    | KeysReloaded
    | ConfigLoaded
    | RunChanged
    | Adjusted
    | LoopFound
    | LimitNoticed
    | BudgetCrossed
    | BreakerChanged
    | CredentialsRefused
    | AttemptEnded
    | AttemptDenied
)
