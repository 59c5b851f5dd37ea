from __future__ import annotations

import pytest

from security.redaction import MASK, redact, redact_data

SECRETS = [
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz",
    "bbb_0123456789abcdef0123456789abcdef",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "hooks.slack.com/services/T0000/B0000/abcdefghijklmnop",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_known_shapes_are_masked_inside_text(secret: str) -> None:
    assert secret not in redact(f"before {secret} after")


@pytest.mark.parametrize(
    "text",
    ["password=hunter22222", 'api_key: "abcdef123456"', "AUTH_TOKEN=abcdef123456", '"client_secret": "abcdef123456"'],
)
def test_assigned_secrets_are_masked(text: str) -> None:
    assert MASK in redact(text)


def test_password_in_a_url_is_masked_and_the_rest_stays() -> None:
    assert redact("postgresql://bee:honey@db:5432/hive") == f"postgresql://bee:{MASK}@db:5432/hive"


def test_bearer_header_is_masked() -> None:
    assert redact("Authorization: Bearer abcdefgh12345678") == f"Authorization: Bearer {MASK}"


def test_plain_text_is_left_alone() -> None:
    text = "The tokenizer counts 120 tokens; see https://example.org/a:b for the password policy."
    assert redact(text) == text


def test_values_under_secret_names_are_masked_whole() -> None:
    assert redact_data({"nested": [{"password": "a b"}]}) == {"nested": [{"password": MASK}]}


def test_numbers_and_usage_counters_survive() -> None:
    data = {"input_tokens": 5, "token_in": 7, "max_tokens": 9}
    assert redact_data(data) == data


def test_redacting_twice_changes_nothing_more() -> None:
    once = redact("password=hunter22222 and sk-ant-api03-abcdefghijklmnopqrstuvwxyz")
    assert redact(once) == once


@pytest.mark.parametrize("secret", ["AKIA" + "Q" * 16, "ASIA" + "Q" * 16, "bbb_" + "a" * 16])
def test_the_shortest_secrets_of_one_word_are_masked(secret: str) -> None:
    assert redact(secret) == MASK


@pytest.mark.parametrize(
    "secret", ["sk-ant-api03-abcdefghijklmnop", "bbb_0123456789abcdef", "eyJhbGciOi.eyJzdWIi.dozjgNry"]
)
def test_a_secret_behind_an_escaped_line_break_is_masked(secret: str) -> None:
    assert redact(rf"first\n{secret}") == rf"first\n{MASK}"


@pytest.mark.parametrize(
    "headers",
    ["Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B\n\n", "Version: a-b\n\n", "Comment: see -----BEGIN\n"],
)
@pytest.mark.parametrize("kind", ["RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"])
def test_a_private_key_is_masked_to_its_end_whatever_headers_it_has(kind: str, headers: str) -> None:
    assert redact(f"a\n-----BEGIN {kind}-----\n{headers}MIIEow\n-----END {kind}-----\nb") == f"a\n{MASK}\nb"


def test_a_private_key_that_was_cut_off_is_masked_as_far_as_it_is_there() -> None:
    assert redact("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: 1\n\nMIIEow") == MASK


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("PASSWORD='a b c d e f' ls", f"PASSWORD='{MASK}' ls"),
        (r'{"token": "ab\"cdefgh", "n": 1}', f'{{"token": "{MASK}", "n": 1}}'),
        (r'-d "{\"password\": \"a b\\\"c\", \"n\": 1}"', rf'-d "{{\"password\": \"{MASK}\", \"n\": 1}}"'),
        ("environ['API_KEY'] = 'a b'", f"environ['API_KEY'] = '{MASK}'"),
        ("password: 'it''s me' ok", f"password: '{MASK}' ok"),
        ('password = """one\ntwo"""', f'password = """{MASK}"""'),
        ('PASSWORD = b"abc def"', f'PASSWORD = b"{MASK}"'),
        ("DATABASE_PASSWORD=abc", f"DATABASE_PASSWORD={MASK}"),
        ("PASSWORD=a,b(c ls", f"PASSWORD={MASK} ls"),
        ("PASSWORD=it'sme ls", f"PASSWORD={MASK} ls"),
        ("password = abc", f"password = {MASK}"),
        ("password: abc\nuser: bee", f"password: {MASK}\nuser: bee"),
        ('the token:\n{"api_key": "abc"}', f'the token:\n{{"api_key": "{MASK}"}}'),
        ('the token:\n"api_key": "abc"', f'the token:\n"api_key": "{MASK}"'),
        ("password='abc': 'x'", f"password='{MASK}': 'x'"),
        ('if password == "abc":', f'if password == "{MASK}":'),
        ("AccountName=bee;AccountKey=abc/def+0==;Suffix=net", f"AccountName=bee;AccountKey={MASK};Suffix=net"),
    ],
)
def test_an_assigned_secret_is_masked_to_its_end_and_not_beyond(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("scheme://u:p@ss@h/x", f"scheme://u:{MASK}@h/x"),
        ("scheme://u:p/a@ss@h", f"scheme://u:{MASK}@h"),
        ("redis://:it's@h:6379/0", f"redis://:{MASK}@h:6379/0"),
        ("'x://u:p@h','me@example.org'", f"'x://u:{MASK}@h','me@example.org'"),
        ('{"a":"x://u:p@h","b":"x://u:q@h"}', f'{{"a":"x://u:{MASK}@h","b":"x://u:{MASK}@h"}}'),
        ("http://proxy:80/?to=http://u:p@h", f"http://proxy:80/?to=http://u:{MASK}@h"),
    ],
)
def test_a_password_in_a_url_is_masked_whatever_it_holds(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Token abcdef", f"Authorization: Token {MASK}"),
        ("Authorization: Frob abc-def", f"Authorization: Frob {MASK}"),
        ("authorization: Frob abcdef123 was sent", f"authorization: Frob {MASK} was sent"),
        ('Authorization: Digest username="u", response="a b"\nHost: h', f"Authorization: Digest {MASK}\nHost: h"),
        ("curl -H 'Proxy-Authorization: abcdef' http://h", f"curl -H 'Proxy-Authorization: {MASK}' http://h"),
        ("headers['Authorization'] = 'Token a b'", f"headers['Authorization'] = '{MASK}'"),
        ("Authorization: see Authorization: Token abcdef", f"Authorization: see Authorization: Token {MASK}"),
        ("Cookie: a=b; c=d\nHost: h", f"Cookie: {MASK}\nHost: h"),
        ('Set-Cookie: a="b c"; Path=/', f"Set-Cookie: {MASK}"),
        ("curl -H 'Cookie: a=b; c=d' http://h", f"curl -H 'Cookie: {MASK}' http://h"),
        ("Basic dXNlcjpwYXNz", f"Basic {MASK}"),
        ("ACCESS_TOKEN=Bearer abcdefgh", f"ACCESS_TOKEN=Bearer {MASK}"),
        ("auth_token: Token abcdefgh", f"auth_token: Token {MASK}"),
        ("with the token: Authorization: Token abcdef", f"with the token: Authorization: Token {MASK}"),
    ],
)
def test_headers_that_prove_who_one_is_are_masked(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mysql --password hunter22 -u root", f"mysql --password {MASK} -u root"),
        ("tool --api-key=abcdef --db-pass x", f"tool --api-key={MASK} --db-pass {MASK}"),
        ("tool --token 'a b' c", f"tool --token '{MASK}' c"),
        ("run(['tool', '--token', 'a b', 'c'])", f"run(['tool', '--token', '{MASK}', 'c'])"),
        (r'"[\"--token\", \"a b\"]"', rf'"[\"--token\", \"{MASK}\"]"'),
        ("curl -su bee:honey http://h", f"curl -su bee:{MASK} http://h"),
        ("curl --user 'bee:ho ney' http://h", f"curl --user 'bee:{MASK}' http://h"),
        ("curl -ubee:honey http://h", f"curl -ubee:{MASK} http://h"),
    ],
)
def test_secrets_among_the_arguments_of_a_command_are_masked(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("DB_PASS=a ls", f"DB_PASS={MASK} ls"),
        ("MYSQL_PWD=it'sme ls", f"MYSQL_PWD={MASK} ls"),
        ("smtp_pass: 'a b'", f"smtp_pass: '{MASK}'"),
        ('{"DB_PASS": "a b", "n": 1}', f'{{"DB_PASS": "{MASK}", "n": 1}}'),
        ("PGPASSWORD=a REDISCLI_AUTH=b", f"PGPASSWORD={MASK} REDISCLI_AUTH={MASK}"),
        ("<password>a b</password>", f"<password>{MASK}</password>"),
        ('<ns:apiKey type="x">\n a </ns:apiKey>', f'<ns:apiKey type="x">{MASK}</ns:apiKey>'),
        ("<password><![CDATA[a]b]]></password>", f"<password><![CDATA[{MASK}</password>"),
    ],
)
def test_short_names_and_elements_are_masked(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "psql --no-password bee --password",
        "the --password option, and --token is new; --max-tokens 5 --password-stdin",
        "curl -sSL -o x http://h:80/a -H 'Accept: b' --user-agent a:b --url http://h",
        "docker run -u 1000:1000 image",
        "all tests pass: 12, first_pass = run(), PWD=/home/x, COMPASS=north",
        "Bearer <token>, or <password> in <b>bold</b>",
    ],
)
def test_commands_without_secrets_stay_readable(text: str) -> None:
    assert redact(text) == text


def test_the_argument_of_a_secret_option_is_masked() -> None:
    argv = ["mysql", "--password", "a b", "--user", "bee", "--token", "--verbose", "x", "--api-key"]
    assert redact_data(argv) == ["mysql", "--password", MASK, "--user", "bee", "--token", "--verbose", "x", "--api-key"]


@pytest.mark.parametrize(
    "text",
    [
        "the password: see the docs",
        "token: yes",
        "token=None, password=None, secret: false",
        "max_tokens=500 PWD=/home/x",
        "password='' and token: \"\"",
        "if password == expected: Token::parse(everything)",
        "http://localhost:8000/users/@me http://[::1]:8000/users/@me",
        '{"url":"http://localhost:8000","owner":"me@example.org"}',
        "Authorization: check the roles of a project first",
        "Cookie: what a browser keeps. Basic functionality needs basic authentication.",
        "a task-management-system-for-agents, a keyJsonSerializer.toString.apply",
        "Bearer <token>, or Authorization: Bearer $TOKEN here",
        "-----BEGIN PUBLIC KEY-----",
    ],
)
def test_prose_and_code_without_secrets_stay_readable(text: str) -> None:
    assert redact(text) == text


def test_all_strings_below_a_secret_name_are_masked() -> None:
    data = {"password": ["a", {"old": "b", "tries": 3, "none": None}], "api_key": {"v": ("c", "")}}
    assert redact_data(data) == {
        "password": [MASK, {"old": MASK, "tries": 3, "none": None}],
        "api_key": {"v": [MASK, ""]},
    }


@pytest.mark.parametrize(
    "name",
    ["Authorization", "HTTP_AUTHORIZATION", "Cookie", "Set-Cookie", "X-Api-Key", "AccountKey", "DB_PASS", "MYSQL_PWD"],
)
def test_headers_are_secret_names(name: str) -> None:
    assert redact_data({name: "a b"}) == {name: MASK}


@pytest.mark.parametrize(("name", "value"), [("name", "value"), ("key", "value"), ("Name", "Value")])
def test_the_value_of_a_pair_with_a_secret_name_is_masked(name: str, value: str) -> None:
    env = [{name: "API_KEY", value: "a b"}, {name: "PORT", value: "80"}]
    assert redact_data({"env": env}) == {"env": [{name: "API_KEY", value: MASK}, {name: "PORT", value: "80"}]}


def test_what_is_no_json_below_a_secret_name_is_masked() -> None:
    assert redact_data({"password": b"abc"}) == {"password": MASK}
