from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb
from security.models import ApiToken
from security.roles import Role
from security.tests.factories import make_token, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def token() -> str:
    return make_token(make_user(Role.OPERATOR, username="ada"))[1]


def kept(bbb: Bbb) -> Path:
    return bbb.folder / "config" / "beebeebrain" / "cli.json"


def test_a_login_is_kept_for_nobody_else_to_read(stranger: Bbb, live_server: Any, token: str) -> None:
    done = stranger("login", live_server.url, stdin=f"{token}\n")
    assert (done.code, done.out) == (0, f"Logged in to {live_server.url} as ada (operator).\n")
    assert json.loads(kept(stranger).read_text()) == {"url": live_server.url, "token": token}
    assert stat.S_IMODE(kept(stranger).stat().st_mode) == 0o600
    assert stat.S_IMODE(kept(stranger).parent.stat().st_mode) == 0o700
    assert [path.name for path in kept(stranger).parent.iterdir()] == ["cli.json"]
    assert stranger("whoami", "--json").json["username"] == "ada"


def test_a_token_comes_from_a_file(stranger: Bbb, live_server: Any, token: str) -> None:
    (stranger.folder / "token").write_text(f"{token}\n")
    done = stranger("login", live_server.url, "--token-file", str(stranger.folder / "token"), "--json")
    assert done.json["role"] == "operator"


def test_a_token_that_is_typed_is_not_shown(stranger: Bbb, live_server: Any, token: str) -> None:
    code, shown = stranger.on_terminal("login", live_server.url, says=[token])
    assert (code, "Logged in" in shown) == (0, True), shown
    assert token not in shown


def test_no_output_holds_the_token(bbb: Bbb) -> None:
    token = bbb.environment["BBB_TOKEN"]
    for words in (["whoami"], ["whoami", "--json"], ["tasks", "list"], ["tasks", "show", "9"]):
        done = bbb(*words)
        assert token not in done.out + done.err
    dead = bbb("whoami", BBB_URL="http://127.0.0.1:9")
    assert (dead.code, token in dead.err) == (ExitCode.UNAVAILABLE, False)


def test_a_refused_token_is_not_kept(stranger: Bbb, live_server: Any) -> None:
    done = stranger("login", live_server.url, stdin="bbb_thisonewasnevermade\n")
    assert (done.code, "code token_invalid" in done.err) == (ExitCode.NOT_ALLOWED, True), done.err
    assert not kept(stranger).exists()


@pytest.mark.parametrize("token", ["", "short", "two words of a token", "bbb_tök€n_bbb"])
def test_what_is_no_token_is_not_sent(stranger: Bbb, token: str) -> None:
    done = stranger("login", "http://127.0.0.1:9", stdin=f"{token}\n")
    assert (done.code, "create_token" in done.err) == (ExitCode.USAGE, True)
    assert not token or token not in done.err


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "http://x:99999", "http://x/?a=1", "x"])
def test_what_is_no_address_is_refused(stranger: Bbb, url: str) -> None:
    assert stranger("login", url, "--json", stdin="bbb_12345678").error == (ExitCode.USAGE, "usage")


def test_an_address_with_a_password_is_refused_without_repeating_it(stranger: Bbb) -> None:
    done = stranger("login", "http://ada:hunter22@127.0.0.1:9", stdin="bbb_12345678")
    assert (done.code, "hunter22" in done.err) == (ExitCode.USAGE, False)


def test_the_address_of_the_api_is_as_good(stranger: Bbb, live_server: Any, token: str) -> None:
    stranger("login", f"{live_server.url}/api/v1/", stdin=token)
    assert json.loads(kept(stranger).read_text())["url"] == live_server.url


def test_a_token_over_plain_http_is_warned_of(stranger: Bbb) -> None:
    done = stranger("login", "http://nowhere.invalid", stdin="bbb_12345678")
    assert (done.code, "not encrypted" in done.err) == (ExitCode.UNAVAILABLE, True)


def test_a_kept_token_goes_to_no_other_server(stranger: Bbb, live_server: Any, token: str) -> None:
    stranger("login", live_server.url, stdin=token)
    assert stranger("whoami", "--json", BBB_URL="http://127.0.0.1:9").error == (ExitCode.NOT_ALLOWED, "not_logged_in")


def test_the_environment_goes_before_what_was_kept(stranger: Bbb, live_server: Any, token: str) -> None:
    stranger("login", live_server.url, stdin=token)
    _, other = make_token(make_user(Role.VIEWER, username="bob"))
    assert stranger("whoami", "--json", BBB_TOKEN=other).json["username"] == "bob"
    assert "goes before" in stranger("login", live_server.url, stdin=token, BBB_TOKEN=other).err


def test_who_has_not_logged_in_is_told_how(stranger: Bbb) -> None:
    done = stranger("tasks", "list")
    assert (done.code, "`bbb login http://127.0.0.1:8000`" in done.err) == (ExitCode.NOT_ALLOWED, True)


def test_a_login_ends(stranger: Bbb, live_server: Any, token: str) -> None:
    stranger("login", live_server.url, stdin=token)
    assert stranger("logout").code == 0
    assert not kept(stranger).exists()
    assert stranger("logout").code == 0


def test_a_token_revoked_in_between_says_to_log_in_again(stranger: Bbb, live_server: Any, token: str) -> None:
    stranger("login", live_server.url, stdin=token)
    ApiToken.objects.all().delete()
    done = stranger("whoami")
    assert (done.code, "`bbb login`" in done.err) == (ExitCode.NOT_ALLOWED, True)


def test_a_file_that_is_broken_is_named(stranger: Bbb) -> None:
    kept(stranger).parent.mkdir(parents=True)
    kept(stranger).write_text("{")
    done = stranger("whoami")
    assert (done.code, str(kept(stranger)) in done.err) == (ExitCode.USAGE, True)
    assert (stranger("logout").code, kept(stranger).exists()) == (0, False)


def test_a_broken_file_does_not_keep_from_logging_in(stranger: Bbb, live_server: Any, token: str) -> None:
    kept(stranger).parent.mkdir(parents=True)
    kept(stranger).write_text("{")
    assert stranger("login", live_server.url, stdin=token).code == 0


def test_who_somebody_is_says_role_and_projects(bbb: Bbb) -> None:
    shown = bbb("whoami").out
    assert all(f"{name}" in shown for name in ("ada", "admin", "all", bbb.environment["BBB_URL"], "robot"))
