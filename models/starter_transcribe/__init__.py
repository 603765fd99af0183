"""starter-transcribe: a very small Whisper that hears 50 words, trained by the scripts here.

Place in the path: `weights` is what `deployments.transcription` loads for the CPU default. The rest
makes those weights and measures them; none of it runs while serving.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
