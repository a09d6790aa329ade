"""Personal data in texts."""

import ipaddress
import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.steps.rewriting import RewriteStep, changed_where

if TYPE_CHECKING:
    import polars as pl

# By Rust's `regex`: one pass, whatever the text.
EMAIL = r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,63}"
# A number with its country (E.164: 8 to 15 digits), or ten digits as they are written in North America.
PHONE = r"\+[1-9](?:[ .()-]{0,2}\d){7,14}\b|\(\d{3}\) ?\d{3}[ .-]\d{4}\b|\b\d{3}[ .-]\d{3}[ .-]\d{4}\b"
IP = r"\b(?:\d{1,3}\.){3}\d{1,3}\b|(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){0,6}"


class MaskPii(RewriteStep):
    """Masks e-mail addresses, telephone numbers and public IP addresses, as Dolma does (arXiv 2402.00159, section 5.2) and, but for telephones,
    FineWeb (arXiv 2406.17557).

    What it looks for has a form; names and addresses have none. Private IP addresses (`192.168.0.1`) tell nobody's and stay; a version number of
    four parts is taken for an address. Where a mask is null, that kind stays. Originals stay beside the text: whoever publishes the corpus
    sets `keep_original: false`.
    """

    step: Literal["mask-pii"]
    email: str | None = Field(default="|||EMAIL_ADDRESS|||", description="what stands for it")
    phone: str | None = Field(default="|||PHONE_NUMBER|||", description="what stands for it")
    ip: str | None = Field(default="|||IP_ADDRESS|||", description="what stands for it")

    def rewrite(self, text: "pl.Series") -> "pl.Series":
        for pattern, mask in ((EMAIL, self.email), (PHONE, self.phone)):
            if mask is not None:
                text = text.str.replace_all(pattern, mask.replace("$", "$$"))
        mask = self.ip
        if mask is None:
            return text
        return changed_where(text, text.str.contains(IP).arg_true(), lambda one: re.sub(IP, lambda found: mask_public(found[0], mask), one))


def mask_public(address: str, mask: str) -> str:
    try:
        return mask if ipaddress.ip_address(address).is_global else address
    except ValueError:  # looks like one
        return address
