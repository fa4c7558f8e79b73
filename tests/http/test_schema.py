"""FastAPI's schema says by itself where 428 may come."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.security import APIKeyHeader

from tests.http.clinic import Clinic, client_for
from twinlock.integrations.fastapi import Releases, document, releases

key = APIKeyHeader(name="X-Key")


def rows() -> list[Any]:
    return []


def application(clinic: Clinic) -> FastAPI:
    app, router = clinic.application(), APIRouter(prefix="/wards")

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> str:
        return "x"

    @router.post("/{ward}/letters")
    async def letters(
        ward: str, signed: str = Depends(key), release: Releases = Depends(releases(items=rows))
    ) -> str:
        return "x"

    @app.get("/names")
    async def names(signed: str = Depends(key)) -> str:
        return "x"

    app.include_router(router)
    return app


@pytest.mark.parametrize("served", [True, False])
def test_428_is_described_for_the_operations_that_may_need_a_release(
    clinic: Clinic, served: bool
) -> None:
    app = application(clinic)
    if served:
        schema = client_for(app).get("/openapi.json").json()
    else:
        document(app)
        document(app)
        schema = app.openapi()
    operations = {
        path: operation
        for path, methods in schema["paths"].items()
        for operation in [*methods.values()]
    }
    told = {path for path, operation in operations.items() if "428" in operation["responses"]}
    assert told == {"/patients", "/wards/{ward}/letters"}
    found = operations["/patients"]["responses"]["428"]
    assert set(found["content"]) == {"application/problem+json", "application/twinlock-request"}
    assert set(found["headers"]) == {"Twinlock-Request", "Twinlock-Session"}


def test_what_else_the_schema_says_is_left_alone(clinic: Clinic) -> None:
    schema = client_for(application(clinic)).get("/openapi.json").json()
    assert set(schema["components"]["securitySchemes"]) == {"APIKeyHeader"}
    assert "security" not in schema["paths"]["/patients"]["get"]
    for path, method in (("/wards/{ward}/letters", "post"), ("/names", "get")):
        assert schema["paths"][path][method]["security"] == [{"APIKeyHeader": []}]


def test_an_application_without_other_schemes_gets_none(clinic: Clinic) -> None:
    schema = client_for(clinic.list_application()).get("/openapi.json").json()
    assert "securitySchemes" not in schema.get("components", {})


def test_the_schema_is_the_same_when_it_is_asked_for_again(clinic: Clinic) -> None:
    client = client_for(application(clinic))
    assert client.get("/openapi.json").json() == client.get("/openapi.json").json()


def test_other_applications_are_left_alone() -> None:
    document(object())
