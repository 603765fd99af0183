"""Muon for convolutions: momentum whose matrices are made orthogonal before each step.

The method is described at kellerjordan.github.io/posts/muon; torch's own takes plain matrices only,
and most of an image model is convolutions: here a kernel [out, in, h, w] counts as a matrix
[out, in h w]. Vectors, embeddings and the layers that touch pixels or latents are AdamW's.
"""

from collections.abc import Iterable
from typing import Any

import torch

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
RMS = 0.2
"""Of an update's entries at rate 1: about AdamW's, so that rates mean the same for both."""


def split(
    parameters: Iterable[tuple[str, Any]], ends: tuple[str, ...]
) -> tuple[list[Any], list[Any]]:
    """(matrices for Muon, the rest). `ends` are names of first and last layers."""
    named = list(parameters)
    inner = [n for n, p in named if p.ndim in (2, 4) and not n.startswith(ends)]
    chosen = set(inner)
    return [p for n, p in named if n in chosen], [p for n, p in named if n not in chosen]


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The nearest orthogonal matrix, roughly: five Newton-Schulz iterations."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    found = (wide / (wide.norm() + 1e-7)).bfloat16()
    for _ in range(ITERATIONS):
        gram = found @ found.T
        found = a * found + (b * gram + c * gram @ gram) @ found
    return (found if matrix.shape[0] <= matrix.shape[1] else found.T).float()


class Muon(torch.optim.Optimizer):  # type: ignore[misc]  # torch has no types here
    """Over matrices and kernels."""

    def __init__(self, parameters: list[Any], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    def step(self, closure: None = None) -> None:
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._update(parameter, group["lr"], group["momentum"])

    def _update(self, parameter: Any, rate: float, momentum: float) -> None:
        state = self.state[parameter]
        mean = state.setdefault("mean", torch.zeros_like(parameter.grad))
        mean.lerp_(parameter.grad, 1 - momentum)
        ahead = parameter.grad.lerp(mean, momentum).flatten(1)
        scale = RMS * max(ahead.shape) ** 0.5
        parameter.add_(orthogonal(ahead).view_as(parameter), alpha=-rate * scale)
