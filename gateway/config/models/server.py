"""The process: listeners, storage, the simulator, metrics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.config.models.base import Count, Flag, Id, Number, PathText, Port, Seconds, Secret, Text, Whole, Written


class Tls(Written):
    """The server's certificate."""

    certificate: PathText = Field(description="PEM file with the certificate and its chain.")
    key: PathText = Field(description="PEM file with the private key.")


class Server(Written):
    """The main listener."""

    host: Text = Field("127.0.0.1", description="Address to listen on. `0.0.0.0` is every IPv4 interface.")
    port: Port = Field(4000, description="Port to listen on.")
    tls: Tls | None = Field(None, description="Serve HTTPS with this certificate.")
    trusted_proxies: list[Text] = Field(
        [], description="Addresses or networks (`10.0.0.0/8`) of reverse proxies whose X-Forwarded-For is believed."
    )
    max_body_bytes: Count = Field(33_554_432, description="A larger request body is refused with 413.")
    max_upload_bytes: Count = Field(
        268_435_456, description="A larger form with files is refused with 413. Files are passed on as they come."
    )
    max_header_bytes: Count = Field(65_536, description="Longer request headers are refused.")
    max_connections: Count = Field(10_000, description="Client connections at a time; the next one gets 503.")
    header_timeout_s: Seconds = Field(
        30.0, description="A connection that has not sent its whole request by then is closed."
    )
    write_timeout_s: Seconds = Field(
        60.0, description="A client that reads next to nothing of a waiting answer for so long is cut off."
    )
    keepalive_s: Seconds = Field(75.0, description="How long an idle client connection is kept.")
    drain_s: Seconds = Field(30.0, description="How long SIGTERM waits for running answers before it cuts them.")


class AdminListen(Written):
    """A listener of its own."""

    host: Text = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(description="Port to listen on.")


class Admin(Written):
    """The admin API under `/admin/v1`."""

    key: Secret = Field(
        None,
        repr=False,
        description="Key of the role admin, at least 16 characters. Without any key the admin API is off.",
    )
    viewer_key: Secret = Field(None, repr=False, description="Key of the role viewer, which only reads.")
    listen: AdminListen | None = Field(
        None, description="Serve `/admin/v1` and `/metrics` here instead of on the main listener."
    )


class Storage(Written):
    """Where state lives, and how it is written."""

    dir: PathText = Field(".farebox", description="Folder of the journal's database and of caches.")
    record_content: Flag = Field(False, description="Store prompts and answers in the journal too.")
    flush_interval_s: Seconds = Field(
        0.1, description="How long a journal row may wait for others before they are committed."
    )
    max_pending_rows: Count = Field(
        100_000, description="Rows that may wait for the disk before new requests are refused with 503."
    )
    max_lag_s: Seconds = Field(5.0, description="A journal that is further behind refuses new requests with 503.")
    store: Literal["memory", "valkey"] = Field(
        "memory",
        description="Where counters live: in the one gateway process, or in a Valkey (or Redis 7) that several share.",
    )
    valkey_url: Secret = Field(
        None, repr=False, description="For `store: valkey`: a reference to `valkey://[user:password@]host:port[/db]`."
    )
    journal_url: Secret = Field(
        None,
        repr=False,
        description="For `store: valkey`: a reference to `postgresql://user:password@host/database`.",
    )
    keep_charges_days: Count | None = Field(
        None,
        description="Charges older than so many days are deleted; their daily sums stay. Longer than any budget's "
        "window. Absent: never.",
    )
    keep_requests_days: Count | None = Field(
        None, description="Rows of requests, decisions and feedback are deleted after so many days. Absent: never."
    )
    keep_content_days: Count | None = Field(
        30, description="Recorded prompts and answers are deleted after so many days. `null`: with their requests."
    )
    mask: list[Text] = Field(
        [],
        max_length=100,
        description="Regular expressions: what matches is masked in recorded content, as keys and secrets always are.",
    )
    durability: Literal["process", "power"] = Field(
        "process",
        description="`process`: a reservation outlives kill -9. `power`: it is on the disk before the answer begins.",
    )
    installation: Id = Field("farebox", description="Names this installation's keys in a Valkey that others use too.")
    store_timeout_s: Seconds = Field(
        1.0, description="The longest that a request waits for the store before it counts as unreachable."
    )
    gateway_timeout_s: Seconds = Field(
        10.0,
        description="For `store: valkey`: a gateway that was not heard of for so long is given up, and what it had "
        "reserved is charged in full. The same in every gateway.",
    )


class Simulator(Written):
    """The simulated provider, which answers without any real model."""

    enabled: Flag = Field(False, description="Start it with `farebox serve`.")
    host: Text = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(4010, description="Port to listen on.")
    seed: Whole = Field(1, description="The same seed gives the same answers.")
    speed: Number = Field(
        1.0,
        ge=0,
        le=1_000_000,
        description="Its pace: 1 is a real provider's, 10 ten times as fast, 0 without waiting.",
    )


class Metrics(Written):
    """Bounds on Prometheus labels."""

    max_label_values: Count = Field(500, description="Distinct values per label; the rest are counted as `_other`.")
