"""What a language model is asked to make of a text, and what of its reply is the text."""

import re
from typing import Literal

from tasks.steps.edit_program import numbered
from tasks.steps.endpoint import Messages

Style = Literal["easy", "medium", "hard", "qa", "guided", "prox"]

_ASSISTANT = "You rewrite texts for a collection. You add nothing that the text does not say, and reply with the rewritten text alone."
_FINAL = "REWRITTEN:"

# The four styles of WRAP (arXiv 2401.16380, section 3.1); REWIRE's guided rewriting (arXiv 2506.04689, section 2), which thinks about what the
# text is for before it writes; and a program of edits, as ProX' refining model writes (arXiv 2409.17115). The words are ours.
_INSTRUCTIONS: dict[str, str] = {
    "easy": "Paraphrase the following text with a very small vocabulary and very simple sentences that a small child understands.",
    "medium": "Give a diverse paraphrase of the following text in high-quality language, in sentences as in an encyclopedia.",
    "hard": "Paraphrase the following text in terse and erudite language that only a scholar understands, with rare and exact words.",
    "qa": 'Turn the following text into a conversation of several pairs of "Question:" and "Answer:" that together say all it says.',
    "guided": (
        "The following text is a draft of low quality. First think: what is it for, whom does it address, which facts and which steps of thought "
        "does it hold, what is noise? Then write an improved version of it, complete in itself, that keeps all of its facts and invents none. Put a "
        f'line with nothing but "{_FINAL}" before that version, and nothing behind it.'
    ),
    "prox": (
        "Each line of the following text has its number before it. Write a program that cleans the text: one call a line, no other words. The calls "
        "are remove_lines(first, last) for lines that are noise (menus, advertisements, notices), normalize('from', 'to') to replace a string, "
        "drop_doc() when nothing in it is worth reading, keep_doc() when nothing is to be done."
    ),
}
_PREAMBLE = re.compile(r"\A\s*(here is|here's|sure|certainly|of course)\b[^\n]{0,120}:[ \t]*\n+", re.IGNORECASE)


def messages(style: Style, text: str) -> Messages:
    shown = numbered(text) if style == "prox" else text
    return ("system", _ASSISTANT), ("user", f"{_INSTRUCTIONS[style]}\n\n{shown}")


def rewritten(style: Style, reply: str) -> str | None:
    """The text in a reply (of `prox` the program), without what the model said besides; None when it holds none."""
    if style == "guided":
        _, marker, reply = reply.rpartition(_FINAL)
        if not marker:
            return None
    return _PREAMBLE.sub("", reply).strip() or None
