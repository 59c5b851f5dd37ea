"""What the documentation names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands import ROOT

NAMED_TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
NAMED_FILE = re.compile(r"`((?:[\w.]+/)+[\w.]+\.\w+)`")
LINK = re.compile(r"\]\(([^)#]+)\)")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", ["docs/plan.md", "docs/faults.md"])
def test_every_test_that_is_named_is_there(page: str) -> None:
    named = NAMED_TEST.findall((ROOT / page).read_text())
    missing = [f"{path}::{name}" for path, name in named if not _has_test(ROOT / path, name)]
    assert named
    assert missing == []


@pytest.mark.parametrize("page", ["docs/plan.md", "docs/faults.md"])
def test_every_file_that_is_named_is_there(page: str) -> None:
    named = NAMED_FILE.findall((ROOT / page).read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_fault_has_a_test_or_says_why_not() -> None:
    rows = [line.split("|") for line in (ROOT / "docs/faults.md").read_text().splitlines() if line.startswith("|")]
    told = [cells for cells in rows if cells[1].strip() not in {"fault", "---"}]
    untold = [cells[1] for cells in told if not (NAMED_TEST.search(cells[-2]) or _is_reason(cells[-2]))]
    assert len(told) > 40
    assert untold == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def _is_reason(cell: str) -> bool:
    return cell.strip().startswith(("not tested", "does not apply", "runs are started on this host only", "the same"))


def _has_test(path: Path, name: str) -> bool:
    return path.exists() and re.search(rf"^(?:async )?def {name}\(", path.read_text(), re.MULTILINE) is not None
