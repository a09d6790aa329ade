"""Runs a command and sees to it that nothing of it outlives it.

    python leash.py [--lifeline] COMMAND ...

All processes of the command end when the command ends, when this process gets SIGTERM, and, with `--lifeline`, when standard input is closed: so even
when whoever started it was killed. Processes that went into a session or a process group of their own, or lost their parent, are found too
(on Linux: as their subreaper, prctl(2)). First SIGTERM, then, after `GRACE_SECONDS`, SIGKILL. The exit code is the command's, or 128 + signal.

A leash is two processes, each of which sees to the end of everything when the other one is killed.

Run by its path, as a program of its own; imports nothing of this project.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

import psutil

GRACE_SECONDS = 10.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Ended(BaseException):
    """SIGTERM: the command shall end."""


def main(arguments: list[str]) -> int:
    has_lifeline = arguments[0] == "--lifeline"
    control_process(PR_SET_CHILD_SUBREAPER, 1)
    outer = os.getpid()
    if inner := os.fork():
        return watch(inner, has_lifeline)
    control_process(PR_SET_CHILD_SUBREAPER, 1)
    control_process(PR_SET_PDEATHSIG, signal.SIGTERM)
    return run(arguments[has_lifeline:]) if os.getppid() == outer else 1  # else it died before we asked to be told


def watch(inner: int, has_lifeline: bool) -> int:
    """The exit code of the inner process, to which SIGTERM is passed on. When this returns, no descendant is left."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(inner, signal.SIGTERM))
    if has_lifeline:
        threading.Thread(target=end_with_standard_input, daemon=True).start()
    code = wait_for(inner)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_descendants()
    return code if code >= 0 else 128 - code


def run(arguments: list[str]) -> int:
    """The exit code of the command. When this returns, no descendant is left."""
    signal.signal(signal.SIGTERM, end)
    try:
        command = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, start_new_session=True)
        code = wait_for(command.pid)
    except Ended:
        code = -signal.SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_descendants()
    return code if code >= 0 else 128 - code


def end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Ended


def control_process(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_with_standard_input() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def wait_for(pid: int) -> int:
    """The exit code of `pid`; on the way, orphans that were adopted and ended are reaped."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def end_descendants() -> None:
    patience = GRACE_SECONDS
    while descendants := psutil.Process().children(recursive=True):
        for process in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate() if patience else process.kill()
        psutil.wait_procs(descendants, timeout=patience or 1.0)
        patience = 0.0  # whatever is left, or was born meanwhile


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
