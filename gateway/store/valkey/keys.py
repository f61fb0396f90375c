"""Names of what the store keeps in Valkey. All stand under one hash tag, so that they live on one node of a cluster.

{<installation>}:meta        hash: epoch, seq (events written), now (the last time told, microseconds), run_id
{<installation>}:events      stream: see codec.py; ids are `<epoch>-<seq>`
{<installation>}:c:<key>     hash: a counter. limit, version, posted, room (limit - posted - reserved), unit, scope;
                             a rolling one also bucket (seconds), first (oldest bucket that counts), b<number>
{<installation>}:counters    set: the keys of all counters
{<installation>}:g:<key>     string: a rate's theoretical arrival time
{<installation>}:r:<id>      hash: a reservation; `r:carve:<run>` a carve
{<installation>}:o:<owner>   set: pending reservations of a gateway
{<installation>}:owners      sorted set: gateways by their last heartbeat (microseconds)
{<installation>}:run:<id>    hash: a run
{<installation>}:kids:<id>   set: a run's direct sub-runs
{<installation>}:runs        sorted set: runs by the time they were opened (microseconds)
{<installation>}:ends        sorted set: open and paused runs by the end of their time to live (microseconds)
{<installation>}:adjusted:<key>|<entry>   string: this adjustment is posted
{<installation>}:breakers    hash: what gateways know of breakers (breakers.lua)
{<installation>}:probes:<breaker>   sorted set: attempts that try it, by the end of their lease (microseconds)
"""

from __future__ import annotations

from typing import NamedTuple


class Keys(NamedTuple):
    """The keys that the gateway itself names; Lua derives the others from `meta`."""

    meta: str
    events: str
    counters: str

    @classmethod
    def of(cls, installation: str) -> Keys:
        """The keys of an installation."""
        prefix = f"{{{installation}}}:"
        return cls(f"{prefix}meta", f"{prefix}events", f"{prefix}counters")
