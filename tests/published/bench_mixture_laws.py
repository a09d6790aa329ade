"""How well each mixture law ranks mixtures at its own scale and at a larger one, by the number of training runs (`make bench-mixtures`).

python -m tests.published.bench_mixture_laws [--draws 10] [--runs 32,64,128,512] [--laws auto,gp]
"""

import argparse
from collections.abc import Iterator, Sequence
from time import process_time

import numpy as np

from models.mixture_laws.law import MixtureLaw
from models.mixture_laws.registry import LAWS
from tests.published.regmix import FOLDER, SCALES, Score, draw, held_out, score, training

HEADER = "law        runs  draws | 13 losses: 1M     60M            | pile_cc: 1M  60M   | mean loss: 1M  60M  | s a fit of 13 losses"


def measured(law: type[MixtureLaw], runs: int, draws: int) -> tuple[list[Score], float]:
    """Scores of the draws, and process seconds of a fit."""
    train, tests = training(), [held_out(scale) for scale in SCALES]
    began = process_time()
    scores = [score(law(), draw(train, runs, seed), tests) for seed in range(draws)]
    return scores, (process_time() - began) / draws


def line(name: str, runs: int, scores: Sequence[Score], seconds: float) -> str:
    of_losses, pile_cc, mean_loss = (np.array([getattr(it, field) for it in scores]) for field in ("mean_of_losses", "pile_cc", "mean_loss"))
    error = of_losses[:, 1].std() / np.sqrt(max(len(scores) - 1, 1))
    numbers = f"{of_losses[:, 0].mean():.4f}  {of_losses[:, 1].mean():.4f} +- {error:.4f}"
    others = " | ".join(f"      {it[:, 0].mean():.4f}  {it[:, 1].mean():.4f}" for it in (pile_cc, mean_loss))
    return f"{name:10} {runs:4d} {len(scores):6d} |       {numbers} | {others} | {seconds:.1f}"


def table(laws: Sequence[str], runs: Sequence[int], draws: int) -> Iterator[str]:
    yield HEADER
    for count in runs:
        for name in laws:
            yield line(name, count, *measured(LAWS[name], count, 1 if count == 512 else draws))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--runs", default="32,64,128,512")
    parser.add_argument("--laws", default=",".join(LAWS))
    asked = parser.parse_args()
    if not FOLDER.exists():
        raise SystemExit(f"The published runs are not there: {FOLDER}")
    for text in table(asked.laws.split(","), [int(count) for count in asked.runs.split(",")], asked.draws):
        print(text, flush=True)


if __name__ == "__main__":
    main()
