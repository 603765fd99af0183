"""Diffusion weights: a diffusers folder (or hub id) as a pipeline on its device.

Place in the path: step 4, under the image and the video model, at start. It knows precision, memory
and where weights are held; what a pipeline draws is its model's.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from core.errors import SettingsError
from core.model import Frozen
from deployments.quantization import require_package
from deployments.torch_share import take_share
from models.sources import locate

Precision = Literal["auto", "float32", "float16", "bfloat16"]


class Quantization(Frozen):
    """How weights are held: diffusers' `PipelineQuantizationConfig`."""

    backend: str
    """Such as `bitsandbytes_4bit`, `bitsandbytes_8bit`, `torchao`, `quanto`; its package must be
    installed."""
    options: Mapping[str, Any] = {}
    components: tuple[str, ...] = ("transformer", "unet")


class DiffusionSettings(Frozen):
    """What loading takes: a part of the `engine` settings of an image or video model."""

    source: str
    """Weights; see `models.sources`."""
    device: str = "cpu"
    dtype: Precision = "auto"
    """`auto`: float32 on a CPU, bfloat16 elsewhere."""
    memory_fraction: float | None = Field(None, gt=0, le=1)
    """Most of the GPU's memory that this replica takes: keep it at its `num_gpus`."""
    offload: Literal["none", "model", "sequential"] = "none"
    """Keep parts that are not needed at the moment in main memory: slower, smaller."""
    tiled_decoding: bool = False
    """Decode large pictures in tiles: less memory."""
    quantization: Quantization | None = None
    threads: int | None = None
    """CPU threads of one step; None leaves it to torch."""


def torch_for(settings: DiffusionSettings) -> Any:
    """The module, within what this replica may take of the machine."""
    import torch

    take_share(torch, settings)
    return torch


def precision(torch: Any, settings: DiffusionSettings) -> Any:
    """Explicit, always: weights stored in half precision do not run on every CPU."""
    if settings.dtype == "auto":
        return torch.float32 if settings.device == "cpu" else torch.bfloat16
    return getattr(torch, settings.dtype)


def make_of(settings: DiffusionSettings) -> str:
    """The class that the folder names, such as `WanPipeline`. Raises SettingsError."""
    from diffusers import DiffusionPipeline

    try:
        return str(DiffusionPipeline.load_config(locate(settings.source))["_class_name"])
    except (OSError, ValueError, KeyError) as error:
        raise SettingsError(f"diffusion weights {settings.source!r}: {error}") from error


def load_pipeline(settings: DiffusionSettings, dtype: Any) -> Any:
    """The pipeline that the folder names, placed.

    Args:
        dtype: of all components, or by component with `default` for the others.

    Raises:
        SettingsError: weights that are not there or cannot be loaded so.
    """
    if settings.quantization is not None:
        require_package(settings.quantization.backend)
    from diffusers import DiffusionPipeline

    options: dict[str, Any] = {"dtype": dtype}
    if settings.quantization is not None:
        options["quantization_config"] = _quantization(settings.quantization)
    try:
        pipeline = DiffusionPipeline.from_pretrained(locate(settings.source), **options)
    except (OSError, ValueError, ImportError) as error:
        raise SettingsError(f"diffusion weights {settings.source!r}: {error}") from error
    pipeline.set_progress_bar_config(disable=True)
    if settings.tiled_decoding:
        pipeline.vae.enable_tiling()
    return _placed(pipeline, settings)


def _placed(pipeline: Any, settings: DiffusionSettings) -> Any:
    if settings.offload == "model":
        pipeline.enable_model_cpu_offload(device=settings.device)
    elif settings.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=settings.device)
    else:
        pipeline.to(settings.device)
    return pipeline


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
