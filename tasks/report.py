"""The report: one self-contained page with the verdict first, and the data of its plots."""

from pathlib import Path

from tasks import layout
from tasks.atomic import replace_directory
from tasks.report_page.evidence import gather
from tasks.report_page.page import render
from tasks.report_page.plot_tables import plot_tables
from tasks.stage import import_meanwhile, main
from tasks.study import Study


def report(study: Study) -> Path:
    """Writes `report/index.html` and `report/plots/*.csv`, and gives the page's path. The same inputs give the same bytes.

    Raises:
        StudyError: names what is missing when a stage before has not run. The last good report stays in place.
    """
    evidence = gather(study)
    tables = plot_tables(evidence)
    page = render(evidence, tables)
    with replace_directory(layout.REPORT) as directory:
        (directory / "index.html").write_text(page, encoding="utf-8")
        (directory / "plots").mkdir()
        for name, table in tables.items():
            table.write_csv(directory / "plots" / f"{name}.csv")
    return layout.REPORT / "index.html"


def report_and_record(study: Study) -> Path:
    """Also adds report, verdict and laws to MLflow: the end of an execution."""
    import_meanwhile("tasks.tracking")
    page = report(study)
    from tasks.tracking import record_verdict

    record_verdict(study)
    return page


if __name__ == "__main__":
    main(report_and_record)
