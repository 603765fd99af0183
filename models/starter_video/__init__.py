"""The starter video model: its clips, its training and evaluation scripts, its shipped weights.

Nothing here is imported on the request path: a deployment loads ``WEIGHTS`` by directory.
"""

from pathlib import Path

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
