import math

import pytest

from models.frozen import StudyError
from tasks.sql_expressions import constant


def test_constants():
    assert constant("exp(6.255414)") == pytest.approx(math.exp(6.255414), rel=1e-14)
    assert constant("1e9") == 1e9 and constant("-0.35") == -0.35


@pytest.mark.parametrize("text", ["alpha", "'x'", "1, 2", "ln(0)", "NULL", "", "1; SELECT 2", "random()"])
def test_what_is_not_a_constant_is_refused(text):
    with pytest.raises(StudyError, match=r"not a|more than one|something else"):
        constant(text)
