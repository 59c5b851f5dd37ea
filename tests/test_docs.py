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


def test_every_test_that_the_plan_names_is_there() -> None:
    named = NAMED_TEST.findall((ROOT / "docs/plan.md").read_text())
    missing = [f"{path}::{name}" for path, name in named if not _has_test(ROOT / path, name)]
    assert named
    assert missing == []


def test_every_file_that_the_plan_names_is_there() -> None:
    named = NAMED_FILE.findall((ROOT / "docs/plan.md").read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def _has_test(path: Path, name: str) -> bool:
    return path.exists() and re.search(rf"^(?:async )?def {name}\(", path.read_text(), re.MULTILINE) is not None
