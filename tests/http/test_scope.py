"""What was opened is gone when the answer has been sent."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import BackgroundTasks, Depends
from fastapi.responses import StreamingResponse

from tests.http.clinic import Clinic, client_for, code
from twinlock import CallerError, Context, Opened
from twinlock.core.adopted import LegacyCell
from twinlock.integrations.fastapi import Releases, releases
from twinlock.server.legacy import LegacyRow


def read(view: Any) -> str:
    try:
        return str(view.diagnosis)
    except CallerError as error:
        return error.code


def read_opened(opened: Opened) -> str:
    try:
        return opened.text().reveal()
    except CallerError as error:
        return error.code


def test_a_background_task_reads_nothing_any_more(clinic: Clinic) -> None:
    """R-HTTP-13."""
    app, seen = clinic.application(), []

    @app.get("/patients")
    async def patients(
        later: BackgroundTasks, release: Releases = Depends(releases())
    ) -> list[str]:
        views = await release.opened(clinic.patients)
        pairs = await release.open([(p.context, p.stored) for p in clinic.patients])
        later.add_task(lambda: seen.extend([*map(read, views), *map(read_opened, pairs)]))
        return [*map(read, views), *map(read_opened, pairs)]

    client = client_for(app)
    with clinic.weber.releasing(client):
        assert client.get("/patients").json() == ["I48.0", "I10", "I48.0", "I10"]
    assert seen == ["opened.ended"] * 4


def test_a_stream_reads_until_its_end(clinic: Clinic) -> None:
    """R-HTTP-13."""
    app, kept = clinic.application(), []

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> StreamingResponse:
        views = await release.opened(clinic.patients)
        kept.extend(views)

        async def lines() -> AsyncIterator[str]:
            for view in views:
                yield read(view) + "\n"

        return StreamingResponse(lines())

    client = client_for(app)
    with clinic.weber.releasing(client):
        shown = client.get("/patients")
    assert (shown.text, shown.headers["cache-control"]) == ("I48.0\nI10\n", "no-store")
    assert [read(view) for view in kept] == ["opened.ended"] * 2


def test_a_stream_that_has_begun_asks_nobody(clinic: Clinic) -> None:
    app, codes = clinic.application(), []

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "first\n"
            with pytest.raises(CallerError) as refused:
                await release.opened(clinic.patients)
            codes.append(refused.value.code)

        return StreamingResponse(lines())

    assert client_for(app).get("/patients").text == "first\n"
    assert codes == ["http.too-late"]


def test_what_an_old_key_opens_is_not_streamed_into_an_answer_that_caches_may_keep(
    clinic: Clinic,
) -> None:
    """R-HTTP-13."""

    class OldRow:
        def __twinlock_row__(self) -> OldRow:
            return self

        def items(self) -> list[Any]:
            return []

        def legacy(self) -> Any:
            cell = LegacyCell(bytes(12), bytes(16))
            return Context(table="patient", record=1), LegacyRow(b"dek", "old", {"notes": cell})

        def take_legacy(self, opened: Opened) -> None:
            pass

        def view(self, *_: Any) -> str:
            return "opened"

    app, codes = clinic.application(), []

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "first\n"
            with pytest.raises(CallerError) as refused:
                await release.opened([OldRow()])
            codes.append(refused.value.code)

        return StreamingResponse(lines())

    assert client_for(app).get("/patients").text == "first\n"
    assert codes == ["http.too-late"]


def test_a_handler_that_fails_leaves_nothing_readable(clinic: Clinic) -> None:
    app, kept = clinic.application(), []

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> None:
        kept.extend(await release.opened(clinic.patients))
        raise ZeroDivisionError

    client = client_for(app, raise_server_exceptions=False)
    with clinic.weber.releasing(client):
        assert client.get("/patients").status_code == 500
    assert [read(view) for view in kept] == ["opened.ended"] * 2


def test_after_the_request_the_server_keeps_no_plaintext(clinic: Clinic) -> None:
    app, kept = clinic.application(), []

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> list[str]:
        views = await release.opened(clinic.patients)
        kept.extend(weakref.ref(view) for view in views)
        return [read(view) for view in views]

    client = client_for(app)
    with clinic.weber.releasing(client):
        client.get("/patients")
    gc.collect()
    assert kept
    assert [reference() for reference in kept] == [None] * len(kept)


def test_releases_of_a_request_that_ended_open_nothing(clinic: Clinic) -> None:
    app, kept = clinic.application(), []

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> str:
        kept.append(release)
        return "x"

    client_for(app).get("/patients")
    with pytest.raises(CallerError) as ended:
        asyncio.run(kept[0].opened(clinic.patients))
    assert ended.value.code == "opened.ended"


def test_the_sync_twin_does_not_block_the_event_loop(clinic: Clinic) -> None:
    app, codes = clinic.application(), []

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> str:
        with pytest.raises(CallerError) as refused:
            release.sync.opened(clinic.patients)
        codes.append(refused.value.code)
        return "x"

    assert client_for(app).get("/patients").json() == "x"
    assert codes == ["http.blocking"]


def test_a_row_without_sealed_columns_is_refused(clinic: Clinic) -> None:
    app, codes = clinic.application(), []

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> None:
        with pytest.raises(CallerError) as refused:
            await release.opened(["no row"])
        codes.append(refused.value.code)

    client_for(app).get("/patients")
    assert codes == ["opened.no-sealed-row"]


def test_an_error_of_an_opened_record_that_escapes_becomes_a_problem(clinic: Clinic) -> None:
    """R-HTTP-14."""
    stored = clinic.patients[0].stored
    assert stored is not None
    clinic.patients[0].stored = stored[:-1] + bytes([stored[-1] ^ 1])
    app = clinic.application()

    @app.get("/patients")
    async def patients(release: Releases = Depends(releases())) -> list[str | None]:
        return [view.diagnosis for view in await release.opened(clinic.patients)]

    client = client_for(app)
    with clinic.weber.releasing(client):
        assert code(client.get("/patients")) == (500, "data.not-authentic")
