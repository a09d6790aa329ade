from tasks import layout
from tasks.atomic import write_json
from tasks.report_page.learned import learned


def test_each_number_of_a_record_has_its_way_in_words(study_folder):
    bins = [{"num_texts": 1200, "mean_score": 0.123, "reference_share": 0.1}]
    record = {"auc": 0.93, "auc_by_group": {"web": None}, "classes": {"wet": {"calibration": bins}}, "spent": {"requests": 2}}
    write_json(
        layout.CORPORA / "quality" / "steps.json",
        [{"step": "quality-classifier", "position": 0, "record": record}, {"step": "top-fraction", "position": 1, "record": None}],
    )
    assert [(row.what, row.value) for row in learned("quality")] == [
        ("auc", 0.93),
        ("auc by group, web", None),
        ("classes, wet, calibration, mean score 0.12 in 1,200 texts: share of reference", 0.1),
        ("spent, requests", 2),
    ]
    assert learned("raw") == []
