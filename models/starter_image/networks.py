"""The four parts of starter-image, untrained, in the exact layout of Stable Diffusion.

Sizes are what a CPU thread can train in an hour. This module does not train.
"""

from typing import Any

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from models.starter_image.scenes import SIDE
from models.starter_image.words import CONTEXT

SHRINK = 8
"""Pixels of a picture per latent cell, each way."""
LATENT_CHANNELS = 4
TEXT_WIDTH = 96


def new_autoencoder() -> Any:
    """Pictures [n, 3, 64, 64] in -1..1 to latents [n, 4, 8, 8] and back."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIDE,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> Any:
    """Token ids [n, 32] to states [n, 32, 96]."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_denoiser() -> Any:
    """Noisy latents [n, 4, 8, 8], steps [n] and text states to the velocity [n, 4, 8, 8]."""
    return UNet2DConditionModel(
        sample_size=SIDE // SHRINK,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def scheduler() -> Any:
    """DDIM, velocity prediction, zero terminal signal (Lin et al., arXiv 2305.08891).

    With it a picture starts from pure noise, so that flat dark or bright pictures can be drawn.
    """
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )
