"""starter-vision: a tiny LLaVA that names what the pictures of starter-image show.

Scripts that draw questions, train and measure; `weights/` is what the vision deployment loads.
Nothing here serves requests.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
CHAT_TEMPLATE = Path(__file__).parent / "chat_template.jinja"
