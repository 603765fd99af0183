"""Work units: what a request costs, in the unit of its modality.

Place in the path: estimated before work (admission reserves them), measured after it
(settlement corrects them). This module does not know prices; a price book turns units to money.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class WorkUnits:
    """A non-negative amount of work; every field is a count of its unit.

    `input_tokens` includes `cached_tokens`; `output_tokens` includes `reasoning_tokens`
    (the convention of OpenAI's `usage` object, so what the client reads is what is billed).
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    characters: int = 0
    pixel_steps: int = 0
    audio_ms: int = 0
    video_pixel_ms: int = 0
    rows: int = 0

    @property
    def tokens(self) -> int:
        """Model tokens in and out: the amount that token windows count."""
        return self.input_tokens + self.output_tokens

    @property
    def amount(self) -> int:
        """All of it as one number: to compare requests to the same model, and nothing else."""
        return (
            self.input_tokens
            + self.output_tokens
            + self.characters
            + self.pixel_steps
            + self.audio_ms
            + self.video_pixel_ms
            + self.rows
        )

    def __add__(self, other: "WorkUnits") -> "WorkUnits":
        return WorkUnits(*(getattr(self, name) + getattr(other, name) for name in FIELDS))

    def __reduce__(self) -> tuple[type["WorkUnits"], tuple[int, ...]]:
        # Travels with every piece of a stream: a dataclass's own way costs four times as much.
        return WorkUnits, tuple(getattr(self, name) for name in FIELDS)

    def nonzero(self) -> dict[str, int]:
        """The fields that are not zero, for events and logs."""
        return {name: count for name in FIELDS if (count := getattr(self, name))}


def beyond(whole: WorkUnits, part: WorkUnits) -> WorkUnits:
    """What `whole` has more of each unit than `part`."""
    pairs = ((getattr(whole, name), getattr(part, name)) for name in FIELDS)
    return WorkUnits(*(max(0, one - other) for one, other in pairs))


FIELDS = tuple(f.name for f in fields(WorkUnits))
OTHER_UNITS = tuple(name for name in FIELDS if not name.endswith("_tokens"))
"""Those of other work than tokens."""
NO_WORK = WorkUnits()
