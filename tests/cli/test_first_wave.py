"""What the first answer needs is deployed before everything else."""

import yaml

from cli.config import Document
from cli.first_wave import first_model, first_wave
from core.settings import ROOT

SHIPPED = ROOT / "serve_config.yaml"


def document(*names: str, models: tuple[dict[str, str], ...] = ()) -> Document:
    gateway = {"deployments": [{"name": "Gateway", "user_config": {"models": list(models)}}]}
    return {
        "applications": [{"name": name, **(gateway if name == "gateway" else {})} for name in names]
    }


def names_of(document: Document) -> list[str]:
    return [application["name"] for application in first_wave(document)]


def test_of_the_shipped_file_the_chat_model_and_what_serves_it_come_first():
    assert names_of(yaml.safe_load(SHIPPED.read_text())) == ["gateway", "ledger", "starter-chat"]


def test_a_model_is_found_by_the_application_that_its_card_names():
    card = {"id": "org/model", "spec": "deployments.echo:SPEC"}
    plain = document("gateway", "org--model", "other", models=(card,))
    assert names_of(plain) == ["gateway", "org--model"]
    named = document("gateway", "mine", models=({**card, "application": "mine"},))
    assert names_of(named) == ["gateway", "mine"]


def test_without_a_gateway_everything_is_first():
    assert first_model(document("echo", "fraud")) is None
    assert names_of(document("echo", "fraud")) == ["echo", "fraud"]
