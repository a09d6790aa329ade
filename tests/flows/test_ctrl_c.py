import signal

import pytest

from flows import ctrl_c


class Deaf:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_ctrl_c_that_falls_into_a_destructor_is_not_lost():
    before = signal.getsignal(signal.SIGINT)
    try:
        ctrl_c.listen()
        ctrl_c.check()
        Deaf()  # nothing is raised here: Python says "Exception ignored in"
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.check()
        ctrl_c.heard()
        ctrl_c.check()
    finally:
        signal.signal(signal.SIGINT, before)
