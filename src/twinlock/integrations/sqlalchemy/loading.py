"""Reading attributes of a row without loading more than SQLAlchemy would."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import inspect
from sqlalchemy.util.concurrency import in_greenlet

from twinlock.errors import CallerError

UNLOADED: Final = object()
"""Stands for a deferred attribute, which is not loaded by asking for it."""


def loaded(row: Any, key: str) -> Any:
    """Return an attribute's value, or UNLOADED.

    An expired attribute is refreshed as by access to it. Raises CallerError ``sealed.not-loaded``
    where that cannot be done: in an AsyncSession, or outside of any.
    """
    state = inspect(row)
    if key in state.dict:
        return state.dict[key]
    if state.key is None:
        return None
    if key not in state.expired_attributes or state.mapper.attrs[key].deferred:
        return UNLOADED
    if state.session is None or (state.async_session is not None and not in_greenlet()):
        raise CallerError(
            "sealed.not-loaded",
            f"A {type(row).__name__} was expired and cannot be loaded again from here.",
            hint="Refresh it first (await session.refresh(row)), or use expire_on_commit=False.",
        )
    return getattr(row, key)
