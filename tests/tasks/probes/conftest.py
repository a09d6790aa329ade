"""A run that knows by heart what it has read, once for all tests of probes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tasks import layout
from tasks.benchmarks.items import Document, heldout_documents
from tasks.probes.base import Subject
from tasks.probes.heldout_text import HeldoutBeginnings
from tasks.probes.training_text import TrainingText
from tasks.run_directory import RunResult
from tasks.study import Study, load_study
from tests.conftest import PROJECT
from tests.tasks.probes import overfitted_study
from tests.tasks.probes.overfitted_study import CONTEXT, RECIPE


class Overfitted(NamedTuple):
    folder: Path
    study: Study
    run: RunResult
    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerFast
    documents: list[Document]

    @property
    def training(self) -> TrainingText:
        return TrainingText(self.folder / layout.TOKENS / RECIPE, self.run, self.run.tokens_seen, CONTEXT)

    @property
    def heldout(self) -> HeldoutBeginnings:
        return HeldoutBeginnings(self.documents, self.tokenizer)

    def subject(self, model: LlamaForCausalLM | None = None, **facts) -> Subject:
        known = {"model": model or self.model, "context": CONTEXT, "bits_N": np.zeros(0), "items": {}, "outlines": {}, "training": self.training}
        return Subject(**known | facts)


@pytest.fixture(scope="session")
def overfitted(tmp_path_factory) -> Overfitted:
    study = load_study(PROJECT / "params.yaml")
    study = study.model_copy(update={"training": study.training.model_copy(update={"sequence_length": CONTEXT})})
    folder = tmp_path_factory.mktemp("overfitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return Overfitted(folder, study, *overfitted_study.write_study(study), heldout_documents())
