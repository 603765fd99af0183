"""starter-speech: a small Coqui voice pair, distilled from espeak-ng by the scripts here.

Place in the path: `weights` is what `deployments.speech` loads for the CPU default. The rest makes
those weights and measures them; none of it runs while serving.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
VOICES = {"tenor": "en-us", "alto": "en-us+f3"}
"""Our voices, and the espeak-ng voices that taught them."""
