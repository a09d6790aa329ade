"""Archives (wheels, sdists) from the Python package index: fetched by pip, checked against their hash, kept by their hash, never installed."""

import difflib
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from filelock import FileLock

from models.frozen import StudyError
from tasks import layout

ATTEMPTS = 3  # of pip, which itself retries what it could not begin, but not always what broke off in the midst
SECONDS_BEFORE_RETRY = 5.0
PIP_DOWNLOAD = "download --no-deps --require-hashes --no-input --retries 1 --disable-pip-version-check --quiet"
NETWORK_FAILURE = re.compile(
    r"Retrying \(|Max retries|ConnectionError|Connection (aborted|reset|broken)|timed out|IncompleteRead|incomplete|HTTP error 5\d\d", re.I
)


def fetch_archive(package: str, version: str, sha256: str) -> Path:
    """The archive with this hash; downloaded once, whoever asks and however many at the same time.

    pip is given the hash: of a release's files it takes the one that has it, and checks it before it runs anything (for an sdist, pip
    asks the package's own build for metadata).

    Raises:
        StudyError: unknown package or version, another hash, no network, no pip.
    """
    path = layout.ARCHIVES / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(layout.ARCHIVES / f"{sha256}.lock"):
        if not (path.exists() and _sha256(path) == sha256):
            with tempfile.TemporaryDirectory(prefix=".download-", dir=layout.ARCHIVES) as folder:
                _download(f"{package}=={version}", sha256, Path(folder)).replace(path)
    return path


def _download(requirement: str, sha256: str, folder: Path) -> Path:
    """Runs pip, again when the network failed it; the file that it downloaded."""
    wanted, files = folder / "requirements.txt", folder / "files"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", *PIP_DOWNLOAD.split(), "--dest", str(files), "--requirement", str(wanted)]
    pip = _run(command)
    for attempt in range(1, ATTEMPTS):
        if pip.returncode == 0 or not NETWORK_FAILURE.search(pip.stderr):
            break
        time.sleep(SECONDS_BEFORE_RETRY * attempt)
        pip = _run(command)
    if pip.returncode != 0:
        raise StudyError(_in_one_sentence(requirement, sha256, pip.stderr))
    (downloaded,) = files.iterdir()
    return downloaded


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def _in_one_sentence(requirement: str, sha256: str, stderr: str) -> str:
    """What pip's standard error says, for a person."""
    if "No space left on device" in stderr:
        return f"The disk is full: {requirement} could not be downloaded; free some space and run the same command again."
    if "No module named pip" in stderr:
        return (
            f"{sys.executable} has no pip, which fetches {requirement}:"
            " create the environment with `python -m venv`, or add pip to it (`uv pip install pip`)."
        )
    if found := re.search(r"Got\s+([0-9a-f]{64})", stderr):
        return f"{requirement} has sha256 {found[1]}, not {sha256} as the study says: if you trust the new file, put its hash into params.yaml."
    if NETWORK_FAILURE.search(stderr):
        return (
            f"{requirement} could not be fetched in {ATTEMPTS} attempts: the package index can't be reached;"
            " check the network, or pip's settings of the index (`pip config list`)."
        )
    if versions := re.search(r"\(from versions: ([^)]*)\)", stderr):
        package, _, version = requirement.partition("==")
        if versions[1] in ("", "none"):
            return f"The package index has no package '{package}' with files for this Python: check its name."
        near = difflib.get_close_matches(version, versions[1].split(", "), n=3, cutoff=0)
        return f"The package index has no version '{version}' of {package}: the nearest are {', '.join(near)}."
    last = [line for line in stderr.splitlines() if line.strip()][-1:] or ["no message"]
    return f"pip could not fetch {requirement}: {last[0].removeprefix('ERROR: ')}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
