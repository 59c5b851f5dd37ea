"""Named points: one thread is held there while a rival comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from orchestration.exceptions import DomainError
from orchestration.tests.races import meanwhile, result

_PATIENCE_S = 60.0


class Point:
    """A function at which the first thread that comes is held until it is let go.

    Within a transaction (`is_open`) the rival may have to wait for it; else the rival has its whole turn.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, is_open: bool) -> None:
        self._is_open = is_open
        self._is_reached, self._may_go = threading.Event(), threading.Event()
        self._function = getattr(owner, name)
        monkeypatch.setattr(owner, name, self._pass)

    def _pass(self, *given: Any, **options: Any) -> Any:
        if not self._is_reached.is_set():
            self._is_reached.set()
            assert self._may_go.wait(_PATIENCE_S)
        return self._function(*given, **options)

    def hold(self, call: Callable[[], object], rival: Callable[[], object]) -> tuple[Any, Any]:
        """Begin a call, have the rival come when it is held, and return what both answered: results or refusals."""
        outcomes: dict[str, Any] = {}

        def work() -> None:
            try:
                outcomes["held"] = call()
            except DomainError as refusal:
                outcomes["held"] = refusal
            finally:
                connection.close()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert self._is_reached.wait(_PATIENCE_S)
            coming = meanwhile(rival)
            if not self._is_open:
                result(coming)
        finally:
            self._may_go.set()
            thread.join(_PATIENCE_S)
        return outcomes["held"], result(coming)
