"""Video pipelines: one set of diffusion weights, from text and from a first picture.

Place in the path: step 4, under the video model. It knows what pipelines of different makes call
the same things. It does not know requests. Drawing is for one thread at a time.
"""

import inspect
import math
from typing import Any, Literal

from core.errors import InvalidRequest
from deployments.diffusion import (
    DiffusionSettings,
    load_pipeline,
    make_of,
    precision,
    torch_for,
)

Task = Literal["text", "image"]

FROM_PICTURE = {"WanPipeline": "WanImageToVideoPipeline", "LTXPipeline": "LTXImageToVideoPipeline"}
"""What draws from a first picture with the weights of what draws from text."""
WAN_GRID, LTX_GRID = 16, 32
"""Pixels that sides must be multiples of, whatever the weights."""


class VideoLoadSettings(DiffusionSettings):
    """What loading takes: a part of a video model's `engine` settings."""

    decoder_dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """Of the VAE. None: float32 for Wan's, which shows bands in half precision; for others as the
    rest, since their pipelines give it what they work in."""


class VideoPipelines:
    """Both pipelines over one set of weights, or the one that there is."""

    def __init__(self, settings: VideoLoadSettings) -> None:
        self.torch = torch_for(settings)
        dtype = {"default": precision(self.torch, settings)}
        if settings.decoder_dtype is not None:
            dtype["vae"] = getattr(self.torch, settings.decoder_dtype)
        elif make_of(settings).startswith("Wan"):
            dtype["vae"] = self.torch.float32
        self._loaded = load_pipeline(settings, dtype)
        self._made: dict[Task, Any] = {}
        name = type(self._loaded).__name__
        if "ImageToVideo" in name:
            self._made["image"] = self._loaded
        else:
            self._made["text"] = self._loaded
            if self._can_begin_with_a_picture(name):
                self._made["image"] = self._with_same_parts(FROM_PICTURE[name])

    @property
    def grid(self) -> int:
        """What sides of drawn frames must be multiples of, in pixels."""
        if hasattr(self._loaded, "vae_spatial_compression_ratio"):
            return math.lcm(LTX_GRID, int(self._loaded.vae_spatial_compression_ratio))
        patch = int(self._loaded.transformer.config.patch_size[-1])
        return math.lcm(WAN_GRID, int(self._loaded.vae_scale_factor_spatial) * patch)

    def drawn_frames(self, wanted: int) -> int:
        """The least number of frames from `wanted` on that the model can draw: 4k + 1 for Wan."""
        step = int(
            getattr(self._loaded, "vae_temporal_compression_ratio", 0)
            or self._loaded.vae_scale_factor_temporal
        )
        return -(-(wanted - 1) // step) * step + 1

    def get(self, task: Task) -> Any:
        """The pipeline for `task`. Raises InvalidRequest when these weights cannot do it."""
        if task not in self._made:
            raise InvalidRequest(
                "this model needs a picture to begin with"
                if task == "text"
                else "this model takes no picture to begin with",
                "input_reference",
            )
        return self._made[task]

    def takes(self, task: Task, field: str) -> bool:
        """Whether the pipeline for `task` has an argument of that name."""
        return field in inspect.signature(self.get(task).__call__).parameters

    def prompt_tokens(self, task: Task) -> int:
        """Tokens that prompts are filled up to, as in training: the tokenizer's when it says."""
        usual = inspect.signature(self.get(task).__call__).parameters.get("max_sequence_length")
        most = int(self._loaded.tokenizer.model_max_length)
        return most if usual is None else min(most, int(usual.default))

    def _can_begin_with_a_picture(self, name: str) -> bool:
        """Wan's weights can if they tell each frame its own time (2.2, TI2V)."""
        if name == "WanPipeline":
            return bool(self._loaded.config.get("expand_timesteps"))
        return name in FROM_PICTURE

    def _with_same_parts(self, name: str) -> Any:
        # Not `from_pipe`: it would convert all weights to float32.
        import diffusers

        kind = getattr(diffusers, name)
        accepted = inspect.signature(kind.__init__).parameters
        parts = {k: part for k, part in self._loaded.components.items() if k in accepted}
        options = {
            k: value
            for k, value in self._loaded.config.items()
            if k in accepted and k not in parts and k in ("expand_timesteps", "boundary_ratio")
        }
        made = kind(**parts, **options)
        made.set_progress_bar_config(disable=True)
        return made
