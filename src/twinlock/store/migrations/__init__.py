"""Alembic's folder: how a database comes to the schema of this release, forward only."""
