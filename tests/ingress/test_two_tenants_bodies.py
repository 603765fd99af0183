"""Every string of every body, two tenants: an id of A's is answered as one that never was.

The bodies and forms are those of the OpenAPI document, so a field of a new route is tried when
it appears: a picture's hash, a collection, a file, or what else may name a tenant's.
"""

import re
from collections.abc import Iterator
from typing import Any

from tests.ingress import test_two_tenants as matrix
from tests.ingress.string_places import Schemas
from tests.ingress.test_two_tenants import BODIES, Tenants, never, parameters, told

tenants = matrix.tenants

ENDS_ITSELF = {"/v1/auth/logout"}
"""Takes no id, and would log B out."""
FORM = "multipart/form-data"
EXPRESSIONS = {"if"}
"""Fields whose text is parsed: it is read before anything in it is looked up."""
REFERENCES = ("hash", "name", "file_id", "collection", "document_id", "video_id", "item_id")
OF_FORMS = ("hash", "file_id", "collection", "document_id")


class Told:
    """What B hears."""

    def __init__(self, tenants: Tenants) -> None:
        self.tenants = tenants
        self.tried = 0

    async def same(self, where: str, there: Any, nowhere: Any, value: str) -> None:
        self.tried += 1
        heard, silence = (told(each, value, never(value)) for each in (there, nowhere))
        said = f"{where}: {there.status_code} {there.text[:500]}\nbut: {nowhere.text[:500]}"
        assert there.status_code == nowhere.status_code, said
        if there.status_code >= 400:
            assert plain(heard[1]) == plain(silence[1]), said
        assert not [mark for mark in self.tenants.marks if mark in heard[1]], said


def plain(text: str) -> str:
    """Without what differs from one request to the next."""
    return re.sub(r"-?[0-9a-f]{6,}|\d+(\.\d+)?", "0", text)


def values(tenants: Tenants) -> Iterator[tuple[str, Any, Any]]:
    """Each of A's ids in each form in which it may be named, and the same of nobody's."""
    for value in dict.fromkeys(tenants.ids.values()):
        yield value, value, never(value)
    for form, name in (("media", "hash"), ("file_id", "file_id"), ("id", "video_id")):
        value = tenants.ids[name]
        yield value, {form: value}, {form: never(value)}


def json_routes(tenants: Tenants) -> Iterator[tuple[str, str, str]]:
    """Method, path with B's way to nothing of A's, type. One route of each type: aliases differ in
    their path alone.
    """
    seen: set[tuple[str, str]] = set()
    for method, path, operation in tenants.routes():
        body = content(operation).get("application/json")
        kind = None if body is None else matrix.request_type(operation)
        own = not [name for name in parameters(path) if name not in matrix.OF_NOBODY]
        if kind is None or not own or path in ENDS_ITSELF or (method, kind) in seen:
            continue
        seen.add((method, kind))
        yield method, tenants.filled(path), kind


async def test_as_json(tenants: Tenants):
    schemas, heard = Schemas(tenants.document), Told(tenants)
    for method, path, kind in json_routes(tenants):
        whole = BODIES.get(kind, schemas.good(kind))
        for place in schemas.places(kind):
            if place and place[-1] in EXPRESSIONS:
                continue
            for value, theirs, nobodys in values(tenants):
                if isinstance(theirs, str) and len(place) > 2 and value not in few(tenants):
                    continue
                bodies = [schemas.filled(kind, whole, place, each) for each in (theirs, nobodys)]
                there, nowhere = [
                    await tenants.ask(method, path, tenants.b, each) for each in bodies
                ]
                await heard.same(f"{method} {path} {place}", there, nowhere, value)
    assert heard.tried > 1_000, "the document has bodies"


def content(operation: dict[str, Any]) -> dict[str, Any]:
    """What a body may be, by media type."""
    return dict(operation.get("requestBody", {}).get("content", {}))


def few(tenants: Tenants) -> set[str]:
    """What deep places name, if anything."""
    return {tenants.ids[name] for name in REFERENCES}


async def test_as_forms(tenants: Tenants):
    heard = Told(tenants)
    for method, path, operation in tenants.routes():
        form = content(operation).get(FORM)
        if form is None or [name for name in parameters(path) if name not in matrix.OF_NOBODY]:
            continue
        properties = form["schema"]["properties"]
        files = [name for name, each in properties.items() if each.get("format") == "binary"]
        for name in properties.keys() - files:
            for value in [tenants.ids[each] for each in OF_FORMS]:
                there, nowhere = [
                    await sent(tenants, method, tenants.filled(path), {name: each}, files[:1])
                    for each in (value, never(value))
                ]
                await heard.same(f"{method} {path} {name}", there, nowhere, value)
    assert heard.tried > 100, "some routes take forms"


async def sent(
    tenants: Tenants, method: str, path: str, fields: dict[str, str], files: list[str]
) -> Any:
    """B's answer to a form with these fields, and a small file under each of these names."""
    async with tenants.world.client(tenants.b) as client:
        uploads = [(name, ("a.txt", b"hello", "text/plain")) for name in files]
        return await client.request(method, path, data=fields, files=uploads)
