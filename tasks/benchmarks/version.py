"""One hash that travels with every number: only numbers of one version are compared, plotted or fitted together."""

import hashlib
import json
from typing import Any


def version_of(definition: Any, metric: str, harness: str) -> str:
    """Of the definition (with its items, JSON types), the metric's name and the harness with its version."""
    text = json.dumps([definition, metric, harness], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
