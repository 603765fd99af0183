"""The commands of docs/apps.md, run in their order as they stand, against a gateway here."""

import re
from typing import Any

import pytest
import yaml

from core.model import ModelCard
from core.settings import ROOT
from core.settings import parse as parse_settings
from graphs.app_builder import AppBuilder, AppBuilderSettings
from graphs.app_builder.review import review
from tests.auth.servers import Valkey
from tests.docs.sources import table_rows
from tests.docs.test_accounts_page import BASE, understood
from tests.graphs.app_builder.test_review import BAD
from tests.ingress.test_apps_http import Building
from tests.ingress.whole_gateway import whole_gateway


def page() -> str:
    return (ROOT / "docs" / "apps.md").read_text()


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page(), re.DOTALL)
    text = re.sub(r" --output \S+", "", "\n".join(blocks).replace("\\\n", " "))
    return [line for line in text.splitlines() if line.startswith("curl ")]


async def test_the_commands_of_the_page_work_in_their_order(
    database_url: str, valkey_server: Valkey, tmp_path, monkeypatch
):
    async with whole_gateway(database_url, valkey_server.url, tmp_path) as whole:
        monkeypatch.setattr(whole.dispatcher, "answer", Building().answer)
        owner = await whole.world.owner()
        known: dict[str, str] = {"BASE": BASE, "KEY": owner["access_token"]}
        for command in commands():
            method, url, headers, body = understood(command, known)
            async with whole.world.client() as client:
                response = await client.request(method, url, headers=headers, content=body)
            assert response.status_code in (200, 201), (command, response.text)
            known |= learned(response)
        assert {"APP", "DEPLOYMENT"} <= known.keys()


def learned(response: Any) -> dict[str, str]:
    if response.headers["content-type"] != "application/json":
        return {}
    answer = response.json()
    names = {"app": "APP", "app.deployment": "DEPLOYMENT"}
    name = names.get(answer.get("object"))
    return {name: answer["id"]} if name and not answer.get("deleted") else {}


def test_the_example_of_a_model_that_plans_is_one():
    (block,) = re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL)
    engine, card = yaml.safe_load_all(block)
    settings = parse_settings(AppBuilderSettings, engine["engine"], "the page")
    assert AppBuilder(settings).author is not None
    assert ModelCard.model_validate(card).max_output_tokens == settings.max_output_tokens


@pytest.fixture
def rules() -> dict[str, str]:
    rows = table_rows(page().partition("## Reviews")[2], 3)[1:]
    return {rule: row[1] for row in rows for rule in re.findall(r"`([\w-]+)`", row[0])}


def test_every_rule_is_explained_with_its_severity(rules):
    assert set(rules) == {"not-reviewed", *(rule for _, _, rule in BAD)}
    for path, text, rule in BAD:
        found = [finding for finding in review({path: text}) if finding.rule == rule]
        assert {finding.severity.value for finding in found} == {rules[rule]}, rule
