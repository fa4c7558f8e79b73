"""Frameworks: SQLAlchemy, FastAPI and Starlette. Each module needs the extra of its name."""
