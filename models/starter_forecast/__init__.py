"""The starter forecaster: sample prices, two networks, their training and back-test, weights.

Place in the path: a deployment loads `weights/` by directory and reads `prices.csv` through its
file source. The prices are synthetic, and nothing here is advice.
"""

from pathlib import Path

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
PRICES = HERE / "prices.csv"
LEXICON = HERE / "lexicon.yaml"
SCORES = HERE / "scores.json"
SENTIMENT_SCORES = HERE / "sentiment_scores.json"
