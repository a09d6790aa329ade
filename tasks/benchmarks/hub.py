"""Whether the Hugging Face hub can be asked for the data of lm-eval's tasks."""

import os

PATIENCE_SECONDS = 5.0


def hub_answers() -> bool:
    """Asked once: the hub's own client tries again for half a minute, and does so for each data set."""
    import httpx

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        httpx.head(endpoint, timeout=PATIENCE_SECONDS)
    except httpx.HTTPError as error:
        print(f"The hub ({endpoint}) does not answer ({type(error).__name__}): the data of lm-eval's tasks are read from the Hugging Face cache.")
        return False
    return True
