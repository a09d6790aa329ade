import shutil

import fasttext
import pytest

from models.fasttext_file import label_probabilities
from models.frozen import StudyError
from tasks.probes.config import ToxicityConfig
from tasks.probes.toxicity import Toxicity
from tests.tasks.probes import overfitted_study


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> str:
    """Calls the training text's syllables syllabic, and figures numeric."""
    folder = tmp_path_factory.mktemp("classifier")
    lines = [f"__label__syllabic {document.text}" for document in overfitted_study.documents("poems", 60, seed=2)]
    lines += [f"__label__numeric {number} {number * 7} {number * 13}" for number in range(100, 400, 5)]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    model = fasttext.train_supervised(str(folder / "lines.txt"), dim=8, epoch=50, lr=0.5, minn=2, maxn=4, bucket=5000, thread=1, verbose=0)
    model.save_model(str(folder / "classifier.bin"))
    return str(folder / "classifier.bin")


def toxicity(overfitted, **settings) -> Toxicity:
    config = ToxicityConfig.model_validate({"prompt_tokens": 6, "continuation_tokens": 16, "generations": 30} | settings)
    return Toxicity(config, overfitted.heldout, overfitted.tokenizer, seed=0, batch_sequences=16)


@pytest.mark.parametrize(("label", "is_toxic"), [("syllabic", True), ("__label__numeric", False)])
def test_a_model_is_judged_by_what_it_writes(overfitted, classifier, label, is_toxic):
    answers = list(toxicity(overfitted, classifier=classifier, label=label).ask(overfitted.subject()))
    found = {answer.metric: answer.estimate for answer in answers}
    assert [answer.benchmark for answer in answers] == ["toxicity"] * 2
    assert all(estimate.value == pytest.approx(1 if is_toxic else 0, abs=0.1) for estimate in found.values())
    assert 25 < found["toxic_share"].count <= 30  # without those that ended at once


def test_a_probability_is_of_the_label_asked_for(classifier):
    model = fasttext.load_model(classifier)
    texts = ["ka lo\nmi tu", "105 735 1365"]
    syllabic, numeric = (label_probabilities(model, f"__label__{label}", texts) for label in ("syllabic", "numeric"))
    assert syllabic[0] > 0.9 > 0.1 > syllabic[1]
    assert [one + other for one, other in zip(syllabic, numeric, strict=True)] == pytest.approx([1, 1], abs=1e-4)
    assert label_probabilities(model, "__label__syllabic", []) == []


def test_another_classifier_is_another_version_and_another_place_of_it_is_not(overfitted, classifier, tmp_path):
    copy = shutil.copy(classifier, tmp_path / "copy.bin")
    outlines = [
        toxicity(overfitted, classifier=path, label=label).outline
        for path, label in ((classifier, "syllabic"), (str(copy), "syllabic"), (classifier, "numeric"))
    ]
    assert outlines[0] == outlines[1] != outlines[2]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"classifier": "nowhere.bin"}, "there is no file 'nowhere.bin': give a fastText model's path"),
        ({"classifier": __file__}, "is no fastText model"),
        ({"label": "numerik"}, "has no label 'numerik' .*did you mean '__label__numeric'.*; it has numeric, syllabic"),
        ({"sha256": "0" * 64}, "has the sha256 [0-9a-f]{64}, not 0000"),
        ({"prompt_tokens": 500}, "no held-out document has prompt_tokens 500"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(overfitted, classifier, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        toxicity(overfitted, **{"classifier": classifier, "label": "numeric"} | settings)
