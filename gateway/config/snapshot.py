"""The configuration as the gateway runs on it: immutable, resolved, with every reference checked.

`gateway.config.models` is what people write; `gateway.config.compile` turns it into this. A request keeps the snapshot
that it started with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from gateway.guard.settings import DEFAULT_LOOPS, LoopRule, VelocityRule
from gateway.identity.keys import KeyRecord
from gateway.ledger.budgets import NO_LIMITS, Budget, RateLimit, Reserve, RunLimits
from routing.attempts import AttemptRules
from routing.breaker import BreakerSettings
from routing.catalog import Catalog, Model
from routing.money import NanoUsd
from routing.retry_budget import RetryBudgetSettings
from routing.rules import CompiledPolicy


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an upstream may take, in seconds."""

    connect_s: float = 5.0
    first_byte_s: float = 120.0
    """From the request's last byte to the answer's first."""
    idle_s: float = 60.0
    """Between two chunks of an answer."""
    total_s: float = 600.0


@dataclass(frozen=True, slots=True, repr=False)
class LiteLLM:
    """How the LiteLLM SDK reaches a provider. Holds secrets: it has no repr."""

    provider: str
    """As LiteLLM calls it: `bedrock`."""
    params: bytes = b"{}"
    """A JSON object: arguments of every call, credentials included."""
    secrets: tuple[str, ...] = ()
    """Values in `params` that no error may show."""
    drop_params: bool = False
    """Leave out what the provider has no words for."""


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """How to reach a provider. Holds a secret: it has no repr."""

    provider: str
    base_url: str
    """With the API's prefix, without a trailing slash: `https://api.openai.com/v1`. Empty where an SDK knows it."""
    headers: tuple[tuple[str, str], ...]
    """Credentials and configured extra headers, sent with every request."""
    dialect: str = "openai"
    """How it is spoken to: one of `gateway.config.dialects.DIALECTS`."""
    api_version: str | None = None
    """Azure's: None where the base URL says it."""
    timeouts: Timeouts = Timeouts()
    ca_file: Path | None = None
    """A private CA's bundle; the system's trust store when None."""
    verify_tls: bool = True
    proxy: str | None = None
    """`http://[user:password@]host:port`, or None for a direct connection (the environment is read at load)."""
    max_connections: int = 1000
    keepalive_s: float = 30.0
    """An idle connection older than this is not used again."""
    max_response_bytes: int = 67_108_864
    litellm: LiteLLM | None = None
    """For `dialect: litellm`, and for no other."""
    probe_s: float | None = None
    """Ask for its list of models so often; None: never."""
    natives: frozenset[str] = frozenset()
    """The tongues that it speaks itself (`messages`, `responses`): what clients say in them is not translated."""


@dataclass(frozen=True, slots=True)
class Agent:
    """The unit of governance."""

    id: str
    team: str
    org: str
    trust: frozenset[str] = frozenset()
    """Which of `value`, `priority` and `complexity` count when its client sends them."""
    allowed_models: frozenset[str] | None = None
    """Names and `*` patterns; None allows all."""
    value: NanoUsd | None = None
    """What a right answer is worth, where its client does not say or is not trusted to."""
    max_value: NanoUsd | None = None
    """The most that an answer counts for."""
    residency: frozenset[str] = frozenset()
    """Tags that a deployment must have to be called for it."""
    reserve: Reserve = "strict"
    """What budgets that do not say themselves reserve for its requests."""
    max_output_tokens: int | None = None
    """The longest answer it may ask for; longer ones are cut to it, and requests without a bound get it."""
    clamp_min_output_tokens: int | None = 256
    """An answer that does not fit a budget is shortened to no less than this; None refuses it instead."""
    assemble_whole_answers: bool = False
    """Stream from the provider for a client that does not stream, so that its answer can be metered too."""
    require_run: bool = False
    requires: frozenset[str] = frozenset()
    """Labels its clients must send: `user`, `session`, `tag:<name>`. Budgets on users and tags bind only then."""
    run_limits: RunLimits = NO_LIMITS
    loops: LoopRule = DEFAULT_LOOPS
    velocity: VelocityRule | None = None


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Waiting for money that others have reserved."""

    wait_s: float = 5.0
    max_waiting: int = 1_000
    """Requests that may wait for one scope; the next is refused at once."""


@dataclass(frozen=True, slots=True)
class Resilience:
    """What is done on a provider's bad day."""

    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    attempts: AttemptRules = field(default_factory=AttemptRules)
    retry_budget: RetryBudgetSettings = field(default_factory=RetryBudgetSettings)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Runs in general."""

    ttl_s: float = 604_800.0
    """A run is forgotten so long after it was opened, unless its opening says less."""
    key_ttl_s: float = 3_600.0
    """How long a key from `POST /v1/runs` lives unless the request says less."""
    max_open: int = 100_000
    """Runs that may be open at a time, of all agents; another one is refused."""


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """What is kept of the Responses API."""

    enabled: bool = True
    ttl_s: float = 2_592_000.0
    max_bytes: int = 1_073_741_824
    """Of all responses and conversations together."""
    max_response_bytes: int = 8_388_608
    """A larger one is not kept."""
    max_chain: int = 500
    """Responses that may follow one another."""
    max_background: int = 100
    """Responses that are made in the background at a time, by this gateway."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The server's certificate."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The listener. Changes need a restart."""

    host: str = "127.0.0.1"
    port: int = 4000
    tls: TlsFiles | None = None
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For is believed."""
    max_body_bytes: int = 33_554_432
    max_upload_bytes: int = 268_435_456
    """Of a form with files, which is passed on as it comes."""
    max_header_bytes: int = 65_536
    max_connections: int = 10_000
    header_timeout_s: float = 30.0
    """A connection that has not sent its whole request by then is closed."""
    write_timeout_s: float = 60.0
    """A client that reads next to nothing of a waiting answer for so long is cut off."""
    keepalive_s: float = 75.0
    drain_s: float = 30.0
    """How long SIGTERM waits for streams before it cuts them."""


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """Who may use `/admin/v1`, and where it listens. No keys: the admin API is off."""

    admin_key_sha256: bytes | None = None
    viewer_key_sha256: bytes | None = None
    host: str | None = None
    port: int | None = None
    """A listener of its own for `/admin/v1` and `/metrics`; None serves both on the main one."""


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where state lives."""

    dir: Path = Path(".farebox")
    record_content: bool = False
    flush_interval_s: float = 0.1
    """The journal's group commit: how long a row may wait for company."""
    max_pending_rows: int = 100_000
    """Rows that may wait for the disk before new requests are refused (503)."""
    max_lag_s: float = 5.0
    """A journal that is further behind stops admission (503)."""
    store: Literal["memory", "valkey"] = "memory"
    durability: Literal["process", "power"] = "process"
    """`process`: a reservation outlives kill -9; `power`: it is on the disk before the answer's first byte."""
    valkey_url: str | None = field(default=None, repr=False)
    """`valkey://[user:password@]host:port[/db]`, for `store: valkey`."""
    journal_url: str | None = field(default=None, repr=False)
    """`postgresql://user:password@host/database`; None: SQLite in `dir`."""
    installation: str = "farebox"
    """Names the keys of this installation in a Valkey that others use too."""
    store_timeout_s: float = 1.0
    """The longest a request waits for the store before it counts as unreachable."""
    keep_charges_days: int | None = None
    """Charges that are older are deleted, their daily sums stay; None keeps them for ever."""
    keep_requests_days: int | None = None
    keep_content_days: int | None = 30
    mask: tuple[str, ...] = ()
    """Regular expressions of what recorded content must not show, besides keys and secrets."""
    gateway_timeout_s: float = 10.0
    """A gateway that shares the store and was not heard of for so long is given up; it says that it lives five times
    as often."""


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """The simulated provider that `farebox serve` starts beside the gateway. See docs/how-to/simulate.md."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = 4010
    seed: int = 1
    speed: float = 1.0
    """1 is a real provider's pace; 10 ten times as fast; 0 without any waiting."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Bounds on label values."""

    max_label_values: int = 500
    """Distinct values per label; the rest are counted as `_other`."""


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where traces go. See docs/tracing.md."""

    endpoint: str
    """An OTLP collector's URL for traces."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    service_name: str = "farebox"
    sample_ratio: float = 1.0
    """Of the traces whose client has not decided it."""
    content: bool = False
    """Whether prompts and answers are in the spans."""


@dataclass(frozen=True, slots=True)
class AlertSink:
    """Where alerts go."""

    name: str
    type: Literal["slack", "webhook", "log"]
    kinds: frozenset[str] | None = None
    """None: all."""
    endpoint: Endpoint | None = None
    """Of all but `log`."""
    path: bytes = field(default=b"", repr=False)
    """Below the endpoint, with its query. A secret: whoever knows it can post."""


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Who is told when something is wrong."""

    sinks: tuple[AlertSink, ...] = ()
    repeat_s: float = 3_600.0
    """The same alert is not told again for so long."""
    links: tuple[tuple[str, str], ...] = ()
    """Names, and URLs with places in braces."""


class PolicyFile(NamedTuple):
    """A policy, and where it is written."""

    name: str
    file: Path


class WildcardResolver(Protocol):
    """Finds the models that the configuration's patterns stand for."""

    def resolve(self, name: str) -> Model | None:
        """The model behind a name that no model and no alias has, priced; None when no pattern fits."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a request may read."""

    version: int
    source: Path
    files: tuple[Path, ...]
    """All files it was read from, includes too: what the reloader watches."""
    auth: bool
    """False only on a loopback address: every request is then the `anonymous_agent`'s."""
    anonymous_agent: str | None
    server: ServerSettings
    admin: AdminSettings
    storage: StorageSettings
    simulator: SimulatorSettings
    metrics: MetricsSettings
    endpoints: Mapping[str, Endpoint]
    catalog: Catalog
    agents: Mapping[str, Agent]
    keys: tuple[KeyRecord, ...] = ()
    """Keys that the configuration itself declares."""
    left_out: tuple[str, ...] = field(default=())
    """One line for each optional provider that is not configured, and for what went with it."""
    policy_folder: Path = Path("policies")
    policies: tuple[PolicyFile, ...] = ()
    """All of them, by file name; one that was put in the place of another comes first."""
    compiled_policies: Mapping[str, CompiledPolicy] = field(default_factory=dict)
    """Those that choose models, by name."""
    agent_policies: Mapping[str, CompiledPolicy] = field(default_factory=dict)
    """By agent, of agents that have one. Others' requests go to the model that they ask for."""
    wildcards: WildcardResolver | None = None
    """None when the configuration has no wildcard. Use `gateway.config.compile.resolve_wildcard`."""
    budgets: tuple[Budget, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    queue: QueueSettings = QueueSettings()
    runs: RunSettings = RunSettings()
    responses: ResponseSettings = ResponseSettings()
    limits_version: int = 0
    """Of budgets and limits, comparable between gateways: the newest configuration file's time, in milliseconds."""
    resilience: Resilience = Resilience()
    timeouts: Mapping[str, Timeouts] = field(default_factory=dict)
    """Of deployments that have their own, by id; the others have their endpoint's."""
    capacities: tuple[RateLimit, ...] = ()
    """What deployments can take, of those of which it is known: each covers one deployment."""
    budget_status: int = 402
    """The status of a request that a budget refuses for good: 402, 422 or 429."""
    warnings: tuple[str, ...] = ()
    """One line, with its place, for each thing that is allowed and probably not meant."""
    tracing: TracingSettings | None = None
    """None: no traces are sent."""
    alerts: AlertSettings = AlertSettings()
    folders: tuple[Path, ...] = ()
    """Where a new file may become part of the configuration: the folders of `include` patterns and of policies."""
