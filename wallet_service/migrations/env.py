"""What alembic runs: the migrations, on the connection that the caller brought."""

from alembic import context

from wallet_service.migrations import VERSION_TABLE
from wallet_service.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
