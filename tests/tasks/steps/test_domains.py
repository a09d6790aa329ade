import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from models.frozen import StudyError
from tasks.steps.domain_column import DomainColumn
from tasks.steps.domain_urls import DomainUrls
from tasks.study import Study
from tests.tasks.steps.some_documents import apply, documents


def with_urls(*urls: str | None) -> pa.Table:
    table = documents([f"text {i}" for i in range(len(urls))], domain="web")
    return table.set_column(table.schema.get_field_index("url"), table.schema.field("url"), pa.array(urls, pa.string()))


def urls_of(**settings) -> DomainUrls:
    return DomainUrls.model_validate({"step": "domain-urls"} | settings)


def map_file(path: Path, text: str) -> dict[str, str]:
    path.write_text(text)
    return {"path": str(path), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def domains(step: DomainUrls | DomainColumn, table: pa.Table) -> list[str]:
    return apply(step, table).kept["domain"].to_pylist()


def test_the_longest_end_of_a_host_counts(tmp_path):
    file = map_file(tmp_path / "map.tsv", "# sites\nExample.org\tencyclopedia\nblog.example.org diary # theirs\n.gov.uk, legal\n")
    table = with_urls("https://www.example.org/x", "http://blog.example.org", "https://notexample.org", "https://a.b.gov.uk/", None, "no url")
    assert domains(urls_of(map_files=[file]), table) == ["encyclopedia", "diary", "web", "legal", "web", "web"]
    assert domains(urls_of(map_files=[file], hosts={"uk": "british", "example.org": "mine"}, otherwise="rest"), table) == [
        *("mine", "diary", "rest", "legal", "rest", "rest")
    ]


def test_the_bytes_of_a_map_count(tmp_path):
    file = map_file(tmp_path / "map.tsv", "example.org encyclopedia\n")
    step = urls_of(map_files=[file])
    assert step.reads() == [tmp_path / "map.tsv"]
    assert domains(step, with_urls("https://example.org")) == ["encyclopedia"]
    (tmp_path / "map.tsv").write_text("example.org forum\n# other bytes")
    with pytest.raises(StudyError, match=r"domain-urls.map_files: .*map.tsv' is not pinned"):
        apply(step, with_urls("https://example.org"))


@pytest.mark.parametrize("line", ["example.org", "example.org Legal", "example.org a b"])
def test_a_line_that_is_none_of_a_map_is_named(tmp_path, line: str):
    file = map_file(tmp_path / "map.tsv", f"a.org web\n{line}\n")
    with pytest.raises(StudyError, match=f"line 2 of .*map.tsv, '{line}', is not a host and the name of a domain"):
        apply(urls_of(map_files=[file]), with_urls("https://a.org"))
    with pytest.raises(ValidationError, match="no map"):
        urls_of()


def test_values_of_a_column_become_domains():
    table = documents(["a", "b", "c"], domain="web", cluster=pa.array(["c0-river", "c1-law", None]))
    step = DomainColumn(step="domain-column", column="cluster", domains={"c0-river": "rivers", "c2": "other"})
    assert domains(step, table) == ["rivers", "web", "web"]
    assert domains(step.model_copy(update={"otherwise": "rest"}), table) == ["rivers", "rest", "rest"]
    numbers = documents(["a", "b"], cluster_size=pa.array([1, 30]))
    assert domains(DomainColumn(step="domain-column", column="cluster_size", domains={"30": "often"}), numbers) == ["d", "often"]
    with pytest.raises(StudyError, match="there is no column 'clutser' \\(did you mean 'cluster'"):
        apply(step.model_copy(update={"column": "clutser"}), table)


def test_mixtures_may_weigh_domains_that_a_step_finds(default_study: Study):
    values = default_study.model_dump(mode="json", by_alias=True)
    values["recipes"]["clean"]["steps"].append({"step": "domain-column", "column": "lang", "domains": {"en": "english"}, "otherwise": "other"})
    values["mixtures"] = {"mine": {"recipe": "clean", "weights": {"english": 0.5, "other": 0.5}}}
    values["recipes"].pop("quality")
    assert Study.model_validate(values).mixtures["mine"].weights == {"english": 0.5, "other": 0.5}
