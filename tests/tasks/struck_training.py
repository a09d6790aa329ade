"""Trains a launch of one rank in children of this process, which has imported all that is slow to import: undisturbed, or killed at random moments
and begun again. `python -m tests.tasks.struck_training LAUNCH_FILE KILLS SEED` says how many kills came after a new checkpoint.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from tasks.atomic import read_json
from tasks.pretrain_worker import train_all
from tasks.ranks import free_port
from tasks.run_directory import RunDirectory

DEADLINE_SECONDS = 60.0


def start(launch_file: Path) -> int:
    if pid := os.fork():
        return pid
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_SIZE": "1"}
    try:
        train_all(launch_file)
        os._exit(0)
    finally:
        os._exit(1)


def wait_for_checkpoints(run: RunDirectory, number: int, pid: int) -> None:
    """Until `number` more of them were written than there were."""
    path, seen = run.checkpoints / "list.json", 0
    written = before = path.stat().st_mtime_ns if path.exists() else 0
    deadline = time.monotonic() + DEADLINE_SECONDS
    while seen < number:
        assert time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG) == (0, 0), "it ended, or hangs, before it was killed"
        written = path.stat().st_mtime_ns if path.exists() else 0
        seen += written != before
        before = written
        time.sleep(0.001)


def main(launch_file: Path, kills: int, seed: int) -> None:
    run, rng, after_checkpoints = RunDirectory(read_json(launch_file)["run_keys"][0]), random.Random(seed), 0
    for _ in range(kills):
        pid = start(launch_file)
        if rng.random() < 0.8:
            wait_for_checkpoints(run, rng.randint(1, 3), pid)
            after_checkpoints += 1
        time.sleep(rng.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    _, status = os.waitpid(start(launch_file), 0)
    assert status == 0
    print(after_checkpoints)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
