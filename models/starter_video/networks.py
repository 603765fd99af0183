"""The four parts of starter-video, untrained, in the exact layout of Wan 2.2 TI2V.

Sizes are what a CPU thread can train in an hour. This module does not train.
"""

from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, WanResample
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

SHRINK, SHRINK_TIME = 8, 4
"""Pixels of a frame per latent cell each way, and frames per latent frame after the first."""
LATENT_CHANNELS = 12
PATCH = 2
"""Pixels each way that the autoencoder takes as one, as Wan 2.2's does: a quarter of the work."""
TEXT_WIDTH = 128
WIDTH, HEADS, LAYERS = 192, 6, 6
TOKEN_CELLS = 2
"""Latent cells each way per token. The pipelines number their tokens so; it cannot be another."""
FLOW_SHIFT = 2.0


def new_autoencoder() -> Any:
    """Clips [n, 3, 1 + 4 t, 64, 64] in -1..1 to latents [n, 12, 1 + t, 8, 8] and back."""
    model = AutoencoderKLWan(
        base_dim=24,
        decoder_base_dim=32,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
        is_residual=True,
        in_channels=3 * PATCH**2,
        out_channels=3 * PATCH**2,
        patch_size=PATCH,
        scale_factor_temporal=SHRINK_TIME,
        scale_factor_spatial=SHRINK,
    )
    _see_frames_singly(model)
    return model


def _see_frames_singly(model: Any) -> None:
    """Start kernels as those of a picture model: they look at the frame at hand, not back.

    What single frames have taught then holds for clips too, and time is learned on top.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, WanCausalConv3d):
                module.weight[:, :, :-1] = 0
        for module in model.modules():
            if isinstance(module, WanResample) and hasattr(module, "time_conv"):
                _pass_through(module.time_conv)


def _pass_through(conv: Any) -> None:
    """Halving time averages two frames; doubling it shows each frame twice."""
    outputs, inputs = conv.weight.shape[:2]
    same = torch.eye(inputs)[:, :, None, None]
    conv.weight.zero_()
    conv.bias.zero_()
    if outputs == inputs:
        conv.weight[:, :, -2:] = torch.stack([same, same], dim=2) / 2
    else:
        conv.weight[:, :, -1] = torch.cat([same, same])


def new_text_encoder(tokenizer: T5Tokenizer) -> Any:
    """Token ids [n, 32] to states [n, 32, 128]."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(tokenizer),
            d_model=TEXT_WIDTH,
            d_kv=32,
            d_ff=2 * TEXT_WIDTH,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def new_denoiser() -> Any:
    """Noisy latents [n, 12, t, 8, 8], levels [n] or [n, tokens], text states to the velocity."""
    return WanTransformer3DModel(
        patch_size=(1, TOKEN_CELLS, TOKEN_CELLS),
        num_attention_heads=HEADS,
        attention_head_dim=WIDTH // HEADS,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_WIDTH,
        freq_dim=128,
        ffn_dim=4 * WIDTH,
        num_layers=LAYERS,
        cross_attn_norm=True,
        rope_max_seq_len=256,
    )


def scheduler() -> Any:
    """UniPC over a flow from noise to data, as Wan's own weights come with."""
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=FLOW_SHIFT,
        num_train_timesteps=1000,
    )


def pipeline(tokenizer: Any, text_encoder: Any, autoencoder: Any, denoiser: Any) -> Any:
    """The parts together. Levels are per token, so that a clean first frame may be given."""
    return WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=autoencoder,
        scheduler=scheduler(),
        transformer=denoiser,
        expand_timesteps=True,
    )
