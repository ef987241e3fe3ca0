"""Where things lie: the checkout, and the folder for what may be deleted at any time."""

import os
from pathlib import Path

import platformdirs

from shared.faults import Fault

ROOT = Path(__file__).resolve().parent.parent


def cache() -> Path:
    """rkforge's own folder for environments, results and jobs, links resolved; RKFORGE_CACHE_DIR moves it."""
    chosen = os.environ.get("RKFORGE_CACHE_DIR") or platformdirs.user_cache_dir("rkforge")
    return Path(chosen).resolve()


def refused(error: OSError) -> Fault:
    """The fault for a file that cannot be used; where it is the cache's, how that is moved."""
    path = Path(error.filename or "")
    if path.is_relative_to(cache()) or cache().is_relative_to(path):
        hint = "Name a folder that you can write to with RKFORGE_CACHE_DIR."
        return Fault.from_os_error(error, "file-access", path=f"the cache {cache()}", hint=hint)
    return Fault.from_os_error(error, "file-access")
