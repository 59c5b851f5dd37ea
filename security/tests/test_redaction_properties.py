from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from security.redaction import MASK, redact, redact_data

Data = Any

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
WORD = UPPER + UPPER.lower()


def word(least: int, *, letters: str = WORD) -> st.SearchStrategy[str]:
    return st.text(letters, min_size=least, max_size=least + 20)


# Known by their shape wherever they stand, even between letters.
SHAPED = st.one_of(
    st.builds("sk-ant-{}".format, word(16)),
    st.builds("gh{}_{}".format, st.sampled_from("opusr"), word(20)),
    st.builds("github_pat_{}".format, word(20)),
    st.builds("glpat-{}".format, word(16)),
    st.builds("AKIA{}".format, word(16, letters=UPPER)),
    st.builds("xoxb-{}".format, word(10)),
    st.builds("AIza{}".format, word(30)),
    st.builds("hf_{}".format, word(20)),
    st.builds("npm_{}".format, word(30)),
    st.builds("pypi-{}".format, word(50)),
    st.builds("hooks.slack.com/services/T0/B0/{}".format, word(8)),
    st.builds("-----BEGIN RSA PRIVATE KEY-----\nA: b-c\n\n{0}\n-----END RSA PRIVATE KEY-----".format, word(16)),
    st.builds("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{0}".format, word(16)),
)
# What would be a common word in the midst of another.
STARTING = st.one_of(
    st.builds("sk-{}".format, word(16)),
    st.builds("bbb_{}".format, word(16)),
    st.builds("sk_live_{}".format, word(16)),
    st.builds("eyJ{}.{}.{}".format, word(10), word(4), word(4)),
)
# A secret and what makes it one.
AROUND = [
    "PASSWORD={} ",
    "password='{}'",
    '"api_key": "{}"',
    r'"token": "a\"{}"',
    r"{{\"client_secret\": \"{}\"}}",
    "AccountKey={};",
    "postgres://bee:{}@db/hive",
    "postgres://bee:a/@b{}@db/hive",
    "Authorization: Token {}\n",
    "Authorization: Frob 1{}\n",
    'Authorization: Digest username="u", response="{}"\n',
    "Cookie: a=b; session={}\n",
    " --password {} ",
    "'--token', '{}'",
    " curl -u bee:{} ",
    "DB_PASS={} ",
    "<password>{}</password>",
    'Set-Cookie: session="{}"; Path=/\n',
    "Bearer {} ",
    "Basic {}== ",
]
SECRET = word(20, letters=UPPER)

# Texts as they come, without a quote that makes all behind it the value of a name.
TEXT = st.text() | st.lists(
    st.sampled_from(["The agent", "2 tests", "failed:", "\n", "x=1", '"', "é", "http://h:80/"])
).map(" ".join)


@given(TEXT, SHAPED, TEXT)
def test_a_shaped_secret_is_masked_wherever_it_stands(before: str, secret: str, after: str) -> None:
    assume(secret not in before and secret not in after)
    assert secret not in redact(before + secret + after)


@given(TEXT, st.sampled_from([" ", "\n", r"\n", "'", "=", "/"]), STARTING, TEXT)
def test_a_secret_that_starts_a_word_is_masked(before: str, start: str, secret: str, after: str) -> None:
    assume(secret not in before and secret not in after)
    assert secret not in redact(before + start + secret + after)


@given(TEXT, st.sampled_from(AROUND), SECRET, TEXT)
def test_a_secret_is_masked_by_what_stands_around_it(before: str, around: str, secret: str, after: str) -> None:
    assume(secret not in before and secret not in after)
    assert secret not in redact(before + around.format(secret) + after)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10)
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)

# How a value can be hidden deeper.
DEEPER: list[Callable[[Data, Data], Data]] = [
    lambda inner, beside: [beside, inner],
    lambda inner, beside: {"a": inner, "b": beside},
    lambda inner, beside: {"list": [{"c": inner}], "text": beside},
    lambda inner, beside: (inner,),
]
# What makes all below it secret.
NAMING: list[Callable[[Data], Data]] = [
    lambda inner: {"password": inner},
    lambda inner: {"client_secret": [inner]},
    lambda inner: {"Authorization": inner},
    lambda inner: {"Set-Cookie": [inner]},
    lambda inner: {"name": "API_KEY", "value": inner},
]
PATHS = st.lists(st.tuples(st.sampled_from(DEEPER), DATA), max_size=4)


def hidden(value: Data, path: list[tuple[Callable[[Data, Data], Data], Data]]) -> Data:
    for deeper, beside in path:
        value = deeper(value, beside)
    return value


@given(st.one_of(SHAPED, STARTING), PATHS)
def test_a_secret_anywhere_in_data_is_masked(secret: str, path: list[Any]) -> None:
    assert repr(secret)[1:-1] not in repr(redact_data(hidden({secret: [secret]}, path)))


@given(SECRET, PATHS, st.sampled_from(NAMING), PATHS)
def test_all_below_a_secret_name_is_masked(
    secret: str, below: list[Any], name: Callable[[Data], Data], above: list[Any]
) -> None:
    assert secret not in repr(redact_data(hidden(name(hidden(secret, below)), above)))


# Pieces of all the patterns: put together, masks come to stand where they could make a secret of their neighbours.
PIECES = st.sampled_from(
    [
        *("password", "token", "api_key", "Authorization", "Cookie", "bearer", "basic", "Token", "None", "name"),
        *(
            "=",
            ":",
            ": ",
            " = ",
            "==",
            "'",
            '"',
            r"\"",
            "''",
            '"""',
            "\\",
            "/",
            "@",
            "://",
            "://u:",
            ":80",
            ";",
            ",",
            "[",
            "]",
        ),
        *(" ", "\n", "\t", "a", "1", "ab12cd34", "Abcdefgh", "é", "_", "-", ".", "{", "(", "<", MASK),
        *(
            "sk-" + "a" * 20,
            "sk-ant-" + "b" * 20,
            "ghp_" + "c" * 20,
            "AKIA" + "D" * 16,
            "bbb_" + "e" * 20,
            "sk_live_" + "f" * 20,
        ),
        *("eyJ" + "g" * 10, ".hhhhhh", "hooks.slack.com/services/", "T0/B0/iiii", "hf_" + "j" * 20),
        *("--", "-u ", "curl ", "DB_PASS", "MYSQL_PWD", "<password>", "<token a>", "</", "<![CDATA[", ", "),
        *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "a=b", "k" * 1100),
    ]
)


@given(st.lists(PIECES, max_size=20).map("".join))
@example("http://u:x/" + "eyJ" + "a" * 600 + "." + "b" * 600 + ".cccc@h")
@example("AKIA" + "D" * 16 + "sk-" + "a" * 20)
@example("password='a b'tail")
@example("://u:password=a<b\"_\\'@")
@example("Authorization://sk-" + "a" * 1100)
@example("DB_PASS=://")
@example("Authorization: AWS4-HMAC-SHA256 Credential=a")
@example("Authorization:/bbb_" + "e" * 40 + "==hooks.slack.com/services/://u:ab12cd34 b c")
@example("sk-" + "a" * 600 + "sk-" + "b" * 20)
def test_what_is_masked_stays_as_it_is(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(st.recursive(PIECES, lambda inner: st.lists(inner) | st.dictionaries(PIECES, inner, max_size=3), max_leaves=8))
def test_data_that_is_masked_stays_as_it_is(data: Data) -> None:
    once = redact_data(data)
    assert redact_data(once) == once


SUSPECT = (
    *(
        "key",
        "secret",
        "token",
        "passw",
        "passphrase",
        "credential",
        "authorization",
        "cookie",
        "bearer",
        "basic",
        "curl",
        "_pass",
        "_pwd",
        "rediscli",
    ),
    *(
        "://",
        "slack",
        "xox",
        "gh",
        "glpat",
        "akia",
        "asia",
        "aiza",
        "hf_",
        "npm_",
        "pypi",
        "sk-",
        "eyj",
        "_live_",
        "bbb_",
    ),
)


def innocent(text: str) -> bool:
    return not any(word in text.lower() for word in SUSPECT)


@given(DATA.filter(lambda data: innocent(repr(data))))
@example({"text": "x=1; y: 'two' # me@example.org", "max": [1.5, None, True]})
def test_what_holds_no_word_and_no_shape_of_a_secret_is_unchanged(data: Data) -> None:
    assert redact_data(data) == data
