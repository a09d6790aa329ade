import numpy as np
import pytest

from models.verdict import COMBINATION, LAW, SINGLE_SCALE, BackTest, MethodTest, interval, rank, rule, sentence, speaker

AT = "10 M parameters and 200 M tokens"


def draws(**means: float) -> dict[str, np.ndarray]:
    """Draws with a large part that all share, and a small one of their own."""
    random = np.random.default_rng(0)
    shared = 0.5 * random.standard_normal(2000)
    return {name: mean + shared + 0.01 * random.standard_normal(2000) for name, mean in means.items()}


def test_the_interval_is_central():
    found = interval(np.arange(1001.0), 0.9)
    assert (found.low, found.value, found.high) == pytest.approx((50, 500, 950))


def test_what_all_share_does_not_hide_a_winner():
    ranking = rank(draws(raw=1.5, clean=1.4, quality=1.45), 0.9)
    assert list(ranking.predicted_loss) == ["clean", "quality", "raw"]
    assert ranking.predicted_loss["clean"].high > ranking.predicted_loss["raw"].low  # intervals overlap, and yet
    assert ranking.is_sure and ranking.probability_better["clean"]["raw"] > 0.99
    assert ranking.expected_regret < 0.001
    words = sentence(ranking, AT, "bits per byte", back_tested=True, noise_floor=0.01)
    assert words.startswith(f"At {AT}, clean wins: it is the best of 3 mixtures with probability above 0.99 (predicted loss 1.")


def test_alike_mixtures_cannot_be_told_apart():
    ranking = rank(draws(raw=1.5, clean=1.4, quality=1.401), 0.9)
    assert not ranking.is_sure
    assert set(ranking.contenders) == {"clean", "quality"}
    assert 0 < ranking.expected_regret < 0.01
    words = sentence(ranking, AT, "bits per byte", back_tested=True, noise_floor=0.01)
    assert words.startswith("Cannot tell") and "raw" not in words
    assert "less than one run's noise between seeds (0.010)" in words
    assert "noise" not in sentence(ranking, AT, "bits per byte", back_tested=True, noise_floor=1e-9)


def test_equal_draws_share_the_probability():
    same = np.linspace(1, 2, 50)
    ranking = rank({"a": same, "b": same, "c": same + 1}, 0.9)
    assert ranking.probability_best == {"a": 0.5, "b": 0.5, "c": 0.0}
    assert ranking.probability_better["a"]["b"] == 0.5
    assert ranking.expected_regret == 0


def test_probabilities_are_complete():
    ranking = rank(draws(a=1.0, b=1.005, c=1.01, d=1.2), 0.9)
    assert sum(ranking.probability_best.values()) == pytest.approx(1)
    for a, row in ranking.probability_better.items():
        for b, probability in row.items():
            assert probability + ranking.probability_better[b][a] == pytest.approx(1)


def test_no_winner_without_a_back_test():
    words = sentence(rank(draws(raw=1.5, clean=1.4), 0.9), AT, "bits per byte", back_tested=False, noise_floor=None)
    assert words.startswith("Cannot tell: clean looks best")
    assert "0.9 or more and a back-test" in rule(0.9)


def test_one_mixture_has_nothing_to_be_compared_with():
    ranking = rank(draws(raw=1.5), 0.9)
    assert not ranking.is_sure
    assert "nothing to compare it with" in sentence(ranking, AT, "bits per byte", back_tested=True, noise_floor=None)


def test_the_order_of_mixtures_does_not_matter():
    here = draws(raw=1.5, clean=1.4, quality=1.401)
    assert rank(here, 0.9) == rank(dict(reversed(here.items())), 0.9)


def scored(*scores: dict[str, float | None]) -> list[BackTest]:
    how = {
        "rows": (),
        "decision_accuracy": 1.0,
        "spearman": 1.0,
        "regret": 0.0,
        "coverage": 1.0,
        "difference_coverage": 1.0,
        "mean_absolute_error": 0.0,
    }
    return [
        BackTest(left_out=f"size {place}", methods={method: MethodTest(**how, log_score=score) for method, score in by_method.items()})
        for place, by_method in enumerate(scores)
    ]


ALL = (LAW, SINGLE_SCALE, COMBINATION)


def test_the_combination_speaks_unless_one_is_clearly_better():
    close = scored({LAW: 5.0, SINGLE_SCALE: 1.0, COMBINATION: 4.3}, {LAW: 6.0, SINGLE_SCALE: 5.0, COMBINATION: 5.6})
    method, reason = speaker(close, ALL)
    assert method == COMBINATION and "neither alone" in reason and "combination 9.9, law 11.0, single-scale 6.0" in reason
    clear = scored({LAW: 1.0, SINGLE_SCALE: 5.0, COMBINATION: 3.0}, {LAW: 2.0, SINGLE_SCALE: 6.0, COMBINATION: 4.9})
    method, reason = speaker(clear, ALL)
    assert method == SINGLE_SCALE and reason.startswith("The single-scale speaks") and "size 0 and size 1" in reason


def test_without_evidence_there_is_a_default():
    assert speaker([], ALL)[0] == COMBINATION
    assert speaker(scored({LAW: None, SINGLE_SCALE: None, COMBINATION: None}), ALL) == speaker([], ALL)
    assert speaker([], [LAW])[0] == LAW
