"""Whisper's network, for inputs of any length up to 30 s.

The layers and their names are those of `transformers`' Whisper, so that CTranslate2's converter
reads them; transformers' own class takes windows of exactly 3,000 frames, and learning on short
windows is ten times as fast. Source: Radford et al., "Robust Speech Recognition via Large-Scale
Weak Supervision", 2022.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    words: int
    """Classes of the auxiliary CTC head, without its blank."""
    width: int = 128
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 2
    mels: int = 80
    source_positions: int = 1500
    target_positions: int = 448


class Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, *, causal: bool = False) -> Tensor:
        """Let x (batch, length, width) look at source (batch, positions, width)."""
        q, k, v = self.q_proj(x), self.k_proj(source), self.v_proj(source)
        mixed = functional.scaled_dot_product_attention(
            self._split(q), self._split(k), self._split(v), is_causal=causal
        )
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: Shape, *, decoder: bool) -> None:
        super().__init__()
        width = shape.width
        self.self_attn = Attention(width, shape.heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        if decoder:
            self.encoder_attn = Attention(width, shape.heads)
            self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.decoder = decoder

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, y, causal=self.decoder)
        if source is not None:
            x = x + self.encoder_attn(self.encoder_attn_layer_norm(x), source)
        return x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))


class Encoder(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(shape.mels, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(shape.source_positions, shape.width)
        self.embed_positions.weight = nn.Parameter(
            waves(shape.source_positions, shape.width), requires_grad=False
        )
        layers = [Layer(shape, decoder=False) for _ in range(shape.encoder_layers)]
        self.layers = nn.ModuleList(layers)
        self.layer_norm = nn.LayerNorm(shape.width)

    def forward(self, mels: Tensor) -> Tensor:
        """From mels (batch, 80, frames) to (batch, frames / 2, width)."""
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(mels)))).transpose(1, 2)
        x = x + self.embed_positions.weight[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)


class Decoder(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.embed_positions = nn.Embedding(shape.target_positions, shape.width)
        layers = [Layer(shape, decoder=True) for _ in range(shape.decoder_layers)]
        self.layers = nn.ModuleList(layers)
        self.layer_norm = nn.LayerNorm(shape.width)

    def forward(self, tokens: Tensor, source: Tensor) -> Tensor:
        """From tokens (batch, length) to logits (batch, length, vocabulary)."""
        x = self.embed_tokens(tokens) + self.embed_positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, source)
        return self.layer_norm(x) @ self.embed_tokens.weight.T


class Whisper(nn.Module):  # type: ignore[misc]
    """Encoder, decoder, and a CTC head that only training uses."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.ctc = nn.Linear(shape.width, shape.words + 1)
        nn.init.normal_(self.decoder.embed_tokens.weight, std=0.04)
        nn.init.normal_(self.decoder.embed_positions.weight, std=0.02)

    def shape_times(self, first: int) -> None:
        """Start the embeddings of times, from token `first` on, as waves: neighbours are alike."""
        table = self.decoder.embed_tokens.weight
        with torch.no_grad():
            table[first:] = 0.06 * waves(len(table) - first, self.shape.width)


def waves(length: int, width: int) -> Tensor:
    """Sinusoids (length, width), as Whisper's encoder positions."""
    rates = torch.exp(-math.log(10000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(length)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)
