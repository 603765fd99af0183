"""Pipelines: one set of diffusion weights, and every way of drawing with it.

Place in the path: step 4, under the image model. Of one set of weights it makes text-to-image,
image-to-image and inpainting pipelines, with LoRAs and ControlNets by name. It does not batch and
does not know requests. Drawing is for one thread at a time; `get` and `takes` are for any.
"""

import inspect
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from core.errors import InvalidRequest, SettingsError
from deployments.diffusion import DiffusionSettings, load_pipeline, precision, torch_for
from models.sources import locate

Task = Literal["text", "image", "mask"]


class LoadSettings(DiffusionSettings):
    """What loading takes: a part of an image model's `engine` settings."""

    loras: Mapping[str, str] = {}
    """Name for requests: directory or file of LoRA weights."""
    controlnets: Mapping[str, str] = {}
    """Name for requests: source of a ControlNet for this model."""


class Pipelines:
    """All pipelines over one set of weights."""

    def __init__(self, settings: LoadSettings) -> None:
        self.torch = torch_for(settings)
        self.settings = settings
        self.dtype = precision(self.torch, settings)
        self.text = load_pipeline(settings, self.dtype)
        self._made: dict[tuple[Task, str | None], Any] = {("text", None): self.text}
        self._making = threading.Lock()
        self._lora: tuple[str, float] | None = None
        for name, source in settings.loras.items():
            self._add_lora(name, source)
        self._watch_scheduler()

    @property
    def grid(self) -> int:
        """What sides of drawn pictures must be multiples of, in pixels."""
        patches = 2 if hasattr(self.text, "transformer") else 1
        return int(self.text.vae_scale_factor) * patches

    @property
    def native_side(self) -> int:
        """Side in pixels of the pictures that the model was trained on."""
        denoiser = getattr(self.text, "unet", None) or getattr(self.text, "transformer", None)
        side: Any = getattr(getattr(denoiser, "config", None), "sample_size", None)
        if not isinstance(side, int):
            side = getattr(self.text, "default_sample_size", 128)
        return int(side) * int(self.text.vae_scale_factor)

    def get(self, task: Task, controlnet: str | None = None) -> Any:
        """The pipeline for `task`; made at its first use, without weights of its own.

        Raises:
            InvalidRequest: no such ControlNet, or a kind of model that cannot do the task.
        """
        key = (task, controlnet)
        with self._making:
            if key not in self._made:
                self._made[key] = self._make(task, controlnet)
            return self._made[key]

    def use_lora(self, name: str | None, scale: float) -> None:
        """Draw with this LoRA from now on, or with none. Raises InvalidRequest."""
        wanted = None if name is None else (name, scale)
        if wanted == self._lora:
            return
        if wanted is None:
            self.text.disable_lora()
        else:
            self.require("lora", name, self.settings.loras)
            self.text.enable_lora()
            self.text.set_adapters([name], [scale])
        self._lora = wanted

    @staticmethod
    def require(param: str, name: str | None, known: Mapping[str, str]) -> None:
        """Raises InvalidRequest when `name` is not one of `known`."""
        if name is not None and name not in known:
            there = ", ".join(known) or "none"
            raise InvalidRequest(f"this model has no {param} '{name}'; it has: {there}", param)

    def takes(self, task: Task, field: str, controlnet: str | None = None) -> bool:
        """Whether the pipeline for `task` has an argument of that name."""
        return field in inspect.signature(self.get(task, controlnet).__call__).parameters

    def decode(self, latents: Any) -> list[Any]:
        """Latents [n, channels, h, w] as PIL pictures, for previews."""
        vae = self.text.vae
        with self.torch.inference_mode(), self._safe(vae):
            scaled = latents.to(vae.dtype) / vae.config.scaling_factor
            drawn = vae.decode(scaled + (getattr(vae.config, "shift_factor", None) or 0)).sample
        pictures: list[Any] = self.text.image_processor.postprocess(drawn, output_type="pil")
        return pictures

    @contextmanager
    def _safe(self, vae: Any) -> Iterator[None]:
        """In a precision that the decoder's numbers fit in: SDXL's own overflow in float16, where
        pictures would be black. Pipelines do so for the finished picture.
        """
        stored = vae.dtype
        if stored != self.torch.float16 or not getattr(vae.config, "force_upcast", False):
            yield
            return
        try:
            vae.to(self.torch.float32)
            yield
        finally:
            vae.to(stored)

    def expectation(self) -> Any:
        """The clean latents that the last step expected, or None."""
        return self._expected

    def _make(self, task: Task, controlnet: str | None) -> Any:
        from diffusers import (
            AutoPipelineForImage2Image,
            AutoPipelineForInpainting,
            AutoPipelineForText2Image,
        )

        kinds = {
            "text": AutoPipelineForText2Image,
            "image": AutoPipelineForImage2Image,
            "mask": AutoPipelineForInpainting,
        }
        more = {} if controlnet is None else {"controlnet": self._load_controlnet(controlnet)}
        try:
            made = kinds[task].from_pipe(self.text, **more)
        except (ValueError, KeyError) as error:
            params: dict[Task, str] = {"text": "controlnet", "image": "image", "mask": "mask"}
            what = "ControlNet" if controlnet else f"'{params[task]}'"
            raise InvalidRequest(f"this model cannot draw with a {what}", params[task]) from error
        made.set_progress_bar_config(disable=True)
        return made

    def _load_controlnet(self, name: str) -> Any:
        from diffusers import ControlNetModel

        self.require("controlnet", name, self.settings.controlnets)
        for (_, loaded), pipeline in self._made.items():
            if loaded == name:
                return pipeline.controlnet
        source = locate(self.settings.controlnets[name])
        net = ControlNetModel.from_pretrained(source, dtype=self.dtype)
        return net.to(self.settings.device)

    def _add_lora(self, name: str, source: str) -> None:
        try:
            self.text.load_lora_weights(locate(source), adapter_name=name)
        except (OSError, ValueError, ImportError, AttributeError) as error:
            raise SettingsError(f"LoRA {name!r} from {source!r}: {error}") from error
        self.text.disable_lora()

    def _watch_scheduler(self) -> None:
        """Keep what each step expects the finished picture to be: previews without noise."""
        self._expected: Any = None
        step = self.text.scheduler.step

        def watched(*args: Any, **options: Any) -> Any:
            result = step(*args, **options)
            is_pair = isinstance(result, tuple) and len(result) > 1
            self._expected = result[1] if is_pair else None
            return result

        self.text.scheduler.step = watched
