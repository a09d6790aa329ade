from tasks.steps.manual import PAGE, manual


def test_the_page_of_steps_is_what_the_steps_say():
    assert PAGE.read_text(encoding="utf-8") == manual(), "docs/steps.md is out of date: `python -m tasks.steps.manual` writes it anew."
