"""What starter-chat says about Carillon is true: its facts are held to what a page is held to."""

import re
from typing import Any

import pytest
import yaml

from core.settings import ROOT
from models.starter_chat.facts import FACTS
from tests.docs.test_reference import every_endpoint

PATH = re.compile(r"(?:\b(GET|POST|DELETE) )?(?<![\w.])(/[a-z][\w/{}-]*)")
OPENAI_ROOT = "/v1"
COMMAND = re.compile(r"`carillon (\w+)")
TARGET = re.compile(r"`(?:\w+=\w+ )?make ([a-z]+)`")
LIMIT = re.compile(r"(free|pro|enterprise)(?: plan allows)? \(?([\d,]+)")


def said(pattern: re.Pattern[str]) -> set[Any]:
    """What all answers name."""
    return {found for fact in FACTS for found in pattern.findall(fact.answer)}


def shape(path: str) -> str:
    """Whatever its parameters are called."""
    return re.sub(r"\{\w+\}", "{}", path)


@pytest.fixture(scope="module")
def served() -> set[tuple[str, str]]:
    return {(e.method, shape(e.path.replace(":path", ""))) for e in every_endpoint()}


def test_every_endpoint_is_served(served: set[tuple[str, str]]) -> None:
    for method, path in said(PATH) - {("", OPENAI_ROOT)}:
        methods = {known for known, served_path in served if served_path == shape(path)}
        assert methods, path
        assert not method or method in methods, (method, path)


def test_every_command_exists() -> None:
    from typer.main import get_command

    from cli.main import commands

    listed: Any = get_command(commands)
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert said(COMMAND) <= set(listed.commands)
    assert said(TARGET) <= set(targets)


def test_the_limits_of_the_plans_are_those_of_the_file() -> None:
    plans = yaml.safe_load((ROOT / "plans.yaml").read_text())["plans"]
    limits = said(LIMIT)
    assert {name for name, _ in limits} == set(plans)
    for name, limit in limits:
        assert int(limit.replace(",", "")) == plans[name]["requests"]["hour"], name
