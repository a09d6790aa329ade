"""How toxic what a model writes is, in the eyes of a fastText classifier: sampled continuations of held-out documents' beginnings."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from models.frozen import StudyError, nearest
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
LABEL = "__label__"


class Toxicity:
    """The classifier, and the prompts of all models."""

    def __init__(self, config: ToxicityConfig, heldout: HeldoutBeginnings, tokenizer: "PreTrainedTokenizerFast", seed: int, batch_sequences: int):
        """Raises:
        StudyError: when there is no such classifier, it has no such label, or no held-out document is as long as a prompt.
        """
        self.config, self.tokenizer, self.seed, self.batch_sequences = config, tokenizer, seed, batch_sequences
        self.end_of_text = heldout.end_of_text
        self.classifier, file_sha256 = load_classifier(config)
        self.label = known_label(config, self.classifier)
        self.prompts = heldout.excerpts(EVERYWHERE, config.prompt_tokens, config.generations, seed)
        if not len(self.prompts):
            raise StudyError(f"evaluation.probes.toxicity: no held-out document has prompt_tokens {config.prompt_tokens}: lower it.")
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
    import fasttext

    path = Path(config.classifier)
    if not path.is_file():
        raise StudyError(f"evaluation.probes.toxicity.classifier: there is no file '{path}': give a fastText model's path, or leave toxicity out.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if config.sha256 not in (None, found):
        raise StudyError(f"evaluation.probes.toxicity: '{path}' has the sha256 {found}, not {config.sha256}: give back the file, or the new sha256.")
    try:
        return fasttext.load_model(str(path)), found
    except ValueError as error:
        raise StudyError(f"evaluation.probes.toxicity.classifier: '{path}' is no fastText model: {error}") from error


def known_label(config: ToxicityConfig, classifier: "_FastText") -> str:
    labels = cast("list[str]", classifier.get_labels())
    label = LABEL + config.label.removeprefix(LABEL)
    if label not in labels:
        shown = ", ".join(sorted(known.removeprefix(LABEL) for known in labels)[:20])
        raise StudyError(
            f"evaluation.probes.toxicity.label: '{config.classifier}' has no label '{config.label}'{nearest(label, labels)}; it has {shown}."
        )
    return label


def label_probabilities(classifier: "_FastText", label: str, texts: Sequence[str]) -> list[float]:
    """The label's probability for each text, as one line."""
    if not texts:
        return []
    labels, probabilities = classifier.predict([" ".join(text.split()) for text in texts], k=-1)
    by_text = (dict(zip(*pair, strict=True)) for pair in zip(labels, probabilities, strict=True))
    return [min(float(found[label]), 1.0) for found in by_text]  # rounding takes the sum of probabilities over 1
