"""Secrets: which shapes are found, in which surroundings, and what must survive."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmguard.core.canonical import decode, encode
from llmguard.core.redaction import redact, redact_text, secrets_in

# Made up for this test; put together here so that no scanner takes this file for a leak.
PEM_BODY = (
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n"
    "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n"
)
PEM = "-----BEGIN " + "PRIVATE KEY-----\n" + PEM_BODY + "-----END PRIVATE KEY-----"
SECRETS = {
    "sk-" + "4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e": "openai_key",
    "sk-proj-" + "Ab3dEfGh1jKlMn0pQrSt_vWxYz-0123456789": "openai_key",
    "sk-proj-" + "abcdefghijklmnopqrstuvwxyz": "openai_key",
    "sk-ant-" + "api03-Zx9Yw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0Fe": "anthropic_key",
    "AKIA" + "IOSFODNN7EXAMPLE": "aws_access_key",
    "ASIA" + "IOSFODNN7EXAMPLE": "aws_access_key",
    "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY": "aws_secret_key",
    "aws_secret_access_key = wJalrXUtnFEMIK7MDENG" + "bPxRfiCYEXAMPLEKEY1": "aws_secret_key",
    "ghp_" + "1234567890abcdefghijABCDEFGHIJ123456": "github_token",
    "github_pat_" + "11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz": "github_token",
    "xoxb-" + "123456789012-1234567890123-AbCdEfGhIjKl": "slack_token",
    "xapp-" + "1-A0123456789-1234567890123-abcdef": "slack_token",
    "AIza" + "SyD-1234567890abcdefghijklmnopqrstu": "google_key",
    "AccountKey=" + "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYg==": "azure_key",
    "7Aq" * 17 + "Z" + "JQQJ99BDACYeBjFXJ3w3AAABACOGabcd": "azure_key",
    "abc8Q~" + "dEfGhIjKlMnOpQrStUvWxYz0123456789a": "azure_key",
    "api-key: " + "0123456789abcdef0123456789abcdef": "api_key",
    "Ocp-Apim-Subscription-Key: " + "0123456789abcdef0123456789abcdef": "api_key",
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U": "jwt",
    PEM: "private_key",
    PEM[:90]: "private_key",
    PEM.replace("PRIVATE", "RSA PRIVATE"): "private_key",
    "https://ada:" + "l0velace@example.com/x": "basic_auth",
    "postgresql+psycopg://app:" + "p@ss:w0rd@db/log": "basic_auth",
    "redis://:" + "hunter2@cache": "basic_auth",
    "Authorization: Bearer " + "ya29.a0AfB_byC1234567890abcdef": "bearer_token",
    "AUTHORIZATION: BEARER " + "abcdefghijklmnopqrstuvwxyz": "bearer_token",
    "Authorization: Basic " + "dXNlcjpwYXNzd29yZDEyMw==": "bearer_token",
    "OPENAI_API_KEY=" + "abcd1234": "api_key",
    "api_key=" + "supersecretvalue": "api_key",
    "api_key='" + "s3cr3tvalue'": "api_key",
    '{"apiKey": "' + '0123456789abcdef"}': "api_key",
    "?api-version=1&api_key=" + "4f9a8b7c6d5e": "api_key",
    "X-API-Key: " + "0123456789abcdef": "api_key",
    "[(b'api-key', b'" + "0123456789abcdef')]": "api_key",
    "client_secret: " + "0123456789abcdef": "api_key",
}
CORES = {
    secret: max(secret.replace("\n", " ").replace("'", " ").replace('"', " ").split(), key=len) for secret in SECRETS
}
INNOCENT = [
    "",
    "the api_key = parameter",
    "Set api_key in the settings, or OPENAI_API_KEY in the environment.",
    "a risk-adjusted-return-on-capital of 12% and a task-2024-07-18-in-the-afternoon",
    "bearer responsibilities, bearer instruments and bearer authentication",
    "https://shop.example.com:8080/orders/2231?mail=a@example.com",
    "write to ada@example.com or bob@example.com: they answer",
    '{"fingerprint":"d41d8cd98f00b204e9800998ecf8427e","commit":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}',
    "/usr/local/lib/Python3/site/packages/abcd and src/main/java/com/Example2/Foo",
    '{"prompt_tokens_details":{"cached_tokens":0},"id":"chatcmpl-B9MBs8CjcvOLX2n4IbzxA1"}',
    '{"api_key":123456789012345678,"token":null}',
    "eyJpZCI6MTIzfQabcdefgh is a cursor and no token",
    "keys: ghp_, AKIA, sk-, xoxb-, AIza and eyJ begin the names of keys",
]


@pytest.mark.parametrize("before", ["", "use ", "\n", "\t", "é", "key\n", '"', "('", "http://x/?a=", "\\"])
def test_each_shape_is_found_in_plain_text(before: str) -> None:
    """A secret leaves nothing of itself in plain text, and its shape is named."""
    for secret, shape in SECRETS.items():
        bare = shape in ("aws_secret_key", "azure_key")  # what has no literal of its own needs a clear beginning
        text = before + (" " if bare and before.endswith(("=", "\\")) else "") + secret + "\n"
        assert CORES[secret] not in redact_text(text)
        assert f"[redacted:{shape}]" in redact_text(text)
        assert shape in secrets_in(text.encode())


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("before", ["", "use\n", "use ", "\t", "ü\n", '"'])
def test_each_shape_is_found_in_encoded_json(depth: int, before: str) -> None:
    """JSON in JSON in JSON stays JSON, and the secret is gone from its innermost text."""
    for secret, shape in SECRETS.items():
        text = encode({"a": [1, before + secret + "\nnext"]})
        for _ in range(depth - 1):
            text = encode({"body": text.decode()})
        found = decode(redact(text))
        for _ in range(depth - 1):
            found = decode(found["body"])
        assert f"[redacted:{shape}]" in found["a"][1]
        assert CORES[secret] not in found["a"][1]
        assert found["a"][1].startswith(before)
        assert found["a"][1].endswith("next")


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_survives(text: str) -> None:
    """Prose, names, ids, hashes, paths and addresses are no secrets."""
    assert redact_text(text) == text
    assert redact(encode({"t": text})) == encode({"t": text})
    assert secrets_in(text.encode()) == ()


def test_a_key_of_a_json_object_hides_its_value_and_keeps_the_form() -> None:
    """What is text becomes the mark; a bare number stays, as it could not become text."""
    text = b'{"api_key": "0123456789abcdef", "x-api-key":123456789012, "n": 1}'
    assert redact(text) == b'{"api_key": "[redacted:api_key]", "x-api-key":123456789012, "n": 1}'


def test_all_secrets_of_a_text_are_found() -> None:
    """Secrets side by side do not hide one another."""
    text = " ; ".join(SECRETS)
    redacted = redact_text(text)
    assert [core for core in CORES.values() if core in redacted] == []
    assert set(secrets_in(text.encode())) == set(SECRETS.values())


def test_text_with_lone_surrogates_is_redacted() -> None:
    """A surrogate without its twin neither raises nor is lost."""
    assert redact_text("\ud800 AKIA" + "IOSFODNN7EXAMPLE") == "\ud800 [redacted:aws_access_key]"


FRAGMENTS = st.sampled_from(
    [
        *SECRETS, *(secret[: len(secret) // 2] for secret in SECRETS), *INNOCENT,
        "api_key", "api_key=", '"api_key": ', "Bearer ", "://", "@", ":", "/", "\\", "\\n", "\\u00e9", '"', "'",
        "-----", "sk-", "eyJ", "AKIA", "[redacted:api_key]", "a" * 16, "1" * 16, "a1" * 20, "=", " ", "\n",
        "é", "\ud800", "%3D",
    ]
)  # fmt: skip
TEXTS = st.lists(FRAGMENTS | st.text(max_size=3), max_size=8).map("".join)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(TEXTS)
def test_redacting_twice_is_redacting_once(text: str) -> None:
    """`redact` is idempotent on plain text."""
    once = redact_text(text)
    assert redact_text(once) == once
    assert secrets_in(once.encode("utf-8", "surrogatepass")) == ()


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(JSON, st.booleans(), st.integers(0, 2))
def test_json_stays_json(value: Any, pretty: bool, depth: int) -> None:
    """Redacted JSON decodes, has the same form, and redacting it again changes nothing."""
    text = json.dumps(value, indent=1).encode() if pretty else encode(value)
    for _ in range(depth):
        text = encode([text.decode()])
    once = redact(text)
    assert form(once) == form(text)
    assert redact(once) == once


def form(text: bytes) -> Any:
    """The values of JSON without its texts; keys may have become alike."""
    return blanked(json.loads(text, object_pairs_hook=lambda pairs: [item for _, item in pairs]))


def blanked(value: Any) -> Any:
    if isinstance(value, list):
        return [blanked(item) for item in value]
    return "" if isinstance(value, str) else value


HOSTILE = [
    "sk-", "sk-a", "eyJ", "eyJ-", "eyJ" + "a" * 13 + "-", "AKIA", "ghp_", "github_pat_", "xoxb-", "AIza", "JQQJ99",
    "a1Q~",
    "a", "/", ":", "@", "-", "=", "\\", "\\n", "\\\\u00e9", "' ,'", "://", "://a:", "://a:b", "Aa1/", "Aa1+" * 9 + "/ ",
    "api_key=", "api_key:", '"api_key":"', "Bearer ", "authorization: ", "AccountKey=", "secret_access_key=",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE)
def test_cost_grows_no_faster_than_the_text(piece: str) -> None:
    """200 KB of what a pattern begins with takes no more than linear time: no piece makes a pattern backtrack."""
    text = (piece * (200_000 // len(piece))).encode()
    started = time.process_time()
    redact(text)
    redact(b"AKIA" + b"IOSFODNN7EXAMPLE@ " + text + b"!")
    assert time.process_time() - started < 2.0
