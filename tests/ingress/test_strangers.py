"""Unknown keys, one after another: they cost the database little, and keep nobody else out."""

import httpx
import pytest
from starlette.responses import Response

from core.errors import InvalidKey
from ingress.application import Application
from ingress.endpoint import Endpoint
from ingress.strangers import Strangers

GOOD, NEW = "ck-good", "ck-new"


class Door:
    """An endpoint that knows two keys, and counts how often it had to look for one."""

    def __init__(self, **settings):
        self.now = 0.0
        self.looked = 0
        self.known = {GOOD}
        self.strangers = Strangers(self, most_keys=3, clock=lambda: self.now, **settings)
        table = [Endpoint("GET", "/", self.handle, "A door", guard=self.strangers)]
        self.application = Application(table, "test")

    def remembers(self, key):
        return key in self.known

    async def handle(self, exchange):
        key = exchange.key
        if key not in self.known:
            self.looked += 1
            if key != NEW:
                raise InvalidKey("the API key is not valid")
            self.known.add(key)
        return Response()

    async def knock(self, key, client=("10.0.0.1", 1234), **headers):
        transport = httpx.ASGITransport(self.application, client=client)
        headers["authorization"] = f"Bearer {key}"
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            return await http.get("/", headers=headers)


@pytest.fixture
def door() -> Door:
    return Door()


async def test_after_a_few_unknown_keys_no_more_are_looked_for(door: Door):
    for number in range(3):
        assert (await door.knock(f"ck-{number}")).status_code == 401
    refused = [await door.knock(f"ck-{number}") for number in range(3, 50)]
    assert {answer.status_code for answer in refused} == {429}
    assert refused[0].headers["retry-after"] == "60"
    assert door.looked == 3


async def test_good_keys_and_other_clients_pass(door: Door):
    for number in range(9):
        await door.knock(f"ck-{number}")
    assert (await door.knock(GOOD)).status_code == 200
    assert (await door.knock(NEW)).status_code == 429
    assert (await door.knock(NEW, client=("10.0.0.1", 9))).status_code == 200, "its own connection"
    assert (await door.knock(NEW)).status_code == 200, "it was seen to be good meanwhile"


async def test_one_wrong_key_again_and_again_is_one_key(door: Door):
    for _ in range(50):
        assert (await door.knock("ck-mistyped")).status_code == 401
    assert (await door.knock(NEW)).status_code == 200


async def test_after_the_window_a_client_may_try_again(door: Door):
    for number in range(9):
        await door.knock(f"ck-{number}")
    door.now = 60.0
    assert (await door.knock("ck-another")).status_code == 401
    assert (await door.knock(NEW)).status_code == 200


async def test_behind_a_proxy_a_client_is_its_address():
    door = Door(forwarded_for=True)
    for number in range(9):
        await door.knock(
            f"ck-{number}", ("127.0.0.1", number), **{"x-forwarded-for": "203.0.113.7"}
        )
    for port, address, status in ((50, "203.0.113.7", 429), (51, "203.0.113.8", 200)):
        answer = await door.knock(NEW, ("127.0.0.1", port), **{"x-forwarded-for": address})
        assert answer.status_code == status
