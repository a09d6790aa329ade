import hashlib
import os
import random
from pathlib import Path

import pyarrow as pa
import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.atomic import replace_directory
from tasks.documents import DOCUMENT_SCHEMA, REMOVED_SCHEMA, read_shards, text_bytes, write_shards
from tasks.split import NUM_PERMUTATIONS, split
from tasks.steps.funnel import load_funnel
from tasks.study import Study
from tests.tasks.source_study import write_study
from tests.tasks.steps.some_documents import documents
from tests.tasks.steps.test_duplicates import edited, prose

SOURCES = {"tea": {"path": "tea", "domain": "tea"}, "wine": {"path": "wine", "domain": "wine"}}
CAP = 20_000


def put(source: str, texts: list[str], shard_bytes: int = 30_000, ids_of: str | None = None) -> None:
    put_table(source, documents(texts, domain=source, source=ids_of or source), shard_bytes)


def put_table(source: str, table: pa.Table, shard_bytes: int = 30_000) -> None:
    with replace_directory(layout.SOURCES / source) as directory:
        write_shards(directory, [table], DOCUMENT_SCHEMA, shard_bytes)


def tea(num: int = 100) -> list[str]:
    """Per text a copy in other case, a near-duplicate, and one that is a bit alike."""
    texts = []
    for i in range(num):
        words = prose(("tea", i))
        texts += [edited(words, 0), edited(words, 0).upper(), edited(words, 1), edited(words, 9)]
    random.Random(0).shuffle(texts)
    return texts


def wine(num: int = 300) -> list[str]:
    return [" ".join(prose(("wine", i), 60)) for i in range(num)]


def with_(study: Study, seed: int = 0, workers: int = 1, **heldout) -> Study:
    hardware = study.hardware.model_copy(update={"workers": workers})
    return study.model_copy(update={"seed": seed, "hardware": hardware, "heldout": study.heldout.model_copy(update=heldout)})


@pytest.fixture
def study(study_folder) -> Study:
    put("tea", tea())
    put("wine", wine())
    return with_(write_study(study_folder, local_sources=SOURCES), share=0.1, max_bytes_per_domain=CAP)


def rows(directory: Path) -> list[dict]:
    return pa.concat_tables(read_shards(directory)).to_pylist()


def ids(directory: Path) -> list[str]:
    return [row["id"] for row in rows(directory)]


def output() -> dict[str, str]:
    paths = [path for root in (layout.HELDOUT, layout.CORPORA / layout.POOL) for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path): hashlib.md5(path.read_bytes()).hexdigest() for path in paths}


def word_ngrams(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def test_every_document_goes_to_one_place_and_is_counted(study):
    record = split(study)
    held, kept, removed = rows(layout.HELDOUT), rows(layout.kept("pool")), rows(layout.removed("pool"))
    everything = rows(layout.SOURCES / "tea") + rows(layout.SOURCES / "wine")
    by_id = {row["id"]: row for row in everything}
    assert sorted(row["id"] for row in held + kept + removed) == sorted(by_id)
    assert all(row == by_id[row["id"]] for row in held + kept)
    kept_ids = {row["id"] for row in kept}
    assert [row["id"] for row in kept] == [row["id"] for row in everything if row["id"] in kept_ids]
    assert next(read_shards(layout.removed("pool"))).schema == REMOVED_SCHEMA
    assert record.heldout_documents == len(held)
    assert tuple(load_funnel("pool")) == record.funnel
    assert [(row.step, row.domain) for row in record.funnel] == [(s, d) for s in ("heldout", "heldout-duplicates") for d in ("tea", "wine")]
    for domain, held_row, duplicates_row in zip(("tea", "wine"), record.funnel[:2], record.funnel[2:], strict=True):
        of_domain = {name: [row for row in some if row["domain"] == domain] for name, some in (("in", everything), ("held", held), ("kept", kept))}
        sizes = {name: sum(len(row["text"].encode()) for row in some) for name, some in of_domain.items()}
        assert (held_row.documents_in, held_row.bytes_in) == (len(of_domain["in"]), sizes["in"])
        assert held_row.removed["heldout"].model_dump() == {"documents": len(of_domain["held"]), "bytes": sizes["held"]}
        assert (held_row.documents_out, held_row.bytes_out) == (duplicates_row.documents_in, duplicates_row.bytes_in)
        assert (duplicates_row.documents_out, duplicates_row.bytes_out) == (len(of_domain["kept"]), sizes["kept"])
        reasons = [row["reason"] for row in removed if row["domain"] == domain]
        assert {reason: amount.documents for reason, amount in duplicates_row.removed.items()} == {r: reasons.count(r) for r in set(reasons)}


def test_no_training_document_is_a_copy_or_near_a_held_out_one(study):
    split(study)
    held = [(row["text"], word_ngrams(row["text"])) for row in rows(layout.HELDOUT)]

    def nearest(text: str) -> float:
        mine = word_ngrams(text)
        return max(len(mine & theirs) / len(mine | theirs) for _, theirs in held)

    margin = 4 * (0.7 * 0.3 / NUM_PERMUTATIONS) ** 0.5
    assert max(nearest(row["text"]) for row in rows(layout.kept("pool"))) < 0.7 + margin
    removed = rows(layout.removed("pool"))
    assert {row["reason"] for row in removed} == {"heldout-duplicate", "heldout-near-duplicate"}
    for row in removed:
        assert (row["step"], row["threshold"]) == ("heldout-duplicates", 0.7)
        assert row["value"] == pytest.approx(nearest(row["text"]), abs=margin)
        assert (row["reason"] == "heldout-duplicate") == (row["value"] == 1.0 and row["text"].lower() in {text.lower() for text, _ in held})


def test_copies_are_held_out_once(study):
    split(study)
    held = rows(layout.HELDOUT)
    texts = [row["text"].lower() for row in held]
    assert len(texts) == len(set(texts))


def test_share_and_cap(study):
    split(with_(study, share=0.1, max_bytes_per_domain=CAP))
    by_domain = {domain: [row for row in rows(layout.HELDOUT) if row["domain"] == domain] for domain in ("tea", "wine")}
    assert len(by_domain["wine"]) == 30  # a tenth, far from the cap
    sizes = [len(row["text"].encode()) for row in by_domain["tea"]]
    assert CAP - 1000 < sum(sizes) <= CAP  # the cap, before a tenth of 300 different texts
    assert len(sizes) < 30


def test_more_held_out_documents_hold_the_fewer(study):
    split(with_(study, share=0.05))
    few = set(ids(layout.HELDOUT))
    split(with_(study, share=0.1))
    assert few < set(ids(layout.HELDOUT))


def test_a_document_longer_than_a_quarter_of_the_cap_is_not_held_out(study):
    put("wine", [*wine(), *(" ".join(prose(("long", i), 900)) for i in range(30))])
    split(with_(study, share=0.45, max_bytes_per_domain=CAP))
    assert max(len(row["text"]) for row in rows(layout.HELDOUT)) < 2000


def test_copies_across_domains_are_not_trained_on(study):
    put("wine", [*wine(), *(text + " " for text in tea())])
    split(study)
    held = {" ".join(row["text"].lower().split()) for row in rows(layout.HELDOUT)}
    assert not held & {" ".join(row["text"].lower().split()) for row in rows(layout.kept("pool"))}


def test_the_seed_decides_the_split_and_nothing_else_does(study):
    split(study)
    first, first_ids = output(), set(ids(layout.HELDOUT))
    split(study)
    assert output() == first
    put("tea", tea(), shard_bytes=5_000)
    put("wine", wine(), shard_bytes=1_000_000)
    split(study)
    assert output() == first
    split(with_(study, seed=1, share=0.1, max_bytes_per_domain=CAP))
    assert len(first_ids & set(ids(layout.HELDOUT))) < len(first_ids) / 2


def test_the_order_of_documents_does_not_change_where_they_go(study):
    split(study)
    held, removed = set(ids(layout.HELDOUT)), {row["id"]: row["reason"] for row in rows(layout.removed("pool"))}
    for source in SOURCES:
        table = pa.concat_tables(read_shards(layout.SOURCES / source))
        put_table(source, table.take(list(range(len(table)))[::-1]))
    split(study)
    assert set(ids(layout.HELDOUT)) == held
    assert {row["id"]: row["reason"] for row in rows(layout.removed("pool"))} == removed


@pytest.mark.slow
def test_several_processes_write_the_same_bytes(study):
    split(study)
    alone = output()
    for workers in (2, 3):
        split(with_(study, workers=workers, share=0.1, max_bytes_per_domain=CAP))
        assert output() == alone


def test_the_study_s_order_counts_and_other_folders_do_not(study, study_folder):
    put("old", ["a source that is no longer in the study"])
    split(study)
    kept = [row["source"] for row in rows(layout.kept("pool"))]
    assert set(kept) == {"tea", "wine"}
    assert kept == sorted(kept)
    split(with_(write_study(study_folder, local_sources=dict(reversed(SOURCES.items())))))
    kept = [row["source"] for row in rows(layout.kept("pool"))]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == "wine"


def test_an_empty_source_is_refused(study):
    put("wine", [])
    with pytest.raises(StudyError, match=r"^Source 'wine' has no documents in data/sources/wine: run `dvc repro`"):
        split(study)


def test_an_id_of_two_documents_is_refused(study):
    put("wine", wine(), ids_of="tea")
    with pytest.raises(StudyError, match=r"^300 ids are given to more than one document, 'tea#00000' in tea and wine"):
        split(study)


def test_a_domain_of_which_nothing_can_be_held_out_is_refused(study):
    put("wine", [" ".join(prose(i, 1000)) for i in range(3)] + [" \n"])
    with pytest.raises(StudyError, match=r"^No document of domain 'wine' can be held out: none of its 4 documents .* 5000 bytes.*\(20000\)"):
        split(study)


def test_a_domain_that_is_held_out_entirely_is_refused_and_the_last_good_output_stays(study):
    split(study)
    good = output()
    put("wine", ["one glass of red wine please"])
    with pytest.raises(StudyError, match=r"^Domain 'wine' has 1 documents before the step heldout and none after it"):
        split(study)
    assert output() == good
    put("wine", ["one glass of red wine please", "One glass of  red wine please"])
    with pytest.raises(StudyError, match=r"^Domain 'wine' has 1 documents before the step heldout-duplicates and none after it"):
        split(study)
    assert output() == good


def test_a_kill_between_the_two_outputs_is_repaired_by_the_next_run(study):
    split(with_(study, seed=2))
    undisturbed = output()
    split(with_(study, seed=1))
    replace = os.replace

    def kill(source, target):
        if Path(target) == layout.HELDOUT:
            raise KeyboardInterrupt
        replace(source, target)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", kill)
        split(with_(study, seed=2))
    assert output() != undisturbed
    split(with_(study, seed=2))
    assert output() == undisturbed


def test_hostile_texts_are_split_as_others_are(study):
    hostile = ["", " ", "\0", "e" + "\u0301" * 10_000, "\U0001f98a" * 3000, "x" * 400_000, "word " * 50_000, "\u0130\u212b\ufb01", "\ufeff"]
    put("wine", wine() + hostile)
    split(study)
    num_documents = sum(len(ids(directory)) for directory in (layout.HELDOUT, layout.kept("pool"), layout.removed("pool")))
    assert num_documents == 400 + 300 + len(hostile)


@pytest.mark.slow
def test_it_runs_as_a_stage(study, study_folder, run_stage):
    done = run_stage(study_folder, "split")
    assert (done.returncode, done.stderr) == (0, "")
    assert text_bytes(pa.concat_tables(read_shards(layout.HELDOUT))) > 0
