"""Services that live for as long as somebody uses them."""

import os
import signal
import subprocess
import sys
import time

from filelock import FileLock

from flows import services
from flows.services import Service, find, kept_up
from tests.flows.program import PROJECT
from tests.flows.small_study import SmallStudy

SLEEP = Service(name="sleep", title="Sleep", command=("sleep", "300"))
HOLD = """
from filelock import FileLock
from flows.services import SERVICES, kept_up
from tests.flows.test_services import SLEEP
with (alone := FileLock("alone")):
    held = kept_up(SLEEP, alone)
    held.__enter__()
print("holds", flush=True)
input()
held.__exit__(None, None, None)
"""


def test_a_passing_service_ends_with_the_last_that_holds_it(study: SmallStudy):
    holders = [subprocess.Popen([sys.executable, "-c", HOLD], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]
    for holder in holders:
        assert holder.stdout and holder.stdout.readline() == b"holds\n"
    first, second, third = holders
    pid = pid_of_service()
    first.communicate(b"\n")
    assert first.returncode == 0 and pid_of_service() == pid
    second.kill()
    second.communicate()
    os.kill(pid, signal.SIGKILL)  # whoever is left starts it again
    wait_for(lambda: (running := find("sleep")) is not None and running.pid != pid)
    third.kill()
    third.communicate()
    wait_for(lambda: find("sleep") is None)


def test_one_that_comes_alone_ends_it_in_peace(study: SmallStudy):
    with (alone := FileLock("alone")):
        held = kept_up(SLEEP, alone)
        held.__enter__()
    assert find("sleep")
    held.__exit__(None, None, None)
    assert find("sleep") is None and not services._PASSING


def pid_of_service() -> int:
    running = find("sleep")
    assert running
    return running.pid


def wait_for(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT)}
