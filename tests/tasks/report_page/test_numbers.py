import pytest

from tasks.report_page import numbers


@pytest.mark.parametrize(
    ("format", "value", "text"),
    [
        (numbers.significant, 1234.5, "1,230"),
        (numbers.significant, 0.012345, "0.0123"),
        (numbers.significant, -38.25, "-38.2"),
        (numbers.significant, 9.9999, "10.0"),
        (numbers.count, 0, "0"),
        (numbers.count, 9_999, "9,999"),
        (numbers.count, 10e6, "10 M"),
        (numbers.count, 61_349, "61.3 k"),
        (numbers.count, 999_950, "1.00 M"),
        (numbers.count, 7.24e9, "7.24 B"),
        (numbers.size, 512, "512 B"),
        (numbers.size, 61_349_000, "61.3 MB"),
        (numbers.power_of_ten, 1.2e16, "1.2×10¹⁶"),
        (numbers.power_of_ten, 0.0031, "3.1×10⁻³"),
        (numbers.percent, 0, "0%"),
        (numbers.percent, 0.0004, "<0.1%"),
        (numbers.percent, 0.032, "3.2%"),
        (numbers.percent, 0.9999, ">99.9%"),
        (numbers.percent, 1, "100%"),
        (numbers.probability, 1.0, ">0.99"),
        (numbers.probability, 0.0, "<0.01"),
        (numbers.difference, 0.0, "0"),
        (numbers.difference, 1.5e-6, "<0.0001"),
        (numbers.difference, 0.0193, "0.019"),
        (numbers.loss, 1.23456, "1.235"),
    ],
)
def test_formats(format, value, text):
    assert format(value) == text


@pytest.mark.parametrize("name", ["significant", "count", "size", "power_of_ten", "percent", "probability", "difference", "loss"])
def test_what_was_not_measured_is_a_dash_never_zero(name):
    assert getattr(numbers, name)(None) == "–"


def test_an_interval_has_the_digits_that_its_width_deserves():
    assert numbers.with_interval(1.53241, 1.48, 1.6) == "1.53 [1.48, 1.60]"
    assert numbers.with_interval(1.53241, 1.5319, 1.5330) == "1.5324 [1.5319, 1.5330]"
    assert numbers.with_interval(1.5, 1.5, 1.5) == "1.500 [1.500, 1.500]"
