"""Slots: how many places there are, and how a client is counted."""

import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from fer.web.slots import Slots, client_of


def test_slots_are_limited_and_freed():
    slots = Slots(2, "things", per_client=2)
    with slots.hold("a"), slots.hold("b"):
        with pytest.raises(HTTPException) as refusal, slots.hold("c"):
            pass
        assert refusal.value.status_code == 429
        assert refusal.value.headers == {"Retry-After": "1"}
        assert refusal.value.detail == "busy: the limit is 2 things at once; try again in a moment"
    with pytest.raises(ValueError, match="inside"), slots.hold("a"):
        raise ValueError("inside")
    assert not slots.held


def test_one_client_holds_a_part_of_the_slots():
    slots = Slots(3, "things", per_client=1)
    with slots.hold("a"), slots.hold("b"):
        with pytest.raises(HTTPException) as refusal, slots.hold("a"):
            pass
        assert refusal.value.detail == "busy: the limit is 1 things per client; try again in a moment"
        with slots.hold("c"):
            pass
    with slots.hold("a"):
        pass


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("x" * 60_000, "x" * 64),
    ],
)
def test_client_is_its_address_or_its_network(host, client):
    assert client_of(HTTPConnection({"type": "http", "client": (host, 1), "headers": []})) == client


def test_client_without_address():
    assert client_of(HTTPConnection({"type": "http", "client": None, "headers": []})) == ""
