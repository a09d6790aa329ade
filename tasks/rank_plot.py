"""The picture of `assay rank`: every recipe at the small and at the large scale. Needs matplotlib, which takes a second to import."""

from pathlib import Path

from matplotlib.figure import Figure

from tasks.plot_file import save_plot
from tasks.rank_table import TableRanking

NAMED = 30  # of more recipes than this, names would cover each other


def draw_ranking(path: Path, result: TableRanking, small: str, large: str) -> None:
    """Scores at the two scales; on a rising line the small scale decides as the large one does."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.plot([one.small for one in result.scores], [one.large for one in result.scores], "o", color="tab:blue", markersize=4)
    for one in result.scores if result.recipes <= NAMED else ():
        axes.annotate(one.recipe, (one.small, one.large), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axes.set_xlabel(f"score at {small}")
    axes.set_ylabel(f"score at {large}")
    accuracy = result.decision_accuracy
    axes.set_title(f"decision accuracy {accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f}), {result.pairs} pairs")
    save_plot(figure, path)
