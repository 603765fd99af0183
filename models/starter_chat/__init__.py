"""The starter chat model: its corpus, its training and evaluation scripts, its shipped weights.

Nothing here is imported on the request path: a deployment loads ``WEIGHTS`` by directory.
"""

from pathlib import Path

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
SCHEMA = HERE / "schema.sql"
CHAT_TEMPLATE = HERE / "chat_template.jinja"
