"""What pages say about the repository as a whole: the tree, commands, links, nothing private."""

import re
from typing import Any

import pytest

from core.settings import ROOT
from tests.docs.sources import pages, tracked

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
COMMAND = re.compile(r"(?:^|[`( ]|bin/)carillon ([a-z]+)(?: ([a-z]+))?", re.MULTILINE)
PROSE_AFTER_MAKE = {"one", "the", "it", "us", "a", "principals", "keys", "tenants"}
TEXT = (
    ".py",
    ".md",
    ".yaml",
    ".yml",
    ".toml",
    ".txt",
    ".json",
    ".ipynb",
    ".sh",
    ".lua",
    ".sql",
    "",
)
REGISTRIES = re.compile(
    r"--(?:extra-)?index-url|--find-links[ =]|pypi\.org/simple|://[^\s\"']*/simple\b"
)
MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/(?!\.cache/huggingface)[\w.-]+")
MAY_NAME_INDEXES = {"requirements/install.sh", "cli/locks.py", "tests/docs/test_pages.py"}


def readme_tree() -> set[str]:
    text = (ROOT / "README.md").read_text()
    block = text.split("## The tree", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]
    return {line.split()[0].rstrip("/") for line in block.splitlines() if line.strip()}


def prose(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """As GitHub makes them: lower case, punctuation gone, spaces as dashes."""
    titles = HEADING.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_shows_every_top_level_entry_that_is_not_hidden():
    top = {name.partition("/")[0] for name in tracked()}
    assert readme_tree() == {name for name in top if not name.startswith(".")}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(prose(page.read_text())):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text()), target


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_that_pages_name_exist(page):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = " ".join(
        re.findall(r"`[^`]+`", page.read_text()) + re.findall(r"(?m)^make .*$", page.read_text())
    )
    assert set(MAKE.findall(code)) - PROSE_AFTER_MAKE <= targets


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_carillon_commands_that_pages_name_exist(page):
    from typer.main import get_command

    from cli.main import commands

    listed: Any = get_command(commands)
    known = {name: set(getattr(c, "commands", ())) for name, c in listed.commands.items()}
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), flags=re.DOTALL))
    for command, word in COMMAND.findall(code):
        assert command in known, command
        assert not known[command] or not word or word in known[command], (command, word)


def test_every_decision_is_in_the_index():
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    decisions = sorted((ROOT / "docs" / "adr").glob("0*.md"))
    assert decisions
    for number, path in enumerate(decisions, start=1):
        assert path.name.startswith(f"{number:04}-")
        assert f"]({path.name})" in index
        for part in ("## Context", "## Decision", "## Consequences"):
            assert part in path.read_text(), path.name


def test_no_tracked_text_names_an_index_or_somebodys_machine():
    for name in tracked():
        path = ROOT / name
        if path.suffix not in TEXT or not path.is_file():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if name not in MAY_NAME_INDEXES:
            assert not REGISTRIES.search(text), name
        assert not MACHINE.search(text), (name, MACHINE.search(text))
