"""Packages that hold quantised weights: none comes along, each is said to be missing at the start.

Place in the path: before step 4, ahead of loading weights. diffusers and transformers name methods
that other packages bring. It knows which package a method needs; how weights are quantised is
theirs.
"""

from importlib.util import find_spec

from core.errors import SettingsError

BITSANDBYTES = ("bitsandbytes", "bitsandbytes")
PACKAGES = {
    "bitsandbytes": BITSANDBYTES,
    "bitsandbytes_4bit": BITSANDBYTES,
    "bitsandbytes_8bit": BITSANDBYTES,
    "torchao": ("torchao", "torchao"),
    "quanto": ("optimum.quanto", "optimum-quanto"),
}
"""The module of each method, and the package that has it. Others are diffusers' and transformers'
to report."""


def require_package(method: str) -> None:
    """Raises SettingsError when the package of a method of quantisation is not installed."""
    module, package = PACKAGES.get(method, ("", ""))
    if module and not _is_installed(module):
        raise SettingsError(
            f"quantization {method!r}: its package is not installed: pip install {package}",
            "quantization",
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False
