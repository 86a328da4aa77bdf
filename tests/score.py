"""`python -m tests.score SUBMISSION`: a submission's log loss on the fixture's test images."""

from __future__ import annotations

import argparse
from pathlib import Path

from twinrun.files import read_csv
from twinrun.metrics import score as score_of
from twinrun.probabilities import read_probabilities

SOLUTION = Path(__file__).with_name("fixture") / "solution.csv"


def main() -> None:
    """Print the score, in nats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("submission", type=Path)
    predictions = read_probabilities(parser.parse_args().submission)
    solution = read_csv(SOLUTION, text=("ID", "label"))
    labels = dict(zip(solution["ID"], solution["label"], strict=True))
    score = score_of(predictions, [labels[image] for image in predictions.iloc[:, 0]], "log_loss")
    print(f"log loss on {len(predictions)} test images: {score:.4f}")


if __name__ == "__main__":
    main()
