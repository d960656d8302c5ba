"""What alembic runs: the migrations, on the connection that the caller brought."""

from alembic import context

from bot.migrations import TABLES, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
