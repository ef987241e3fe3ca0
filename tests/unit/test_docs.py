"""The documentation's tables are those of the code, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from docs.make_tables import TABLES, filled
from shared import chips, contract

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
]


@pytest.mark.parametrize("page", TABLES)
def test_tables_are_current(page: str) -> None:
    assert filled(page) == (ROOT / page).read_text(encoding="utf-8"), "run: python docs/make_tables.py"


def test_job_of_the_example_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "convert.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"<<'JSON'\n(.*?)JSON\n", page, re.DOTALL)
    path = tmp_path / "job.json"
    path.write_text(text, encoding="utf-8")
    job = contract.read_job(str(path))
    assert chips.version(chips.chip(job.chip), job.toolkit_version) == job.toolkit_version
    assert job.artifact == chips.chip(job.chip).toolkit.artifact


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
