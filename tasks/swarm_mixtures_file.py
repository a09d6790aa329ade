"""Mixtures of a swarm from a table: weights by domain, as RegMix and olmix write them."""

from collections.abc import Sequence

from models.frozen import StudyError
from tasks import layout
from tasks.mixture_tables import listed, read_mixtures
from tasks.mixture_target import column_named
from tasks.steps.pinned import PinnedFile

FEWEST = 5


def mixtures_from(file: PinnedFile, domains: Sequence[str], where: str) -> list[dict[str, float]]:
    """Weights by domain of each row, in the order of the column `index`. A column belongs to the domain whose name it is or holds between separators;
    a domain without a column has no weight.

    Raises:
        StudyError: for a table that is not the pinned one or no table of mixtures, columns that are no domain's, and too few rows.
    """
    path = str(file.at(where))
    table = read_mixtures(path, layout.INDEX)
    domain_by_column: dict[str, str] = {}
    for domain in domains:
        try:
            column = column_named(domain, table.columns, "domain", "")
        except StudyError:
            continue
        if column in domain_by_column:
            raise StudyError(f"{where}: column '{column}' of {path} could be of {domain_by_column[column]} and of {domain}: rename it.")
        domain_by_column[column] = domain
    if strangers := [column for column in table.columns if column not in domain_by_column]:
        raise StudyError(f"{where}: {path} has weights of {listed(strangers)}, of which the recipe has no tokens; there are {listed(domains, 20)}.")
    if len(table.keys) < FEWEST:
        raise StudyError(f"{where}: {path} has {len(table.keys)} mixtures, and a law of mixtures needs {FEWEST} at least.")
    rows = (zip(table.columns, values, strict=True) for values in table.values_nc.tolist())
    return [{domain_by_column[column]: weight for column, weight in row if weight > 0} for row in rows]
