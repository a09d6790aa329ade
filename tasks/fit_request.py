"""What a person asks `assay fit` for, as written, and what that means."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from models.frozen import StudyError, nearest
from tasks.tables import constant

COMMA_BETWEEN = re.compile(r",(?![^()]*\))")  # not one inside power(10, 9)


@dataclass(frozen=True)
class FitRequest:
    """SQL is over the table's columns."""

    law: str
    table: str
    maps: Sequence[str] = ()  # NAME=SQL
    where: str | None = None
    drop_highest_loss: int = 0
    fixed: Sequence[str] = ()  # COEFFICIENT=number
    starts: Sequence[str] = ()  # COEFFICIENT=number
    bootstrap: int = 1000
    seed: int = 0
    holdout: str | None = None  # SQL
    predict: Sequence[str] = ()  # NAME=number,NAME=number
    weights: str | None = None  # names of columns, with * and ?
    cluster: str | None = None  # SQL
    seed_column: str | None = None  # SQL
    noise: str | None = None  # SQL
    delta: float = 1e-3
    confidence: float = 0.9


def assignments(option: str, texts: Iterable[str], form: str) -> dict[str, str]:
    """{NAME: what it is} of `NAME=what`.

    Raises:
        StudyError: when one has another form, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise StudyError(f"{option} is '{text}': it takes {form}.")
        if name in found:
            raise StudyError(f"{option} gives {name} twice: '{found[name]}' and '{value}'.")
        found[name] = value
    return found


def numbers(option: str, texts: Iterable[str]) -> dict[str, float]:
    return {name: constant(text) for name, text in assignments(option, texts, "NAME=NUMBER, such as alpha=0.35 or A=exp(6.25)").items()}


def coefficients(option: str, texts: Iterable[str], law: str, known: Sequence[str]) -> dict[str, float]:
    """Raises:
    StudyError: when the law has no such coefficient.
    """
    given = numbers(option, texts)
    for name in given:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none that could be given"
            raise StudyError(f"{option} {name}: the law '{law}' has no coefficient '{name}'{nearest(name, known)}: {has}.")
    return given


def point(text: str) -> dict[str, float]:
    """Of `--predict N=6.9e9,D=1.38e11`."""
    return numbers("--predict", COMMA_BETWEEN.split(text))


def weight_columns(pattern: str | None, columns: Sequence[str], table: str) -> tuple[str, ...]:
    """Columns whose names match, in alphabetical order."""
    if pattern is None:
        return ()
    found = tuple(sorted(name for name in columns if fnmatchcase(name, pattern)))
    if not found:
        raise StudyError(f"--weights '{pattern}' matches no column of {table}{nearest(pattern.strip('*'), columns)}: it has {', '.join(columns)}.")
    return found
