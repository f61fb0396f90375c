"""The composition root: builds every service from a configuration, starts them in order, and stops them in the other.

configuration -> journal -> recorder (journal, metrics, log) -> store -> pipeline -> keys -> listeners
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from gateway import __version__
from gateway.admission.admission import Admission
from gateway.admission.intents import Intents
from gateway.admission.watch import Watch
from gateway.alerting.alerting import Alerting
from gateway.api.openai import OpenAIApi
from gateway.api.operations import OperationsApi
from gateway.api.server import Listener
from gateway.config.problems import ConfigError
from gateway.config.reload import SnapshotHolder
from gateway.config.snapshot import Snapshot
from gateway.deciding.deciding import Deciding, Knowledge
from gateway.exchange import Upstreams
from gateway.feedback import Feedback
from gateway.governance import Governance
from gateway.identity.keyring import KeyRing
from gateway.journal.alerts import AlertLog
from gateway.journal.development import ensure_development_key
from gateway.journal.feedback import FeedbackLog
from gateway.journal.keystore import KeyStore
from gateway.journal.keysync import KeySync
from gateway.journal.prices import PriceLog
from gateway.journal.pruning import Pruner
from gateway.journal.reconciliations import Drifts
from gateway.journal.writer import Journal
from gateway.learned.expectations import Expectations
from gateway.learned.keeper import Keeper
from gateway.learned.quality import LearnedQuality
from gateway.ledger.report import BudgetLine
from gateway.pipeline import Pipeline, Stages
from gateway.reports.alerts import BudgetAlerts
from gateway.reports.budgets import Books
from gateway.reports.rates import price_points
from gateway.reports.standing import Standing
from gateway.responses import Responses
from gateway.runs import RunParts, RunService
from gateway.services import CatalogModels, Door, Parts, Services
from gateway.store.memory import MemoryStore
from gateway.store.opening import OpenStore, open_store
from gateway.store.timed import TimedStore
from gateway.telemetry.events import ChargePosted, ConfigLoaded, Event
from gateway.telemetry.log import AccessLog
from gateway.telemetry.metrics import Gauges, Known, Metrics
from gateway.telemetry.recorder import Recorder, Sink
from gateway.upstream.health import UpstreamHealth
from gateway.upstream.load import Loads
from gateway.upstream.probes import Probes
from gateway.upstream.switch import Switch
from routing.catalog import Deployment
from routing.quality import Quality

if TYPE_CHECKING:
    from gateway.telemetry.tracer import Tracer

log = logging.getLogger("farebox.app")


class JournalSink:
    """Hands events to the journal; not charges, where the store does."""

    def __init__(self, journal: Journal, *, charges: bool) -> None:
        self._write = journal.write
        self._charges = charges

    def receive(self, events: Sequence[Event]) -> None:
        """Take a batch."""
        if not self._charges:
            events = [event for event in events if type(event) is not ChargePosted]
        self._write(events)


class App:
    """A running gateway. Made by `await App.start(...)`, ended by `await app.stop()`."""

    services: Services

    def __init__(self, snapshot: Snapshot, journal: Journal, *, host: str, access_log: bool) -> None:
        self._journal = journal
        self._store: OpenStore | None = None
        self._alerts: BudgetAlerts | None = None
        self._pruner = Pruner(
            journal.database.engine,
            lambda: self._snapshots.current.storage,
            lambda: self._snapshots.current.responses,
        )
        self._standing: Standing | None = None
        self._expectations, self._quality = Expectations(), LearnedQuality()
        self._keepers = [Keeper(journal.database.engine, known) for known in (self._expectations, self._quality)]
        self._transport = Switch()
        self._drifts = Drifts(journal.database.engine)
        self._prices = PriceLog(journal.database.engine)
        self._metrics = Metrics(
            version=__version__,
            max_label_values=snapshot.metrics.max_label_values,
            gauges=Gauges(
                lambda: journal.pending,
                lambda: journal.lag_s,
                self._connections,
                lambda: self._health.retry_budgets(),  # noqa: PLW0108 -- it is made below
                lambda: self._health.hedge_budgets(),  # noqa: PLW0108
                self._budgets,
                self._drifts.ratios,
            ),
        )
        sinks: list[Sink] = [self._metrics, JournalSink(journal, charges=snapshot.storage.store == "memory")]
        if access_log:
            sinks.append(AccessLog())
        self._tracer = _tracer(snapshot)
        if self._tracer is not None:
            sinks.append(self._tracer)
        self._recorder = Recorder(sinks)
        self._snapshots = SnapshotHolder(snapshot, snapshot.source, self._recorder.record, host=host)
        self._keystore = KeyStore(journal.database)
        self._keyring = KeyRing(snapshot)
        self._keysync = KeySync(self._keystore, self._keyring, self._recorder.record)
        self._health = UpstreamHealth(snapshot.resilience, self._recorder.record)
        self._loads = Loads()
        self._probes = Probes(self._transport, self._health)
        self._door = Door(journal)
        self._responses = Responses(
            journal.database.engine, lambda: self._snapshots.current, alone=snapshot.storage.store == "memory"
        )
        self._alerting = Alerting(self._transport, AlertLog(journal.database))
        self._metrics.add(self._alerting)
        self._recorder.add(self._alerting)
        self._listeners: list[Listener] = []
        self._serves_admin = False
        self.development_key: str | None = None
        """A key made at this start because there was none; None at every other start."""

    @classmethod
    async def start(cls, snapshot: Snapshot, *, host: str, port: int, access_log: bool = False) -> Self:
        """Open the journal, read the keys and listen. Raises OSError (address taken), JournalError, ConfigError."""
        journal = await Journal.open(snapshot.storage)
        try:
            app = cls(snapshot, journal, host=host, access_log=access_log)
        except ConfigError:
            await journal.close()
            raise
        try:
            await app._start(host, port)
        except BaseException:
            await app.stop()
            raise
        return app

    @property
    def url(self) -> str:
        """Where the data plane listens."""
        return self._listeners[0].url

    @property
    def quality(self) -> Quality:
        """What is known of how good models are for agents."""
        return self._quality.quality

    @property
    def active(self) -> int:
        """Requests being served."""
        return sum(listener.active for listener in self._listeners)

    def _assemble(self, store: OpenStore) -> Services:
        """The services, on a store whose counters are complete."""
        journal, recorder, models = self._journal, self._recorder, CatalogModels()
        timed = TimedStore(store, lambda: store.status()["store"] == "ok")
        self._metrics.add(timed)
        quick = store if isinstance(store, MemoryStore) else None
        admission = Admission(timed, self._expectations, recorder, shared=store.shared, at_once=quick)
        intents = None
        if isinstance(store, MemoryStore):
            intents = Intents(store)
            recorder.add(intents)
        stages = Stages(
            self._door,
            self._keysync,
            self._responses.memory,
            Watch(timed, admission.runs, recorder),
            models,
            Deciding(Knowledge(store, self._health, self._loads, self._expectations.expect, self._quality)),
            Upstreams(admission, intents, self._health, self._transport, recorder, self._loads),
        )
        pipeline = Pipeline(stages)
        books = Books(timed, lambda: journal.database, recorder.record, self.flush)
        self._standing = Standing(books, lambda: self._snapshots.current)
        runs = RunService(
            RunParts(
                books,
                admission.rulebook,
                admission.runs,
                self._keystore,
                self._keyring.record,
                self._keysync.principal,
            )
        )
        return Services(
            self._snapshots,
            Parts(
                journal,
                self._keystore,
                self._keyring,
                self._keysync,
                pipeline,
                models,
                self._door,
                recorder,
                self._metrics,
                self._connections,
                Governance(books, runs, lambda: self._snapshots.current),
                self.flush,
                store.status,
                self._may_be_called,
                self._health,
                Feedback(FeedbackLog(journal.database.engine), self._quality, self.flush),
                self._responses,
            ),
        )

    async def _start(self, host: str, port: int) -> None:
        snapshot = self._snapshots.current
        store = self._store = await open_store(snapshot, self._journal, self.flush)
        for keeper in self._keepers:
            await keeper.load()
            keeper.start()
        self.services = self._assemble(store)
        told = AlertLog(self._journal.database)
        self._alerts = BudgetAlerts(self.services.governance.alerting, told, self._recorder.record)
        self._alerts.start()
        self._pruner.start()
        self._drifts.start()
        self._listeners = self._make_listeners(host, port)
        if snapshot.auth:
            self.development_key = await ensure_development_key(self._keystore, snapshot)
        await self._keysync.start()
        self._snapshots.subscribe(self._configure)
        self._configure(snapshot)
        store.on_orphans(self._metrics.receive)
        await store.share(self._health)
        self._recorder.record(ConfigLoaded(time.time(), True, snapshot.version, ""))
        await self._snapshots.start()
        for listener in self._listeners:
            await listener.start()
        self.services.ready = True

    def _make_listeners(self, host: str, port: int) -> list[Listener]:
        snapshot, services = self._snapshots.current, self.services
        admin = snapshot.admin
        self._serves_admin = admin.admin_key_sha256 is not None or admin.viewer_key_sha256 is not None
        if not self._serves_admin:
            return [Listener(OpenAIApi(services), snapshot.server, host=host, port=port)]
        from gateway.api.admin import admin_app  # FastAPI is imported only where it serves

        operations = admin_app(services)
        if admin.host is None or admin.port is None:
            return [Listener(OpenAIApi(services, admin=operations), snapshot.server, host=host, port=port)]
        return [
            Listener(OpenAIApi(services, metrics=False), snapshot.server, host=host, port=port),
            Listener(OperationsApi(services, operations), snapshot.server, host=admin.host, port=admin.port),
        ]

    def _may_be_called(self, deployment: Deployment) -> bool:
        (candidate,) = self._health.view((deployment,), time.monotonic())
        return candidate.admits != "no"

    def _connections(self) -> dict[str, int]:
        stats = self._transport.stats()
        return {"active": stats.in_use, "idle": stats.idle, "waiting": stats.waiting}

    async def _budgets(self) -> list[BudgetLine]:
        """For the metrics."""
        return [] if self._standing is None else await self._standing.lines()

    def _configure(self, snapshot: Snapshot) -> None:
        """Tell those who keep something of the configuration that it has changed."""
        admin = snapshot.admin
        if not self._serves_admin and (admin.admin_key_sha256 is not None or admin.viewer_key_sha256 is not None):
            log.warning("an admin key is configured now: the admin API is served after a restart")
        self._keyring.use(snapshot)
        self._transport.use(snapshot.endpoints.values())
        self._health.use(snapshot)
        self._probes.use(snapshot)
        if self._store is not None:
            self._store.use(snapshot)
        self._alerting.use(snapshot)
        self._prices.use(price_points(snapshot.catalog.models.values()).values())
        self._metrics.set_known(Known.of(snapshot), max_label_values=snapshot.metrics.max_label_values)

    async def flush(self) -> None:
        """Return when everything that has happened so far is in the journal, on disk."""
        self._recorder.flush()
        await self._journal.flush()
        if self._store is not None:
            await self._store.flush()

    async def reload(self) -> None:
        """Read the configuration again; a bad one is logged and refused."""
        await self._snapshots.reload()

    def example_model(self) -> str:
        """A chat model for an example."""
        return next(iter(self._snapshots.current.catalog.models), "gpt-5-mini")

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Finish what is being answered, or cut it after `server.drain_s` or when `hurry` is set; then lose nothing."""
        self._door.draining = True
        await self._snapshots.close()
        hurry = hurry or asyncio.Event()
        drain_s = self._snapshots.current.server.drain_s
        await asyncio.gather(self._stop_listeners(hurry), self._responses.drain(drain_s, hurry))
        await self._keysync.close()
        if self._alerts is not None:
            await self._alerts.close()
        await self._pruner.close()
        await self._drifts.close()
        await self._prices.close()
        await self._probes.close()
        self._recorder.flush()
        await self._alerting.close()
        await self._responses.close()
        await self._transport.close()
        for keeper in self._keepers:
            await keeper.close()
        if self._store is not None:
            await self._store.close()
        await self._journal.close()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)

    async def _stop_listeners(self, hurry: asyncio.Event) -> None:
        async def cut_when_hurried() -> None:
            await hurry.wait()
            for listener in self._listeners:
                listener.hurry()

        cutting = asyncio.create_task(cut_when_hurried())
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        cutting.cancel()


def _tracer(snapshot: Snapshot) -> Tracer | None:
    """OpenTelemetry is imported only where traces are sent."""
    if snapshot.tracing is None:
        return None
    from gateway.telemetry.tracer import open_tracer

    return open_tracer(snapshot.tracing)
