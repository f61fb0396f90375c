"""The store that many gateways share: counters in Valkey, a stream of events drained into PostgreSQL."""
