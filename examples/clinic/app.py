"""The clinic as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from starlette.middleware.trustedhost import TrustedHostMiddleware

from examples.clinic import pages, records, sign_in, ways
from examples.clinic.audit import names_by_dek, newest_lines
from examples.clinic.guard import GuardMiddleware
from examples.clinic.models import Patient
from examples.clinic.parts import Database, Who
from examples.clinic.sign_in import SignInMiddleware
from twinlock.integrations.fastapi import TwinlockMiddleware
from twinlock.integrations.sqlalchemy import seal_with
from twinlock.server.asynchronous import AsyncVault

STATIC: Final = Path(__file__).parent / "static"
CLIENT: Final = Path(__file__).parents[2] / "web" / "dist" / "client.js"
"""The library for the pages, as `make web` builds it; an application of yours gets it from npm."""

_MAX_FORM: Final = 4096
_ALL: Final = "Each line was written before anything opened; names are the DEKs' patients now."
_OWN: Final = "Your own releases. Each line was written before anything opened."


def create_app(
    vault: AsyncVault,
    engine: AsyncEngine,
    *,
    origin: str,
    agent_origin: str,
    hosts: Sequence[str] = ("clinic.localhost", "localhost", "127.0.0.1"),
) -> FastAPI:
    """Return the application. ``hosts`` are the names that it answers to; ``origin`` is its own
    as browsers write it, which a passkey's signature is for.
    """
    app = FastAPI(title="Lindenhof Clinic", docs_url=None, redoc_url=None)
    sessions = seal_with(async_sessionmaker(engine, expire_on_commit=False), vault)
    app.state.sessions, app.state.vault, app.state.agent_origin = sessions, vault, agent_origin
    app.include_router(records.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.mount(ways.PATH, ways.routes(vault, sessions, origin=origin, agent_origin=agent_origin))
    _add_pages(app)
    # The last one added is the outermost: who is signed in is known before Twinlock asks.
    app.add_middleware(
        TwinlockMiddleware, vault=vault, session=sign_in.session_of, member=sign_in.member_of
    )
    app.add_middleware(SignInMiddleware, sessions=sessions)
    app.add_middleware(GuardMiddleware, agent_origin=agent_origin)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    return app


def _add_pages(app: FastAPI) -> None:
    app.add_api_route("/", home, include_in_schema=False)
    app.add_api_route("/login", login_form, response_class=HTMLResponse)
    app.add_api_route("/login", log_in, methods=["POST"])
    app.add_api_route("/logout", log_out, methods=["POST"])
    app.add_api_route("/patients", patients, response_class=HTMLResponse)
    app.add_api_route("/patients/{case}", patient, response_class=HTMLResponse)
    app.add_api_route("/audit", audit, response_class=HTMLResponse)
    app.add_api_route("/twinlock/client.js", client_library, include_in_schema=False)
    app.add_exception_handler(HTTPException, _problem)  # type: ignore[arg-type]


async def home() -> Response:
    """Lead to the patients."""
    return RedirectResponse("/patients", 303)


async def login_form(request: Request) -> str:
    """Show how to sign in: with a passkey, or by the form."""
    return pages.login_page(request.app.state.agent_origin)


async def log_in(request: Request, db: Database) -> Response:
    """Sign in; the cookie is for this site alone and out of reach of scripts."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise HTTPException(413, "This form is too large.")
    form = parse_qs(body.decode("utf-8", "replace"))
    username, password = (form.get(name, [""])[0] for name in ("username", "password"))
    token = await sign_in.begin(db, username, password)
    if token is None:
        said = "User name or password is wrong."
        origin = request.app.state.agent_origin
        return HTMLResponse(pages.login_page(origin, username, said), 401)
    answer = RedirectResponse("/patients", 303)
    sign_in.set_cookie(answer, token, request)
    return answer


async def log_out(db: Database, who: Who) -> Response:
    """End the login."""
    await sign_in.end(db, who.token)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(sign_in.COOKIE, httponly=True, samesite="strict")
    return answer


async def patients(request: Request, db: Database, who: Who, ward: str | None = None) -> str:
    """Show the list, of the user's own ward at first; its names come from the database in clear."""
    chosen = who.ward if ward is None else ward or None
    rows = await records.of_ward(db, chosen)
    return pages.patients_page(rows, chosen, who, request.app.state.agent_origin)


async def patient(request: Request, case: str, db: Database, who: Who) -> str:
    """Show one patient."""
    row = await records.find(db, case)
    return pages.patient_page(row, who, request.app.state.agent_origin)


async def audit(request: Request, db: Database, who: Who) -> str:
    """Show who released what: an admin sees all lines, everybody else the own ones."""
    rows = (await db.scalars(select(Patient))).all()
    vault = request.app.state.vault.vault
    lines = await asyncio.to_thread(newest_lines, vault, names_by_dek(rows))
    if not who.admin:
        lines = [line for line in lines if line.member_id == who.member_id]
    return pages.audit_page([line.fields() for line in lines], _ALL if who.admin else _OWN, who)


async def client_library() -> Response:
    """Serve Twinlock's library for pages."""
    if not CLIENT.is_file():
        raise HTTPException(503, "web/dist is not built: run `make web`.")
    return FileResponse(CLIENT, media_type="text/javascript")


async def _problem(request: Request, error: HTTPException) -> Response:
    """Answer scripts with JSON; lead people to the form, or tell them."""
    if request.url.path.startswith("/api/"):
        body = {"status": error.status_code, "detail": error.detail, "code": "clinic.refused"}
        return JSONResponse(body, error.status_code, media_type="application/problem+json")
    if error.status_code == 401:
        return RedirectResponse("/login", 303)
    who = sign_in.signed_in(request)
    return HTMLResponse(pages.message_page("Not here", error.detail, who), error.status_code)
