"""Tables of simulated runs, as files."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

COEFFICIENTS = {"E": 1.7, "A": 400.0, "B": 1200.0, "alpha": 0.34, "beta": 0.36}
MAPS = ("N=params", "D=tokens", "loss=loss")


def write(path: Path, columns: Mapping[str, np.ndarray | list]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return str(path)


def chinchilla_runs(rows: int = 60, noise: float = 0.003, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    params, tokens = 10 ** random.uniform(7, 9.5, rows), 10 ** random.uniform(8.5, 11, rows)
    return {"params": params, "tokens": tokens, "loss": chinchilla_loss(params, tokens) * np.exp(noise * random.standard_normal(rows))}


def chinchilla_loss(params: np.ndarray | float, tokens: np.ndarray | float) -> np.ndarray:
    c = COEFFICIENTS
    return np.asarray(c["E"] + c["A"] * params ** -c["alpha"] + c["B"] * tokens ** -c["beta"])
