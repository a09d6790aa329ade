"""A system clock that is set is told of once, and a clock that is corrected gently is not."""

import re

from flows.clock_watch import ClockWatch, boot_time


def test_each_jump_is_told_once():
    booted = 1000.0
    watch = ClockWatch(lambda: booted)
    assert watch.jump() is None
    for by, words in ((3600.0, "forward by 3600 s"), (-90.0, "back by 90 s")):
        booted += by
        assert re.match(f"The system clock was set {words} while the study runs", watch.jump() or "")
        assert watch.jump() is None
    for _ in range(100):
        booted += 1.0
        assert watch.jump() is None


def test_as_long_as_nobody_sets_the_clock_the_machine_was_booted_at_one_time():
    assert abs(boot_time() - boot_time()) < 1.0
