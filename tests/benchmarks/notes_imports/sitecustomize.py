"""Put on PYTHONPATH by `tests/benchmarks/bench_share.py`: every Python process notes, in the file ASSAY_NOTES, when it was not at its work.

One line per interval: process id, `start` | `import` | `record`, begin and end in seconds since boot. Imports are noted wherever they happen, but for
those of a thread beside the work; `record` is what a stage tells MLflow. All is noted as it ends, for a worker of a pool goes without saying goodbye.
"""

import builtins
import os
import time
from threading import current_thread, local, main_thread

SHORTEST_SECONDS = 0.005
RECORDING = {"tasks.tracking": ("record_evaluation", "record_verdict"), "tasks.tracking.record": ("__init__", "follow", "finish", "close")}

importing, import_module = local(), builtins.__import__
wrapped = set()


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def note(kind, began):
    if now() - began > SHORTEST_SECONDS:
        with open(os.environ["ASSAY_NOTES"], "a") as notes:  # noqa: PTH123 (pathlib is an import of its own)
            notes.write(f"{os.getpid()} {kind} {began} {now()}\n")


def noted_import(name, *its, **more):
    if getattr(importing, "inside", False) or current_thread() is not main_thread():
        return import_module(name, *its, **more)
    importing.inside, began = True, now()
    try:
        return import_module(name, *its, **more)
    finally:
        importing.inside = False
        note("import", began)
        if name in RECORDING and name not in wrapped:
            wrapped.add(name)
            wrap_recording()


def wrap_recording():
    """What `tasks.tracking` offers to stages, once it is imported."""
    import tasks.tracking as tracking

    for owner, names in ((tracking, RECORDING["tasks.tracking"]), (tracking.Record, RECORDING["tasks.tracking.record"])):
        for name in names:
            setattr(owner, name, noted_call(getattr(owner, name)))


def noted_call(function):
    def call(*its, **more):
        began = now()
        try:
            return function(*its, **more)
        finally:
            note("record", began)

    return call


if "ASSAY_NOTES" in os.environ:
    with open("/proc/self/stat") as stat:  # noqa: PTH123
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    note("start", ticks / os.sysconf("SC_CLK_TCK"))
    builtins.__import__ = noted_import
