"""The guide's table of published numbers is what theory and capture give today."""

from pathlib import Path

import pytest
from published_numbers import Number, numbers

pytestmark = pytest.mark.compile_quickly

GUIDE = Path(__file__).parent.parent / "docs" / "diagnosis.md"


@pytest.fixture(scope="module")
def found() -> list[Number]:
    return numbers()


@pytest.mark.slow
def test_theory_and_capture_agree_as_far_as_each_number_allows(found: list[Number]) -> None:
    for number in found:
        assert abs(number.captured / number.theory - 1) < number.tolerance, number


@pytest.mark.slow
def test_the_guide_has_these_numbers(found: list[Number]) -> None:
    rows = {
        cells[0]: cells[1:]
        for line in GUIDE.read_text().splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 4
    }
    for number in found:
        published, theory, captured = rows[number.what]
        assert published == number.published
        assert float(theory) == pytest.approx(number.theory, rel=0.006)
        assert float(captured) == pytest.approx(number.captured, rel=0.02)
