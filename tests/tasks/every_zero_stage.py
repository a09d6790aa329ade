"""A worker that trains one run in every ZeRO stage, undisturbed and interrupted, each in a folder of its own. Started by tasks/ranks.py.

Writes to `<ranks>-zero<stage>` and `<ranks>-zero<stage>-interrupted`, which are run folders like those of tasks/pretrain_worker.py.
"""

import os
import shutil
import sys
from pathlib import Path

import torch.distributed

from tasks import training_engine
from tasks.atomic import read_json
from tasks.heartbeat import Heartbeat
from tasks.pretrain_worker import Training
from tasks.run_directory import Launch, RunDirectory
from tasks.tokenize_corpus import load_tokens

STAGES = (0, 1, 2, 3)


class Interrupted(Exception):
    pass


class InterruptedTraining(Training):
    """Ends in the middle, after a checkpoint and some steps that are lost."""

    def train_step(self) -> tuple[float, float, bool]:
        if self.step == self.plan.steps // 2:
            self.save()
        if self.step == self.plan.steps // 2 + 3:
            raise Interrupted
        return super().train_step()


def main() -> None:
    launch = Launch.model_validate(read_json(next(argument for argument in sys.argv if argument.endswith(".json"))))
    training_engine.start_ranks()
    corpus = load_tokens(Path(launch.tokens).resolve())
    spec = RunDirectory(launch.run_keys[0]).spec()
    heartbeat = Heartbeat(Path("heartbeats"), torch.distributed.get_rank())
    start, first = Path.cwd(), torch.distributed.get_rank() == 0
    for stage in STAGES:
        order = launch.model_copy(update={"hardware": launch.hardware.model_copy(update={"zero_stage": stage})})
        for suffix in ("", "-interrupted"):
            folder = start / f"{torch.distributed.get_world_size()}-zero{stage}{suffix}"
            if first:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            torch.distributed.barrier()
            os.chdir(folder)
            run = RunDirectory(spec.key)
            if first:
                run.write_spec(spec)
            torch.distributed.barrier()
            stream = spec.stream(corpus.tokens_by_domain)
            if suffix:
                try:
                    InterruptedTraining(run, order, stream, heartbeat).train()
                except Interrupted:
                    torch.distributed.barrier()
            Training(run, order, stream, heartbeat).train()
    torch.distributed.barrier()
    os._exit(0)  # on a busy machine gloo's threads may abort a process that ends in the ordinary way, after all is done


if __name__ == "__main__":
    main()
