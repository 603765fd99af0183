"""Image workflow requests: pictures drawn, described, refined and upscaled in one call.

Place in the path: parsed once by the gateway (step 1); the graph receives the same type. It checks
what can be known before anything is drawn: which stages fit together, how many pictures there will
be and how large they may become. It draws nothing and knows no model.
"""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from core.faults import refuse_at
from core.image_stages import (
    Describe,
    DescribeStage,
    Generate,
    GenerateStage,
    Refine,
    Stage,
    Upscale,
)
from core.images import (
    AUTO_SIDE,
    LONGEST_PROMPT,
    MAX_SIDE,
    MOST_DEFAULT_STEPS,
    Drawing,
    Upload,
    side_limits,
    steps_of,
)
from core.model import ModelCard
from core.pictures import Header, picture_header
from core.vision import TEMPLATE_TOKENS, picture_tokens
from core.work import NO_WORK, WorkUnits

MAX_PICTURES = 16
LONGEST_SIDE = 4096
"""Of an upscaled picture, in pixels."""
MOST_PIXELS = 24 * 2**20
"""Of all answered pictures together, 25 million: they travel in one piece."""
MAX_SEED = 2**31
SMALLER = "name a smaller 'generate.size', a smaller factor, or fewer pictures"

STRING = {"type": "string", "minLength": 1, "maxLength": LONGEST_PROMPT}
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_PROMPT)]
Prompts = Annotated[
    list[Prompt],
    Field(min_length=1, max_length=MAX_PICTURES),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [STRING, {"type": "array", "items": STRING}]}),
]
"""One prompt or several."""
Seed = Annotated[int, Field(ge=0, lt=MAX_SEED)]


class Planned(NamedTuple):
    """One picture to come: its prompt, its seed beyond the first, or the picture it starts from."""

    prompt: str | None
    seed: int | None
    """Named by the request; None leaves it to the graph."""
    offset: int
    """Of the seed, among the variations of one prompt."""
    image: int | None
    """Place in `images`."""


class ImageWorkflowRequest(Stage):
    """POST /v1/images/workflows: a batch of pictures through up to four stages."""

    model: str | None = None
    prompt: Prompts | None = None
    images: list[Upload] | None = Field(None, min_length=1, max_length=MAX_PICTURES)
    """Pictures to begin with. With `generate` they are changed; without, taken as they are."""
    variations: int = Field(1, ge=1, le=MAX_PICTURES)
    """Pictures of each prompt, or of each image, whose seeds count on from `seed`."""
    seed: Seed | None = None
    seeds: list[Seed] | None = Field(None, min_length=1, max_length=MAX_PICTURES)
    """A picture from each of them, in place of `seed` and `variations`."""
    generate: Generate = None
    """Can be left out where there are no `images`."""
    describe: Describe = None
    refine: Refine = None
    """Describes too, as it has to compare."""
    upscale: Upscale = None
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int = Field(100, ge=0, le=100)
    """Quality of jpeg and webp in percent."""
    intermediates: bool = False
    """Whether the pictures of earlier stages are answered too."""

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if self.images is None:
            _require(self.prompts, "prompt", "give a prompt, or 'images' to begin with")
            changed = self.generate is not None and self.generate.strength is not None
            _require(not changed, "generate.strength", "is for 'images' that are changed")
        else:
            self._images_fit(self.images)
        if self.refine is not None:
            _require(self.prompts, "prompt", "'refine' needs one, to draw again from")
            asked = self.describe and self.describe.question and not self.describe.expect
            _require(not asked, "describe.expect", "'refine' must know which answer is right")
        if self.upscale is not None and self.upscale.method == "model":
            _require(self.prompts, "prompt", "upscaling by a model needs one")
        if self.seeds is not None:
            _require(self.seed is None, "seeds", "give 'seed' or 'seeds', not both")
            _require(self.variations == 1, "variations", "'seeds' say how many there are")
        return self

    def _images_fit(self, images: list[Upload]) -> None:
        told = "with 'images', give none, one for all of them, or one for each"
        _require(len(self.prompts) in (0, 1, len(images)), "prompt", told)
        if self.generate is None:
            _require(self.variations == 1, "variations", "'images' taken as they are have none")
            _require(self.seeds is None, "seeds", "'images' taken as they are have none")
            working = self.describe or self.refine or self.upscale
            _require(working, "generate", "no stage at all: nothing to do with the 'images'")
        elif not self.prompts:
            for name in self.generate.prompted:
                _require(None, f"generate.{name}", "variations without a 'prompt' do not take it")

    @model_validator(mode="after")
    def _pictures_fit(self) -> Self:
        count = len(self.planned())
        told = f"at most {MAX_PICTURES} pictures a request, not {count}"
        _require(count <= MAX_PICTURES, "variations" if self.seeds is None else "seeds", told)
        place = "generate.size" if self.upscale is None else "upscale.factor"
        sizes = [self.finished_size(picture) for picture in self.planned()]
        longest = max(max(size) for size in sizes)
        drawn = self.upscale is not None and self.upscale.method == "model"
        limit = MAX_SIDE if drawn else LONGEST_SIDE
        told = f"a side of up to {longest} pixels; the limit is {limit}: {SMALLER}"
        _require(longest <= limit, place, told)
        pixels = sum(width * height for width, height in sizes) + self._extra_pixels()
        told = f"up to {pixels} pixels in all; the limit is {MOST_PIXELS}: {SMALLER}"
        _require(pixels <= MOST_PIXELS, place, told)
        return self

    @property
    def prompts(self) -> list[str]:
        """All prompts; none for variations of images."""
        return self.prompt or []

    @property
    def drawing(self) -> GenerateStage | None:
        """How to draw; None when the pictures of the request are taken as they are."""
        return self.generate or (GenerateStage() if self.images is None else None)

    @property
    def describing(self) -> DescribeStage | None:
        return self.describe or (DescribeStage() if self.refine else None)

    def planned(self) -> list[Planned]:
        """Every picture of the batch, in the order of the answer."""
        seeds: list[int | None] = [
            None if self.seed is None else (self.seed + offset) % MAX_SEED
            for offset in range(self.variations)
        ]
        if self.seeds is not None:
            seeds = [*self.seeds]
        sources: list[tuple[str | None, int | None]]
        if self.images is None:
            sources = [(prompt, None) for prompt in self.prompts]
        else:
            sources = [(self._prompt_of(index), index) for index in range(len(self.images))]
        return [
            Planned(prompt, seed, offset, image)
            for prompt, image in sources
            for offset, seed in enumerate(seeds)
        ]

    def drawn_size(self, picture: Planned) -> tuple[int, int]:
        """(width, height) before upscaling; where the model decides, the most that it may take."""
        if self.drawing is None:
            header = self._header(picture)
            return header.width, header.height
        if self.drawing.size != "auto":
            return side_limits(self.drawing.size)
        return AUTO_SIDE, AUTO_SIDE

    def finished_size(self, picture: Planned) -> tuple[int, int]:
        """(width, height) of the answer, at most."""
        width, height = self.drawn_size(picture)
        if self.upscale is None:
            return width, height
        return self.upscale.side(width), self.upscale.side(height)

    def _extra_pixels(self) -> int:
        """Of the pictures that are answered besides the finished ones."""
        if not self.intermediates:
            return 0
        drawn = sorted((w * h for w, h in map(self.drawn_size, self.planned())), reverse=True)
        again = sum(drawn[: self.refine.worst]) * self.refine.rounds if self.refine else 0
        return again + (sum(drawn) if self.upscale else 0)

    def _prompt_of(self, image: int) -> str | None:
        if not self.prompts:
            return None
        return self.prompts[image if len(self.prompts) > 1 else 0]

    def _header(self, picture: Planned) -> Header:
        assert self.images is not None  # there is nothing to draw without them
        return picture_header(self.images[picture.image or 0].data)


def _require(condition: object, place: str, message: str) -> None:
    if not condition:
        refuse_at(tuple(place.split(".")), message)


def estimate_image_workflow(request: ImageWorkflowRequest, card: ModelCard) -> WorkUnits:
    """Upper bound: every stage of every picture, and all rounds of refinement."""
    del card
    pictures = request.planned()
    each = [
        stage(request, picture) for picture in pictures for stage in (_drawn, _described, _upscaled)
    ]
    return sum(each, NO_WORK) + _refined(request, pictures)


def _drawn(request: ImageWorkflowRequest, picture: Planned) -> WorkUnits:
    if request.drawing is None:
        return NO_WORK
    width, height = request.drawn_size(picture)
    return WorkUnits(pixel_steps=width * height * _steps(request.drawing))


def _described(request: ImageWorkflowRequest, picture: Planned) -> WorkUnits:
    stage = request.describing
    if stage is None:
        return NO_WORK
    header = Header("png", *request.drawn_size(picture))
    asked = len((stage.question or "").encode()) + TEMPLATE_TOKENS
    return WorkUnits(input_tokens=asked + picture_tokens(header), output_tokens=stage.max_tokens)


def _refined(request: ImageWorkflowRequest, pictures: list[Planned]) -> WorkUnits:
    """All rounds, each over the dearest pictures."""
    if request.refine is None:
        return NO_WORK
    steps = _steps(request.drawing or GenerateStage())
    rounds = []
    for picture in pictures:
        # Pictures that were taken as they are get the size that `auto` may mean.
        size = request.drawn_size(picture) if request.drawing else (AUTO_SIDE, AUTO_SIDE)
        drawn = WorkUnits(pixel_steps=size[0] * size[1] * steps)
        rounds.append(drawn + _described(request, picture))
    rounds.sort(key=lambda units: units.amount, reverse=True)
    return sum(rounds[: request.refine.worst] * request.refine.rounds, NO_WORK)


def _upscaled(request: ImageWorkflowRequest, picture: Planned) -> WorkUnits:
    """Resampling counts each pixel that it makes once, a model all of its steps."""
    if request.upscale is None:
        return NO_WORK
    width, height = request.finished_size(picture)
    steps = 1
    if request.upscale.method == "model":
        steps += _steps(request.drawing or GenerateStage())
    return WorkUnits(pixel_steps=width * height * steps)


def _steps(stage: GenerateStage) -> int:
    return steps_of(Drawing(steps=stage.steps, quality=stage.quality), MOST_DEFAULT_STEPS)
