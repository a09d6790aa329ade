"""Numbers as people read them: units, sensible digits, and a dash for what was not measured."""

import math

NOT_MEASURED = "–"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def significant(value: float | None, digits: int = 3) -> str:
    """1234.5 -> '1,230'; 0.012345 -> '0.0123'; None -> '–'."""
    if value is None:
        return NOT_MEASURED
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    return f"{rounded:,.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"


def count(value: float | None) -> str:
    """Tokens, parameters, documents: exact to four digits, then '61.3 k', '4.20 M', '7 B'."""
    if value is not None and abs(value) < 10_000 and float(value).is_integer():
        return f"{value:,.0f}"
    return _scaled(value, ("", "k", "M", "B", "T"))


def tokens(value: float | None, counted: bool) -> str:
    """'61.3 k' where they were counted, '≈ 61.3 k' where some were estimated."""
    return count(value) if counted or value is None else f"≈ {count(value)}"


def size(value: float | None) -> str:
    """Bytes in powers of 1000: '512 B', '61.3 MB'."""
    if value is not None and abs(value) < 1000:
        return f"{value:.0f} B"
    return _scaled(value, ("B", "kB", "MB", "GB", "TB", "PB"))


def _scaled(value: float | None, units: tuple[str, ...]) -> str:
    if value is None:
        return NOT_MEASURED
    rounded, step = float(f"{value:.2e}"), 0
    while abs(rounded) >= 1000 and step + 1 < len(units):
        rounded, step = rounded / 1000, step + 1
    digits = f"{rounded:.0f}" if float(value).is_integer() and rounded == round(rounded) and value == rounded * 1000**step else significant(rounded)
    return f"{digits} {units[step]}".rstrip()


def power_of_ten(value: float | None, digits: int = 2) -> str:
    """FLOPs and other wide ranges: '1.2×10¹⁶'."""
    if value is None:
        return NOT_MEASURED
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def compact(value: float | None) -> str:
    """Whatever a step measured: '12.3', '1,230', '4.3×10⁻⁶'."""
    return power_of_ten(value) if value and abs(value) < 1e-3 else significant(value)


def percent(share: float | None) -> str:
    """A share as percent: '41%', '3.2%', '<0.1%'; never rounded to 0 or to 100 when it is neither."""
    if share is None:
        return NOT_MEASURED
    value = 100 * share
    if 0 < value < 0.1:
        return "<0.1%"
    if 99.5 <= value < 100:
        return f"{value:.1f}%" if value < 99.95 else ">99.9%"
    return f"{value:.0f}%" if value >= 9.95 or value == 0 else f"{value:.1f}%"


def probability(value: float | None) -> str:
    """'0.93'; '>0.99' and '<0.01' instead of a certainty that draws can't give."""
    if value is None:
        return NOT_MEASURED
    return ">0.99" if value > 0.99 else "<0.01" if value < 0.01 else f"{value:.2f}"


def difference(value: float | None) -> str:
    """Of losses: two digits, '<0.0001' below what any study can measure, '0' only when they are equal."""
    return "<0.0001" if value is not None and 0 < abs(value) < 1e-4 else significant(value, 2)


def decimals_for(width: float) -> int:
    """Decimals that show two significant digits of an interval's width; at least 2, at most 5."""
    return 3 if not width > 0 else min(5, max(2, 1 - math.floor(math.log10(width))))


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """'1.53 [1.48, 1.60]', with the digits that the interval deserves."""
    if value is None:
        return NOT_MEASURED
    if low is None or high is None:
        return significant(value, 4)
    decimals = decimals_for(high - low)
    return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def loss(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.3f}"
