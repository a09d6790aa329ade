"""Starts the ranks of a launch on this machine: `python -m tasks.ranks RANKS MODULE ARGUMENT ...`.

Does what `deepspeed.launcher.launch` does on one machine, which imports all of PyTorch and DeepSpeed before the first rank may begin. Needs nothing
but Python.
"""

import os
import signal
import socket
import subprocess
import sys


def main(num_ranks: int, module: str, *arguments: str) -> int:
    """The exit code of the first rank that failed, after which the others are ended; 0 when all ended well."""
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    size = {"WORLD_SIZE": str(num_ranks), "LOCAL_SIZE": str(num_ranks)}
    ranks = {
        subprocess.Popen(
            [sys.executable, "-u", "-m", module, *arguments], env={**os.environ, **address, **size, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        ).pid
        for rank in range(num_ranks)
    }
    while ranks:
        pid, status = os.wait()
        ranks.discard(pid)
        if code := os.waitstatus_to_exitcode(status):
            for rank in ranks:
                os.kill(rank, signal.SIGTERM)
            return code if code > 0 else 128 - code
    return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
