"""The one guard for every path that comes from outside: a person's request, an agent's tool call, a file name in a diff."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path

from security.exceptions import PathNotAllowed

# Names whose content is a secret by custom. Matched against every component, case folded.
SENSITIVE = (
    ".env",
    ".env.*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "id_rsa*",
    "id_ed25519*",
    "id_ecdsa*",
    "id_dsa*",
    ".netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".credentials.json",
    "credentials",
    ".ssh",
    ".aws",
    ".gnupg",
    ".kube",
)
# Examples of the above that are written to be read.
HARMLESS = (".env.example", ".env.sample", ".env.template", "*.pub")


def is_sensitive(path: str | Path) -> bool:
    """Tell whether a component of the path is a name under which secrets are kept."""
    return any(_is_sensitive_name(part.casefold()) for part in Path(path).parts)


def resolve_inside(root: Path, path: str | Path) -> Path:
    """Return the absolute path of `path` (relative to `root`, or absolute) if it stays inside `root`.

    Links are followed before the comparison, so a link that leads out is refused; the path itself need not
    exist. Raises PathNotAllowed for an escape, a sensitive name, or a name no file can have.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise PathNotAllowed("The path is empty or holds a NUL byte.")
    base = Path(os.path.realpath(root))
    resolved = Path(os.path.realpath(base / text))
    if not resolved.is_relative_to(base):
        raise PathNotAllowed(f"{text!r} leads out of {base.name!r}. Use a path inside it.")
    # The name asked for and the name it leads to: a harmless link must not open a secret.
    inside = resolved.relative_to(base)
    if is_sensitive(inside) or is_sensitive(Path(text).name):
        raise PathNotAllowed(f"{text!r} names a file that may hold secrets; such files are never shared.")
    return resolved


def _is_sensitive_name(name: str) -> bool:
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in HARMLESS):
        return False
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in SENSITIVE)
