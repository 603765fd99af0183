"""The commands of docs/accounts.md, run in their order as they stand, against a gateway here."""

import re
import shlex
import string
from typing import Any

import httpx
import yaml

from auth.identity_settings import IdentitySettings
from auth.principal import Role
from auth.roles import SCOPES
from core.settings import ROOT, SecretReference
from tests.auth.servers import Valkey
from tests.docs.sources import table_rows
from tests.ingress.identity.world import PEPPER, World, world

BASE = "http://test"
TAKES_A_VALUE = {"-H", "-d", "-X", "--data-urlencode"}
FORM = "application/x-www-form-urlencoded"


def page() -> str:
    return (ROOT / "docs" / "accounts.md").read_text()


def commands() -> list[str]:
    """Every `curl` of the page, on one line each."""
    blocks = re.findall(r"```sh\n(.*?)```", page(), re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.startswith("curl ")]


def understood(command: str, known: dict[str, str]) -> tuple[str, str, dict[str, str], bytes]:
    """Method, path, headers and body that `curl` would send."""
    words = shlex.split(string.Template(command).substitute(known))[1:]
    method, url, headers, body = "", "", {}, []
    while words:
        word = words.pop(0)
        value = words.pop(0) if word in TAKES_A_VALUE else ""
        if word == "-H":
            name, _, text = value.partition(": ")
            headers[name.lower()] = text
        elif word == "-X":
            method = value
        elif word == "--data-urlencode":
            name, _, text = value.partition("=")
            body.append(str(httpx.QueryParams({name: text})))
        elif word == "-d":
            body.append(value)
        else:
            assert word.startswith(BASE), word
            url = word.removeprefix(BASE)
    if body:
        headers.setdefault("content-type", FORM)
    return method or ("POST" if body else "GET"), url, headers, "&".join(body).encode()


async def sent(gateway: World, command: str, known: dict[str, str]) -> dict[str, Any]:
    method, url, headers, body = understood(command, known)
    async with gateway.client() as client:
        response = await client.request(method, url, headers=headers, content=body)
    assert response.status_code in (200, 201), (command, response.text)
    answer: dict[str, Any] = response.json()
    return answer


def learned(answer: dict[str, Any]) -> dict[str, str]:
    """What later commands of the page call by a variable."""
    found = {"ACCESS_TOKEN": answer.get("access_token"), "INVITATION": answer.get("token")}
    found["REFRESH_TOKEN"] = answer.get("refresh_token")
    if answer.get("object") == "tenant":
        found["TENANT"] = answer["id"]
    if answer.get("object") == "api_key":
        found["KEY_ID"] = answer["id"]
    if answer.get("object") == "user":
        found["USER_ID"] = answer["id"]
    return {name: value for name, value in found.items() if value}


async def test_the_commands_of_the_page_work_in_their_order(
    database_url: str, valkey_server: Valkey, tmp_path
):
    path = tmp_path / "pepper"
    path.write_text(PEPPER.get_secret_value())
    pepper = SecretReference(f"file:{path}")
    async with world(database_url, valkey_server.url, "the-page", pepper) as gateway:
        known = {"BASE": BASE, "KEY": gateway.operator}
        assert len(commands()) >= 8
        for command in commands():
            known |= learned(await sent(gateway, command, known))


def test_the_example_of_identity_providers_is_one():
    (block,) = re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL)
    settings = IdentitySettings.model_validate(yaml.safe_load(block)["identity"])
    assert len(settings.issuers) == 2


def test_every_role_is_explained_with_its_scopes():
    users = page().partition("\n## Users\n")[2].partition("\n## ")[0]
    rows = {row[0].strip("`"): row[1] for row in table_rows(users, 2)}
    for role in Role:
        text = rows[role.value]
        if not text.startswith("the same"):
            assert set(re.findall(r"`(\w+)`", text)) == {scope.value for scope in SCOPES[role]}
