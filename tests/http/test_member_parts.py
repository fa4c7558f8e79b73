"""Small parts of the member routes: exchanges under way, sources of requests."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from twinlock.errors import EnvError
from twinlock.integrations.asgi.member_sessions import MAX_OF_ONE, OneUse
from twinlock.integrations.asgi.member_wire import written
from twinlock.integrations.asgi.own_pages import network_of
from twinlock.testing import MemoryClock


def kept(clock: MemoryClock, **options: Any) -> OneUse[int]:
    return OneUse(60, clock=clock, **options)


def test_a_value_is_taken_once_and_by_its_name_alone() -> None:
    """R-HTTP-23."""
    sessions = kept(MemoryClock())
    one, other = sessions.put(1, "a"), sessions.put(2, "a")
    assert one != other
    assert len(one) == 22
    assert [sessions.take(name) for name in (one, one, "x", other)] == [1, None, None, 2]
    assert len(sessions) == 0


def test_a_value_ends_with_its_time() -> None:
    """R-HTTP-23."""
    clock = MemoryClock()
    sessions = kept(clock)
    early = sessions.put(1, "a")
    clock.forward(30)
    late = sessions.put(2, "b")
    clock.forward(30)
    assert len(sessions) == 2
    clock.forward(1)
    assert [sessions.take(name) for name in (early, late)] == [None, 2]


def test_one_source_takes_no_room_from_others() -> None:
    """R-HTTP-23: its own oldest goes."""
    sessions = kept(MemoryClock())
    mine = sessions.put(0, "me")
    names = [sessions.put(number, "flood") for number in range(MAX_OF_ONE + 1)]
    assert len(sessions) == MAX_OF_ONE + 1
    assert [sessions.take(name) for name in (names[0], names[1], mine)] == [None, 1, 0]


def test_when_all_is_full_nobody_loses_what_is_under_way() -> None:
    """R-HTTP-23."""
    clock = MemoryClock()
    sessions = kept(clock, limit=2)
    names = [sessions.put(number, str(number)) for number in range(2)]
    with pytest.raises(EnvError) as caught:
        sessions.put(2, "2")
    assert (caught.value.code, caught.value.retryable) == ("http.busy", True)
    assert sessions.take(names[0]) == 0
    assert sessions.take(sessions.put(3, "2")) == 3
    clock.forward(61)
    assert len({sessions.put(4, "2"), sessions.put(5, "2")}) == 2


@pytest.mark.parametrize(
    ("client", "source"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::9%eth0", 1), "2001:db8:1:2::/64"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("a socket", 1), "a socket"),
        (None, ""),
    ],
)
def test_a_source_is_an_address_or_a_network(client: Any, source: str) -> None:
    """R-HTTP-18: whoever has one address of IPv6 has 2^64."""
    scope = {"type": "http", "headers": [], "client": client}
    assert network_of(HTTPConnection(scope)) == source


def test_answers_are_json_with_bytes_as_text() -> None:
    assert written({"a": b"\xfb\xff", "b": "ü"}) == '{"a": "-_8", "b": "ü"}'.encode()
    with pytest.raises(TypeError):
        written({"a": object()})
