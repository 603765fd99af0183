"""Quantised weights: the package that is missing is named before anything loads."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from core.errors import SettingsError
from deployments.diffusion import DiffusionSettings, load_pipeline
from deployments.quantization import require_package
from deployments.vision_engine import VisionEngine, VisionEngineSettings


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch):
    for module in ("bitsandbytes", "torchao", "optimum"):
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("backend", "package"),
    [
        ("bitsandbytes_4bit", "bitsandbytes"),
        ("bitsandbytes_8bit", "bitsandbytes"),
        ("torchao", "torchao"),
        ("quanto", "optimum-quanto"),
    ],
)
def test_the_missing_package_of_diffusion_weights_is_named(backend, package):
    settings = DiffusionSettings.model_validate(
        {"source": "./nowhere", "quantization": {"backend": backend}}
    )
    with pytest.raises(SettingsError, match=rf"'{backend}'.*: pip install {package}$") as caught:
        load_pipeline(settings, None)
    assert caught.value.param == "quantization"


@pytest.mark.parametrize(
    ("config", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "torchao"),
        ({"quant_method": "quanto", "weights": "int8"}, "optimum-quanto"),
    ],
)
def test_the_missing_package_of_a_vision_model_is_named(config, package):
    settings = VisionEngineSettings(source="./nowhere", quantization=config)
    with pytest.raises(SettingsError, match=f": pip install {package}$"):
        VisionEngine(settings)


def test_what_is_installed_is_not_asked_for(monkeypatch):
    module = ModuleType("torchao")
    module.__spec__ = ModuleSpec("torchao", None)
    monkeypatch.setitem(sys.modules, "torchao", module)
    require_package("torchao")


def test_a_method_that_needs_no_package_of_these_is_left_to_its_library():
    require_package("fp8")
