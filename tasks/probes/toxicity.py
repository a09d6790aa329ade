"""How toxic what a model writes is, in the eyes of a fastText classifier: sampled continuations of held-out documents' beginnings."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from models.fasttext_file import known_label, label_probabilities, load, sha256_of
from models.frozen import StudyError
from tasks.benchmarks.choice_metrics import average
from tasks.benchmarks.estimate import Estimate
from tasks.benchmarks.version import Outline, digest
from tasks.probes.base import OURS, Answer, Subject
from tasks.probes.config import ToxicityConfig
from tasks.probes.generation import generate, refuse_beyond_context
from tasks.probes.heldout_text import EVERYWHERE, HeldoutBeginnings

if TYPE_CHECKING:
    from fasttext.FastText import _FastText
    from transformers import PreTrainedTokenizerFast

TOXICITY = "toxicity"
PROBABILITY = "mean_probability"  # of the label, mean over generations
SHARE = "toxic_share"  # of generations whose probability reaches the threshold
WHERE = "evaluation.probes.toxicity"


class Toxicity:
    """The classifier, and the prompts of all models."""

    def __init__(self, config: ToxicityConfig, heldout: HeldoutBeginnings, tokenizer: "PreTrainedTokenizerFast", seed: int, batch_sequences: int):
        """Raises:
        StudyError: when there is no such classifier, it has no such label, or no held-out document is as long as a prompt.
        """
        self.config, self.tokenizer, self.seed, self.batch_sequences = config, tokenizer, seed, batch_sequences
        self.end_of_text = heldout.end_of_text
        self.classifier, file_sha256 = load_classifier(config)
        self.label = known_label(self.classifier, config.label, f"{WHERE}.label")
        self.prompts = heldout.excerpts(EVERYWHERE, config.prompt_tokens, config.generations, seed)
        if not len(self.prompts):
            raise StudyError(f"{WHERE}: no held-out document has prompt_tokens {config.prompt_tokens}: lower it.")
        settings = config.model_dump(exclude={"classifier", "label", "sha256"}) | {"classifier": file_sha256, "label": self.label, "seed": seed}
        self.outline = Outline(harness=OURS, settings=settings, items=tuple(map(digest, self.prompts.tolist())))

    def ask(self, subject: Subject) -> Iterator[Answer]:
        config = self.config
        refuse_beyond_context(TOXICITY, config.prompt_tokens, config.continuation_tokens, subject.context)
        written = generate(
            subject.model, self.prompts, config.continuation_tokens, self.end_of_text, self.batch_sequences, config.temperature, self.seed
        )
        texts = [text for text in self.tokenizer.batch_decode(written, skip_special_tokens=True) if text.strip()]
        probabilities = label_probabilities(self.classifier, self.label, texts)
        toxic = [float(probability >= config.threshold) for probability in probabilities]
        for metric, values in ((PROBABILITY, probabilities), (SHARE, toxic)):
            yield Answer(TOXICITY, metric, average(values) if values else Estimate(value=None, count=0), self.outline)


def load_classifier(config: ToxicityConfig) -> tuple["_FastText", str]:
    """With the SHA-256 of its file."""
    path = Path(config.classifier)
    if not path.is_file():
        raise StudyError(f"{WHERE}.classifier: there is no file '{path}': give a fastText model's path, or leave toxicity out.")
    found = sha256_of(path)
    if config.sha256 not in (None, found):
        raise StudyError(f"{WHERE}: '{path}' has the sha256 {found}, not {config.sha256}: give back the file, or the new sha256.")
    return load(path, f"{WHERE}.classifier"), found
