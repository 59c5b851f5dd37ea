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
