"""The share of a machine that a replica on torch takes.

Place in the path: before step 4, when a model loads. Replicas stand beside each other on one device
and must not take what belongs to the next; Ray counts shares, but holds nobody to them. It places
nothing: which device it is stands in the settings.
"""

from typing import Any, Protocol


class Share(Protocol):
    """Settings of a model on torch."""

    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int | None:
        """CPU threads of one operation; None leaves it to torch."""

    @property
    def memory_fraction(self) -> float | None:
        """Most of the GPU's memory."""


def take_share(torch: Any, share: Share) -> None:
    """Keep this process to its threads, and to its part of a GPU's memory.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.set_per_process_memory_fraction.html
    """
    if share.threads is not None:
        torch.set_num_threads(share.threads)
    if share.memory_fraction is not None and share.device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(share.memory_fraction)
