"""Token files: what they may hold, whose a presented token is, and that no error or repr shows a token."""

from __future__ import annotations

import hashlib

import pytest

from registry.runtime.errors import SettingsError
from registry.security.caller import Caller, Quota, Role
from registry.security.tokens.new_token import new_token
from registry.security.tokens.token_file import parse_tokens

SECRET = "s3cr3t-token-of-alice"
HASH = hashlib.sha256(b"hashed-token-of-bob").hexdigest()


def test_a_file_names_callers_with_roles_services_and_quotas():
    """Both forms of a token are found; what a table leaves out is the default."""
    tokens = parse_tokens(
        f"""
        [alice]
        token = "{SECRET}"
        ["bob@example.org"]
        token_sha256 = "{HASH.upper()}"
        roles = ["operator"]
        services = ["cats", "dogs"]
        rate = 50
        concurrency = 0.25
        """
    )
    assert tokens.caller(SECRET) == Caller("alice", frozenset({Role.CLIENT}))
    bob = Caller(
        "bob@example.org", frozenset({Role.OPERATOR}), frozenset({"cats", "dogs"}), Quota(rate_hz=50, concurrency=0.25)
    )
    assert tokens.caller("hashed-token-of-bob") == bob
    assert tokens.names == {"alice", "bob@example.org"}


@pytest.mark.parametrize("token", ["", SECRET[:-1], SECRET + "x", SECRET.upper(), HASH, "\udcff", "é" * 1000])
def test_no_other_text_is_a_token(token):
    """Neither a part of a token nor its hash is one, and odd characters are no error."""
    tokens = parse_tokens(f'[alice]\ntoken = "{SECRET}"\n[bob]\ntoken_sha256 = "{HASH}"')
    assert tokens.caller(token) is None


def test_several_tokens_of_a_caller_are_valid_at_once():
    """A token can be replaced without an interruption: the old and the new one are both in the file meanwhile."""
    tokens = parse_tokens('[alice]\ntoken = ["old", "new"]\ntoken_sha256 = ["' + HASH + '"]')
    assert {getattr(tokens.caller(token), "name", None) for token in ("old", "new", "hashed-token-of-bob")} == {"alice"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "It names no caller: p2p tokens new NAME prints what to add."),
        (SECRET, "It is not TOML (at end of document)."),
        (f'[alice]\ntoken = "{SECRET}', "It is not TOML (at "),
        (f'token = "{SECRET}"', "A value stands outside a table: write [NAME] above it, for the caller 'token'."),
        ("[anonymous]", "'anonymous' cannot name a caller"),
        ('["a b"]', "'a b' cannot name a caller"),
        ("[alice]", "[alice] has no token: add token_sha256 or token."),
        ("[alice]\ntoken = []", "[alice] has no token: add token_sha256 or token."),
        ('[alice]\ntoken = ""', "[alice] token must be a text of letters, digits and -._~+/, with = only at its end."),
        (f'[alice]\ntoken = "{SECRET} "', "[alice] token must be a text of letters"),
        ("[alice]\ntoken = 7", "[alice] token must be a text of letters"),
        (f'[alice]\ntoken_sha256 = "{SECRET}"', "[alice] token_sha256 must be a text of 64 hexadecimal digits."),
        (f'[alice]\n"{SECRET}" = 1', "[alice] has a field that does not exist"),
        (f'[alice]\ntoken = "{SECRET}"\n[bob]\ntoken = "{SECRET}"', "alice and bob have the same token"),
        ('[alice]\ntoken = "t"\nroles = ["root"]', "[alice] roles is a list of client and operator."),
        ('[alice]\ntoken = "t"\nroles = []', "[alice] roles is a list of client and operator."),
        ('[alice]\ntoken = "t"\nroles = "client"', "[alice] roles is a list of client and operator."),
        ('[alice]\ntoken = "t"\nservices = []', '[alice] services is a list of names, such as ["cats"]; leave it out'),
        ('[alice]\ntoken = "t"\nservices = ["a b"]', "[alice] services is a list of names"),
        ('[alice]\ntoken = "t"\nrate = 0', "[alice] rate is a number of requests per second above 0"),
        ('[alice]\ntoken = "t"\nrate = true', "[alice] rate is a number"),
        ('[alice]\ntoken = "t"\nrate = inf', "[alice] rate is a number"),
        ('[alice]\ntoken = "t"\nconcurrency = 1.5', "[alice] concurrency is a share above 0 and at most 1"),
        ('[alice]\ntoken = "t"\nconcurrency = nan', "[alice] concurrency is a share"),
    ],
)
def test_what_a_file_may_not_hold(text, sentence):
    """Each mistake is one sentence that says where it is, and shows nothing that could be a token."""
    with pytest.raises(SettingsError) as refused:
        parse_tokens(text)
    assert str(refused.value).startswith(sentence)
    assert SECRET not in f"{refused.value!r} {refused.value.__cause__!r}"


def test_the_repr_shows_names_only():
    """What a debugger or a log shows of the tokens is who has one."""
    tokens = parse_tokens(f'[alice]\ntoken = "{SECRET}"\n[bob]\ntoken_sha256 = "{HASH}"')
    assert repr(tokens) == "Tokens(alice, bob)"


@pytest.mark.parametrize("name", ["alice", "bob@example.org", "a.b", "007"])
def test_a_new_token_works_once_its_table_is_in_the_file(name):
    """`p2p tokens new` prints a token, and a table that holds its hash only."""
    token, table = new_token(name, roles=[Role.OPERATOR], services=["cats"])
    assert token not in table
    assert parse_tokens(table).caller(token) == Caller(name, frozenset({Role.OPERATOR}), frozenset({"cats"}))
    assert new_token(name, roles=[Role.CLIENT])[0] != token
