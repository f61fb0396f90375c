"""Alembic's entry: runs the migrations on the connection that `gateway.journal.migrate` hands over."""

from alembic import context

from gateway.journal.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
