"""The platform's own benchmarks, of the study's held-out documents, in each language that these have."""

from collections.abc import Sequence
from pathlib import Path

from models.frozen import StudyError
from tasks import layout
from tasks.atomic import replace_directory
from tasks.benchmarks.config import OWN, EvaluationConfig
from tasks.benchmarks.items import NUM_CHOICES, ChoiceBenchmark, Document, by_language, make_items
from tasks.benchmarks.last_word import MIN_WORDS, last_word_items
from tasks.benchmarks.task_folder import TaskFolder

CHOICES = (
    ChoiceBenchmark(name="definition-choice", choose="text", setting="definition_domains"),
    ChoiceBenchmark(name="title-choice", choose="title", setting="title_domains"),
)
LAST_WORD = "last-word"


def write_benchmarks(evaluation: EvaluationConfig, seed: int, documents: Sequence[Document], end_of_text: str) -> list[Path]:
    """Writes them as lm-eval tasks to `data/items/own`; the same study, the same bytes. Those of which the held-out documents give no item are left
    out, and said so. None in a suite other than `tiny`.

    Raises:
        StudyError: when a benchmark's domains are there, but in no language enough of their documents are a title and a text.
    """
    home = layout.ITEMS / OWN
    with replace_directory(home) as partial:
        folder = TaskFolder(partial, home, end_of_text)
        if evaluation.suite != "tiny":
            return []
        choices = [path for benchmark in CHOICES for path in write_choices(folder, benchmark, evaluation, seed, documents)]
        return choices + write_last_words(folder, evaluation, seed, documents)


def write_choices(
    folder: TaskFolder, benchmark: ChoiceBenchmark, evaluation: EvaluationConfig, seed: int, documents: Sequence[Document]
) -> list[Path]:
    domains: Sequence[str] = getattr(evaluation, benchmark.setting)
    of_domains = [document for document in documents if document.domain in domains]
    if not of_domains:
        if domains:
            print(
                f"{benchmark.name} is left out: no held-out document is of domain {' or '.join(map(repr, domains))} (evaluation.{benchmark.setting})."
            )
        return []
    paths = []
    for language, in_language in by_language(of_domains).items():
        if items := make_items(benchmark, language, in_language, seed, evaluation.items_per_benchmark):
            paths.append(folder.write(benchmark.name + language, benchmark.name, items))
        else:
            print(f"{benchmark.name}{language} is left out: fewer than {NUM_CHOICES} of {len(in_language)} documents are a title and a text.")
    if not paths:
        raise StudyError(
            f"{benchmark.name} is empty: of {len(of_domains)} held-out documents of {list(domains)} in no language {NUM_CHOICES} are a title, a blank"
            f" line and a text; hold out more (heldout.share) or set evaluation.{benchmark.setting} to other domains, or to []."
        )
    return paths


def write_last_words(folder: TaskFolder, evaluation: EvaluationConfig, seed: int, documents: Sequence[Document]) -> list[Path]:
    """By domain and language: what is easy to end is another thing in each."""
    known = sorted({document.domain for document in documents})
    domains = known if evaluation.last_word_domains == "all" else evaluation.last_word_domains
    paths = []
    for domain in domains:
        of_domain = [document for document in documents if document.domain == domain]
        if not of_domain:
            print(f"{LAST_WORD}-{domain} is left out: no held-out document is of domain '{domain}' (evaluation.last_word_domains).")
        for language, in_language in by_language(of_domain).items():
            name = f"{LAST_WORD}-{domain}{language}"
            if items := last_word_items(name, in_language, seed, evaluation.items_per_benchmark):
                paths.append(folder.write(name, LAST_WORD, items))
            else:
                print(
                    f"{name} is left out: none of {len(in_language)} documents has a passage of {MIN_WORDS} words between spaces and a last one"
                    " (scripts without spaces have none)."
                )
    return paths
