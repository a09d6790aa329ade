"""What a swarm proposes: the best mixture at the target under a cap on epochs, and the runs to train next (`assay mix propose` on its tables)."""

import json
import tempfile
from pathlib import Path

from models.frozen import StudyError, nearest
from tasks import layout
from tasks.atomic import replace_file
from tasks.mix import MixRequest
from tasks.mix_propose import MixProposal, ProposeRequest, propose_mixture
from tasks.stage import main
from tasks.study import Study


def propose(study: Study, name: str) -> MixProposal:
    """Writes `results/proposals/<name>.json`.

    Raises:
        StudyError: when the swarm's tables can't be fitted, or no mixture is within the caps.
    """
    if name not in study.swarms:
        raise StudyError(f"There is no swarm '{name}'{nearest(name, study.swarms)}; there are {', '.join(study.swarms) or 'none'}.")
    tables = layout.SWARMS / name
    with tempfile.TemporaryDirectory() as folder:
        target = "mean"
        if isinstance(study.target.domain_weights, dict):
            target = str(Path(folder) / "target.json")
            Path(target).write_text(json.dumps(study.target.domain_weights))
        request = MixRequest(
            str(tables / "mixtures.csv"), str(tables / "losses.csv"), layout.INDEX, target, seed=study.seed, confidence=study.target.confidence
        )
        asked = ProposeRequest(str(tables / "available.csv"), study.target.tokens, study.swarms[name].target_max_epochs)
        proposal = propose_mixture(request, asked)
    with replace_file(layout.PROPOSALS / f"{name}.json") as path:
        path.write_text(proposal.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return proposal


if __name__ == "__main__":
    main(propose)
