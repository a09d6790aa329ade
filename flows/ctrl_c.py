"""A Ctrl-C that is not lost: Python drops a KeyboardInterrupt that falls into a destructor, so a press is remembered until it was heard."""

import signal
import threading
from types import FrameType

_pressed = threading.Event()


def listen() -> None:
    """From now on presses are remembered. For the main thread."""
    signal.signal(signal.SIGINT, _press)


def _press(_signal: int, _frame: FrameType | None) -> None:
    _pressed.set()
    raise KeyboardInterrupt


def check() -> None:
    """Raises a KeyboardInterrupt that was dropped."""
    if _pressed.is_set():
        raise KeyboardInterrupt


def heard() -> None:
    """It was not dropped: what ends now is not to be disturbed."""
    _pressed.clear()
