"""`token`: its answers; and where secrets go and do not go."""

import json


def test_no_option_takes_a_secret(scoregate):
    """There is no way to write a key value or an admin token into argv."""
    for command in (["keys", "regenerate"], ["services", "create"], ["token", "issue"], ["score"]):
        help_text = scoregate(*command, "--help").stdout
        options = {word.rstrip(",") for word in help_text.split() if word.startswith("--")}
        assert options
        assert not options & {"--value", "--key", "--token", "--secret", "--password", "--credential"}


def test_issue_a_token(scoregate, ready, fake):
    """Verbs and lifetime are passed on; the token opens the service."""
    arguments = ["--verb", "score", "--verb", "batch", "--lifetime-seconds", "600", "-o", "json"]
    answer = json.loads(scoregate("token", "issue", "diabetes", *arguments).stdout)
    assert fake.seen[-1].document == {"verbs": ["score", "batch"], "lifetime_seconds": 600}
    assert answer["token"] in fake.tokens
    assert {"token_type", "refresh_by", "expires_at"} < answer.keys()


def test_secrets_are_printed_only_where_asked(scoregate, ready, fake):
    """Neither listing, showing, scoring nor status prints a key or the admin token; the control: `keys show` does."""
    quiet = [
        ["services", "list"],
        ["services", "show", "diabetes", "-o", "json"],
        ["status"],
        ["score", "diabetes", "--data", '{"data": []}'],
        ["services", "show", "nobody"],
        ["doctor"],
    ]
    printed = "".join((result := scoregate(*command)).stdout + result.stderr for command in quiet)
    asked = scoregate("keys", "show", "diabetes").stdout
    assert "diabetes-primary-value" in asked
    assert "diabetes-primary-value" not in printed
    assert "admin-token-of-the-fake" not in printed + asked


def test_revoke(scoregate, ready, fake):
    """One token, a subject's or all: which must be said, so that nobody ends all of them by leaving something out."""
    for options, asked, told in (
        (["--jti", "t_1"], {"jti": "t_1"}, "t_1"),
        (["--subject", "alice"], {"subject": "alice"}, "2026-11-21T08:00:00Z"),
        (["--all"], {}, "2026-11-21T08:00:00Z"),
    ):
        answer = scoregate("token", "revoke", "diabetes", *options)
        assert answer.exit_code == 0, answer.stderr
        assert told in answer.stdout
        assert fake.seen[-1].path == "/v1/services/diabetes/tokens/revoke"
        assert fake.seen[-1].document == asked
    seen = len(fake.seen)
    for options in ([], ["--all", "--jti", "t_1"], ["--jti", "t_1", "--subject", "alice"]):
        answer = scoregate("token", "revoke", "diabetes", *options)
        assert answer.exit_code == 2
        assert "--jti, --subject or --all" in answer.stderr
    assert len(fake.seen) == seen


def test_signing_keys(scoregate, ready, fake):
    """Shown and rotated; every token is ended only where that is said."""
    assert "kid-0" in scoregate("token", "signing-keys").stdout
    rotated = scoregate("token", "rotate-signing-keys", "-o", "json")
    assert [key["kid"] for key in json.loads(rotated.stdout)["value"]] == ["kid-2", "kid-1"]
    assert fake.seen[-1].document == {}
    assert scoregate("token", "rotate-signing-keys", "--revoke").exit_code == 0
    assert fake.seen[-1].document == {"revoke": True}
