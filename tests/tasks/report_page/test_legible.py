from tasks.report_page.legible import legible


def test_what_hides_or_reorders_text_is_shown():
    assert legible("a\x00b\x1b[31m\r\n\tc") == "a␀b␛[31m␍\n\tc"
    assert legible("user\u202etxt.exe\u2066\u200b\ufeff\x9f") == "user⟨U+202E⟩txt.exe⟨U+2066⟩⟨U+200B⟩⟨U+FEFF⟩⟨U+009F⟩"
    assert legible("Größe, δοκιμή, 試験 👍") == "Größe, δοκιμή, 試験 👍"
