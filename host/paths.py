"""Where things lie: the checkout, and the folder for what may be deleted at any time."""

import os
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parent.parent


def cache() -> Path:
    """rkforge's own folder for environments, results and jobs, links resolved; RKFORGE_CACHE_DIR moves it."""
    chosen = os.environ.get("RKFORGE_CACHE_DIR") or platformdirs.user_cache_dir("rkforge")
    return Path(chosen).resolve()
