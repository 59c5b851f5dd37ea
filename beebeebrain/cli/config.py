"""Who talks to which server: the environment first (BBB_URL, BBB_TOKEN), else what `bbb login` has kept."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from beebeebrain.cli.errors import Misuse, NotLoggedIn

LOCAL_URL = "http://127.0.0.1:8000"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
# What may stand in a header.
_TOKEN = re.compile(r"[\x21-\x7e]{8,1000}")


@dataclass(frozen=True)
class Login:
    """A server and the token for it."""

    url: str
    token: str = field(repr=False)


def path() -> Path:
    """Return where the login is kept. A folder that is not absolute is ignored, as the XDG specification wants."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(given) if Path(given).is_absolute() else Path.home() / ".config"
    return folder / "beebeebrain" / "cli.json"


def current() -> Login:
    """Return the login to use. Raises NotLoggedIn, Misuse.

    A token that was kept for one server is never sent to another one.
    """
    kept = stored()
    url = server(kept)
    if token := os.environ.get("BBB_TOKEN", ""):
        return Login(url, checked_token(token))
    if kept is None or kept.url != url:
        raise NotLoggedIn(f"There is no token for {url}. Log in with `bbb login {url}`, or set BBB_TOKEN.")
    return kept


def server(kept: Login | None) -> str:
    """Return the address of the server: BBB_URL, the one logged in to, or the one `make run` starts. Raises Misuse."""
    given = os.environ.get("BBB_URL", "")
    return checked_url(given) if given else kept.url if kept else LOCAL_URL


def is_overridden() -> bool:
    """Tell whether the environment goes before what was kept."""
    return bool(os.environ.get("BBB_URL") or os.environ.get("BBB_TOKEN"))


def stored() -> Login | None:
    """Return what was kept, None without it. Raises Misuse for a file that cannot be read."""
    try:
        found = json.loads(path().read_text(encoding="utf-8"))
        return Login(checked_url(found["url"]), checked_token(found["token"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, Misuse):
        raise Misuse(f"{path()} cannot be read. Delete it, or log in again with `bbb login URL`.") from None


def keep(login: Login) -> None:
    """Write the login so that nobody else can read it, whole or not at all. Raises Misuse."""
    file = path()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, draft = tempfile.mkstemp(dir=file.parent, prefix=".cli-")
        try:
            with open(number, "w", encoding="utf-8") as stream:
                json.dump(asdict(login), stream)
            os.replace(draft, file)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        raise Misuse(f"{file} cannot be written: {error.strerror}.") from None


def forget() -> None:
    """Delete what was kept, readable or not."""
    path().unlink(missing_ok=True)


def checked_url(url: str) -> str:
    """Return the address of a server as we keep it. Raises Misuse."""
    try:
        parts = urlsplit(url.strip())
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or parts.query or parts.fragment:
        raise Misuse(f"{url!r} is no address of a server. One looks like {LOCAL_URL}.")
    if "@" in parts.netloc:
        raise Misuse("An address with a password in it is not accepted; the token is asked for.")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").removesuffix("/api/v1")


def checked_token(token: str) -> str:
    """Return a token that can be sent. Raises Misuse, without the token."""
    if not _TOKEN.fullmatch(stripped := token.strip()):
        raise Misuse("That is no token. `manage.py create_token` makes one; give all of it, on one line.")
    return stripped


def is_loopback(url: str) -> bool:
    """Tell whether a server is on this machine."""
    return urlsplit(url).hostname in _LOOPBACK
