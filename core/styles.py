"""Styles of pictures: names for additions to a prompt, from one table.

Place in the path: read when an image request is validated, told by `GET /v1/images/styles`, applied
by the image model. It does not know which model draws.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import yaml

from core.model import Frozen

TABLE = Path(__file__).with_name("image_styles.yaml")
PLACE = "{prompt}"


class Style(Frozen):
    """One row of the table."""

    description: str
    prompt: str
    """The whole prompt, with `{prompt}` where the caller's goes."""
    avoid: str = ""
    """Added to the negative prompt."""

    def prompt_of(self, prompt: str) -> str:
        return self.prompt.replace(PLACE, prompt)

    def negative_of(self, negative: str) -> str:
        return ", ".join(part for part in (negative, self.avoid) if part)


@functools.cache
def styles() -> Mapping[str, Style]:
    """Every style by its name, in the table's order."""
    table = yaml.safe_load(TABLE.read_text())
    return {name: Style.model_validate(row) for name, row in table.items()}
