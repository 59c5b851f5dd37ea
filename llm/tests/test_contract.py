from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import llm
from llm import contract
from llm.contract import ClientFailed, Failure, UnknownProvider


def test_every_provider_has_a_client() -> None:
    names = {name: contract.client_class(name).__name__ for name in contract.PROVIDERS}
    assert names == {"claude_code": "ClaudeCodeClient", "noop": "NoopClient"}


def test_unknown_provider_names_those_there_are() -> None:
    with pytest.raises(UnknownProvider, match="claude_code, noop"):
        contract.client_class("telepathy")


def test_missing_library_is_client_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(name: str) -> Any:
        raise ModuleNotFoundError("No module", name="claude_agent_sdk")

    monkeypatch.setattr(importlib, "import_module", not_there)
    with pytest.raises(ClientFailed) as caught:
        contract.client_class("claude_code")
    assert caught.value.failure.code == "client_missing"
    assert "claude_agent_sdk" in caught.value.failure.message


@pytest.mark.parametrize(("code", "is_retryable"), [("overloaded", True), ("crashed", True), ("auth", False)])
def test_code_decides_whether_a_failure_may_pass(code: str, is_retryable: bool) -> None:
    assert Failure(code=code, message="").is_retryable is is_retryable


def test_noop_client_needs_no_sdk() -> None:
    code = "import sys, llm.noop; sys.exit('claude_agent_sdk' in sys.modules or 'django' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(llm.__file__).parent.parent, check=True)
