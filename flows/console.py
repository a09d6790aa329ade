"""Where pages are printed: as wide as the terminal, and elsewhere in plain lines that nothing cuts."""

from rich.console import Console

PLAIN_WIDTH = 200  # characters of a line that no terminal limits


def console() -> Console:
    found = Console(highlight=False)
    return found if found.is_terminal else Console(width=PLAIN_WIDTH, no_color=True, highlight=False)
