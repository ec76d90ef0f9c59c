"""Numbers as people read them."""

import pytest

from shadowprice.audit.words import load, number, percent, plural, seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"),
        (0.05321, "0.0532"),
        (1, "1.00"),
        (17.74, "17.7"),
        (123.4, "123"),
        (999.6, "1,000"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_units_and_shares() -> None:
    assert (seconds(0.0532), seconds(0.1), seconds(0), seconds(17.74)) == ("53.2 ms", "0.100 s", "0.00 s", "17.7 s")
    assert (percent(0.02), percent(0.075), percent(0.434), percent(4)) == ("2 %", "7.5 %", "43 %", "400 %")
    assert (load(0.7), load(1.2), load(0.0123)) == ("0.70", "1.20", "0.0123")
    assert (plural(1, "worker"), plural(1200, "worker")) == ("1 worker", "1,200 workers")
