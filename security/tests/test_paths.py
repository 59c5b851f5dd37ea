from __future__ import annotations

from pathlib import Path

import pytest

from security.exceptions import PathNotAllowed
from security.paths import is_sensitive, resolve_inside


def test_relative_path_resolves_inside(tmp_path: Path) -> None:
    assert resolve_inside(tmp_path, "a/b.txt") == tmp_path.resolve() / "a/b.txt"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "", "a\0b"])
def test_escapes_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(PathNotAllowed):
        resolve_inside(tmp_path, path)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "door").symlink_to(tmp_path)
    with pytest.raises(PathNotAllowed):
        resolve_inside(root, "door/secret.txt")


def test_a_sibling_with_the_same_prefix_is_outside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(PathNotAllowed):
        resolve_inside(tmp_path / "root", str(tmp_path / "root-two" / "file"))


@pytest.mark.parametrize("name", [".env", ".env.local", "config/.ENV", "keys/id_rsa", "tls/server.key", ".ssh/config"])
def test_sensitive_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PathNotAllowed):
        resolve_inside(tmp_path, name)


def test_a_harmless_link_to_a_sensitive_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("x")
    (tmp_path / "notes.txt").symlink_to(tmp_path / ".env")
    with pytest.raises(PathNotAllowed):
        resolve_inside(tmp_path, "notes.txt")


@pytest.mark.parametrize("name", [".env.example", "environment.py", "keyboard.py", "id_rsa.pub"])
def test_names_that_only_resemble_secrets_are_allowed(name: str) -> None:
    assert not is_sensitive(name)
