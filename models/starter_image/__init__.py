"""The starter image model: its scenes, its training and evaluation scripts, its shipped weights.

Nothing here is imported on the request path: a deployment loads ``WEIGHTS`` by directory.
"""

from pathlib import Path

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
