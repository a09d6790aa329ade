"""Text that hides nothing from its reader."""

import unicodedata


def legible(text: str) -> str:
    """Shows what could hide or reorder text: control characters as their pictures, invisible and bidirectional ones by code point.

    Newlines and tabs stay. Markup is not touched: the template escapes it.
    """
    return "".join(character if character in "\n\t" or not _hidden(character) else _visible(character) for character in text)


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return f"⟨U+{code:04X}⟩"
