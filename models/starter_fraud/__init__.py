"""The starter fraud models: the worlds they are drawn from, training, evaluation, shipped weights.

Nothing here is imported on the request path: a detector loads ``WEIGHTS`` by directory.
"""

from pathlib import Path

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
