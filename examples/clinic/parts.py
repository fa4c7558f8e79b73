"""What handlers ask for: a database session, and who is signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from sqlalchemy.ext.asyncio import AsyncSession

from examples.clinic.sign_in import SignedIn, signed_in


async def _database(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for one run of a handler; it is given back before anybody is asked to release."""
    async with request.app.state.sessions() as session:
        yield session


def require_sign_in(request: Request) -> SignedIn:
    """Return who is signed in. Raises 401."""
    found = signed_in(request)
    if found is None:
        raise HTTPException(401, "Sign in first.")
    return found


Database = Annotated[AsyncSession, Depends(_database)]
Who = Annotated[SignedIn, Depends(require_sign_in)]
