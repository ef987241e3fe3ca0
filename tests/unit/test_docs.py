"""The documentation's tables are those of the code, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from docs.make_tables import TABLES, filled

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
]


@pytest.mark.parametrize("page", TABLES)
def test_tables_are_current(page: str) -> None:
    assert filled(page) == (ROOT / page).read_text(encoding="utf-8"), "run: python docs/make_tables.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
