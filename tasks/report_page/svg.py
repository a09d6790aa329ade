"""Matplotlib figures as inline SVG: text stays text, colours follow the page's light or dark scheme, the bytes depend on the figure alone."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import quoteattr

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.figure import Figure

# Role -> (light, dark). Matplotlib draws with the light colours, all different; in the page each becomes a CSS variable.
INK, MUTED, RULE, FILL, PAPER = "#1b1b1a", "#6a6a66", "#dedcd7", "#c9c6bf", "#fffffe"
_SCHEME = {"ink": (INK, "#e9e7e2"), "muted": (MUTED, "#a09d96"), "rule": (RULE, "#3a3936"), "fill": (FILL, "#55534e"), "paper": (PAPER, "#171716")}
# After Okabe and Ito (jfly.uni-koeln.de/color), darkened where white paper asks for it, lightened on dark paper. With each a marker.
_SERIES = [
    ("#0072b2", "#5aaee8"),
    ("#d55e00", "#ff8c4a"),
    ("#009e73", "#35c79c"),
    ("#b8578f", "#e59ac6"),
    ("#b87a00", "#efb540"),
    ("#3b9bd6", "#9ad4f7"),
    ("#7a6a53", "#c9b79c"),
    ("#5b5bd6", "#a6a6ff"),
]
MARKERS = "osD^vPX*"
_VARIABLES = {light: f"var(--{name})" for name, (light, _) in _SCHEME.items()} | {light: f"var(--series-{i})" for i, (light, _) in enumerate(_SERIES)}

STYLE = {
    "svg.fonttype": "none",
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.titlesize": 11.5,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "patch.linewidth": 0,
    "axes.unicode_minus": True,
}


def css_variables() -> tuple[str, str]:
    """The declarations of all colours: for light paper, for dark paper."""
    names = [*_SCHEME.items(), *((f"series-{i}", pair) for i, pair in enumerate(_SERIES))]
    return "".join(f"--{name}:{light};" for name, (light, _) in names), "".join(f"--{name}:{dark};" for name, (_, dark) in names)


class Series:
    """Colour and marker of each mixture, the same in every figure and table of the page."""

    def __init__(self, names: Sequence[str]):
        self.number = {name: i for i, name in enumerate(names)}

    def color(self, name: str) -> str:
        return _SERIES[self.number[name] % len(_SERIES)][0]

    def css_color(self, name: str) -> str:
        return f"var(--series-{self.number[name] % len(_SERIES)})"

    def marker(self, name: str) -> str:
        rounds, number = divmod(self.number[name], len(MARKERS))
        return MARKERS[(number + rounds) % len(MARKERS)]


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """The page's style; `name` salts the identifiers, so that those of several figures differ in one page."""
    parameters: Any = STYLE | {"svg.hashsalt": name}  # typed by matplotlib as a union of 300 literals
    with mpl.rc_context(parameters):
        yield


def hint(artist: Artist, text: str) -> None:
    """A tooltip for one artist, shown by the browser without any script."""
    artist.set_gid("hint:" + text.replace('"', "”"))


def to_svg(figure: Figure, description: str) -> Markup:
    """Inline SVG, one unit a CSS pixel; `description` is read aloud in its place."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="hint:([^"]*)"([^>]*)>', r"<g\2><title>\1</title>", svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # figure_1, axes_1, ...: the same in all figures
    svg = re.sub(r"#[0-9a-f]{6}", lambda match: _VARIABLES.get(match[0], match[0]), svg)
    svg = re.sub(r" font-family: [^;\"]*;| transform=\"rotate\(-0 [^\"]*\"", "", svg)  # the page's font
    svg = re.sub(r">\s+<", "><", svg)
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2]
    head = f'<svg role="img" aria-label={quoteattr(description)} width="{float(width):.0f}" viewBox="0 0 {width} {height}">'
    return Markup(re.sub(r"^<svg[^>]*>", lambda _: head, svg))  # matplotlib escapes what it draws
