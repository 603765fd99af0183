"""Pipelines: one set of diffusion weights, and every way of drawing with it.

Place in the path: step 4, under the image model. It loads a diffusers folder (or hub id), and makes
text-to-image, image-to-image and inpainting pipelines of the same weights, with LoRAs and
ControlNets by name. It does not batch and does not know requests. Drawing is for one thread at a
time; `get` and `takes` are for any.
"""

import inspect
import threading
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from core.errors import InvalidRequest, SettingsError
from core.model import Frozen
from models.sources import locate

Task = Literal["text", "image", "mask"]


class Quantization(Frozen):
    """How weights are held: diffusers' `PipelineQuantizationConfig`."""

    backend: str
    """Such as `bitsandbytes_4bit`, `bitsandbytes_8bit`, `torchao`, `quanto`."""
    options: Mapping[str, Any] = {}
    components: tuple[str, ...] = ("transformer", "unet")


class LoadSettings(Frozen):
    """What loading takes: a part of an image model's `engine` settings."""

    source: str
    """Weights; see `models.sources`."""
    device: str = "cpu"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """`auto`: float32 on a CPU, bfloat16 elsewhere."""
    memory_fraction: float | None = Field(None, gt=0, le=1)
    """Most of the GPU's memory that this replica takes: keep it at its `num_gpus`."""
    offload: Literal["none", "model", "sequential"] = "none"
    """Keep parts that are not needed at the moment in main memory: slower, smaller."""
    tiled_decoding: bool = False
    """Decode large pictures in tiles: less memory."""
    quantization: Quantization | None = None
    loras: Mapping[str, str] = {}
    """Name for requests: directory or file of LoRA weights."""
    controlnets: Mapping[str, str] = {}
    """Name for requests: source of a ControlNet for this model."""
    threads: int | None = None
    """CPU threads of one step; None leaves it to torch."""


class Pipelines:
    """All pipelines over one set of weights."""

    def __init__(self, settings: LoadSettings) -> None:
        import torch

        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        if settings.memory_fraction is not None and settings.device.startswith("cuda"):
            torch.cuda.set_per_process_memory_fraction(settings.memory_fraction)
        self.torch = torch
        self.settings = settings
        self.dtype = _dtype(torch, settings)
        self.text = self._load()
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
        with self.torch.inference_mode():
            scaled = latents.to(vae.dtype) / vae.config.scaling_factor
            drawn = vae.decode(scaled + (getattr(vae.config, "shift_factor", None) or 0)).sample
        pictures: list[Any] = self.text.image_processor.postprocess(drawn, output_type="pil")
        return pictures

    def expectation(self) -> Any:
        """The clean latents that the last step expected, or None."""
        return self._expected

    def _load(self) -> Any:
        from diffusers import DiffusionPipeline

        settings = self.settings
        options: dict[str, Any] = {"dtype": self.dtype}
        if settings.quantization is not None:
            options["quantization_config"] = _quantization(settings.quantization)
        try:
            pipeline = DiffusionPipeline.from_pretrained(locate(settings.source), **options)
        except (OSError, ValueError, ImportError) as error:
            raise SettingsError(f"image weights {settings.source!r}: {error}") from error
        pipeline.set_progress_bar_config(disable=True)
        if settings.tiled_decoding:
            pipeline.vae.enable_tiling()
        return self._place(pipeline)

    def _place(self, pipeline: Any) -> Any:
        if self.settings.offload == "model":
            pipeline.enable_model_cpu_offload(device=self.settings.device)
        elif self.settings.offload == "sequential":
            pipeline.enable_sequential_cpu_offload(device=self.settings.device)
        else:
            pipeline.to(self.settings.device)
        return pipeline

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


def _dtype(torch: Any, settings: LoadSettings) -> Any:
    """Explicit, always: weights stored in half precision do not run on every CPU."""
    if settings.dtype == "auto":
        return torch.float32 if settings.device == "cpu" else torch.bfloat16
    return getattr(torch, settings.dtype)


def _quantization(settings: Quantization) -> Any:
    from diffusers import PipelineQuantizationConfig

    try:
        return PipelineQuantizationConfig(
            quant_backend=settings.backend,
            quant_kwargs=dict(settings.options),
            components_to_quantize=list(settings.components),
        )
    except (ValueError, ImportError) as error:
        raise SettingsError(f"quantization {settings.backend!r}: {error}") from error
