"""The first wave: the applications that the first answer needs.

Place: `up` deploys them before the others. Serve builds all applications of a file at once, each in
a process of its own; on a small machine that keeps the language model's engine, which takes longest
to start, from starting for as long as all the others take. It deploys nothing itself.
"""

from typing import Any

from core.model import ModelCard

FIRST_WAVE_S = 60.0
"""Longest that the others wait for it: real weights may take many minutes."""
GATEWAY = "gateway"
LEDGER = "ledger"


def first_model(document: dict[str, Any]) -> ModelCard | None:
    """The gateway's first model, which is its default for chat."""
    for application in document["applications"]:
        for deployment in application.get("deployments", ()):
            for card in (deployment.get("user_config") or {}).get("models", ()):
                return ModelCard.model_validate(card)
    return None


def first_wave(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The gateway, the ledger, and what answers its first model; everything, without a gateway."""
    model = first_model(document)
    names = {GATEWAY, LEDGER, model and model.application_name}
    wave = [application for application in document["applications"] if application["name"] in names]
    return wave or document["applications"]
