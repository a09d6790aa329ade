"""Which recipes the page compares, document by document: each with the recipe that it continues, and with its neighbour that starts where it does."""

from collections.abc import Iterator
from itertools import pairwise

from tasks.corpus_diff import CorpusDiff, corpus_diff
from tasks.study import Study


def diffs(study: Study) -> list[CorpusDiff]:
    """Those of the pairs where the one drops something that the other keeps."""
    found = (corpus_diff(study, keeps, drops) for keeps, drops in dict.fromkeys(_pairs(study)))
    return [diff for diff in found if diff.dropped]


def _pairs(study: Study) -> Iterator[tuple[str, str]]:
    """(recipe that keeps, recipe that drops). As many as there are recipes, or twice: `python -m tasks.corpus_diff` compares any two."""
    bases = {name: recipe.base for name, recipe in study.recipes.items()}
    yield from ((base, name) for name, base in bases.items() if base in bases)
    for first, second in pairwise(sorted(bases, key=lambda name: bases[name])):
        if bases[first] == bases[second]:
            yield from ((first, second), (second, first))
