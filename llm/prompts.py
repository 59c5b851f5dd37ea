"""Build what an agent is told: sections in a template, the most important kept when the budget is short.

Templates live in llm/templates/prompts and are chosen `<phase>__<type>` → `<phase>__default` → `default__<type>` →
`default__default`. They are rendered in Jinja's sandbox; a name that is missing is an error, not an empty string.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

# Without a tokenizer of the provider's: four bytes of English or code make about one token.
BYTES_PER_TOKEN = 4

_environment = SandboxedEnvironment(
    loader=FileSystemLoader(Path(__file__).parent / "templates" / "prompts"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,
)


@dataclass(frozen=True)
class Section:
    """A part of the prompt. Priority 0 is never cut; of the others the highest number goes first."""

    name: str
    text: str
    priority: int


@dataclass(frozen=True)
class Prompt:
    """The text, and the names of the sections that had no room in it."""

    text: str
    cut: tuple[str, ...]


class BudgetTooSmall(ValueError):
    """The sections that are never cut do not fit the budget."""


def tokens(text: str) -> int:
    """Estimate the tokens of a text, rounding up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def build(sections: Sequence[Section], *, phase: str, task_type: str, budget_tokens: int = 50_000) -> Prompt:
    """Render the sections that fit the budget. Raises BudgetTooSmall when the uncuttable ones alone do not."""
    kept = [section for section in sections if section.text.strip()]
    cut: list[str] = []
    while tokens(text := _render(kept, phase, task_type)) > budget_tokens:
        last = max(kept, key=lambda section: section.priority, default=None)
        if last is None or last.priority == 0:
            raise BudgetTooSmall(BudgetTooSmall.__doc__)
        kept.remove(last)
        cut.append(last.name)
    return Prompt(text=text, cut=tuple(cut))


def _render(sections: Sequence[Section], phase: str, task_type: str) -> str:
    names = [
        f"{first}__{second}.md.j2"
        for first, second in [(phase, task_type), (phase, "default"), ("default", task_type), ("default", "default")]
    ]
    by_name = {section.name: section.text.strip() for section in sections}
    return _environment.select_template(names).render(sections=by_name).strip() + "\n"
