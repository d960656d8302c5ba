"""What alembic runs: the migrations, on the connection that the caller brought."""

from alembic import context

from bot.desk import tables  # noqa: F401  # the desk's tables join the conversations' metadata
from bot.dialogue.store import metadata
from bot.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
