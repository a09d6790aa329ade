"""Figures to files."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from models.frozen import StudyError


def save_plot(figure: Figure, path: Path) -> None:
    """The ending of the path is the format. The same figure gives the same SVG.

    Raises:
        StudyError: for an unknown ending, and where nothing can be written.
    """
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in formats:
        raise StudyError(f"--plot is {path}: its ending must be one of {', '.join(sorted(formats))}.")
    try:
        with mpl.rc_context({"svg.hashsalt": "assay"}):
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise StudyError(f"The plot can't be written to {path}: {error.strerror}.") from None
