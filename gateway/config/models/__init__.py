"""What people write, as strict models. `gateway.config.compile` turns a `RawConfig` into a `Snapshot`."""

from gateway.config.models.root import RawConfig

__all__ = ["RawConfig"]
