"""Each mistake in a file is answered with file, line, key, and a sentence that is enough to mend it."""

import random
import string
from pathlib import Path

import pytest

from gateway.config import ConfigErrors, load

SERVICE = "services:\n  abc:\n    backends: [http://127.0.0.1:5001]\n"

# text → the errors, each as (line, key, reason)
MISTAKES = [
    # not YAML, or YAML that is not meant
    ("scoring:\n\tlisten: x\n", [(2, "", "not valid YAML at column 1: a tab; indent with spaces")]),
    (
        "scoring:\n  listen: a: b\n",
        [(2, "", "not valid YAML at column 12: a second ': ' in a value, or wrong indentation; quote the value, or")],
    ),
    ("a: [1,\n", [(2, "", "the file ends within a value; close the bracket or quote that is open since line 2")]),
    ("a: 1\nb: 'x\n", [(3, "", "the file ends within a value; close the bracket or quote that is open since line 2")]),
    ("a: [1\nb: 2\n", [(2, "", "expected ',' or ']', but got ':' (while parsing a flow sequence since line 1)")]),
    ("scoring\nadmin: {}\n", [(2, "", "not valid YAML at column 6: a second ': '")]),
    (
        "scoring:\nlisten\n",
        [(3, "", "not valid YAML at column 1: a line without ': '; write key: value, with a space")],
    ),
    ("data_dir: x\n---\ndata_dir: y\n", [(2, "", "found another document")]),
    ("data_dir: \x07\n", [(1, "", "holds the character U+0007, which YAML forbids; remove it")]),
    ("data_dir: *x\n", [(1, "", "found undefined alias 'x'")]),
    ("- a\n", [(1, "", "the file must hold keys such as scoring: and services:")]),
    ("data_dir: a\nlogging: {}\ndata_dir: b\n", [(3, "data_dir", "stands twice, first in line 1; keep one")]),
    (
        SERVICE + "    backends: [http://b]\n",
        [(4, "services.abc.backends", "stands twice, first in line 3; keep one")],
    ),
    ("1: x\n", [(1, "", "a key that is no text; put it in quotes")]),
    ("scoring:\n  ? [a]\n  : b\n", [(2, "scoring", "a key that is no text; put it in quotes")]),
    ("data_dir: !!binary eA==\n", [(1, "data_dir", "the tag !!binary has no meaning here; leave it out, and put")]),
    ("data_dir: !!int x\n", [(1, "data_dir", "the tag !!int has no meaning here; leave it out, and put a text in")]),
    (
        SERVICE + "    hosts: !!omap [a: b]\n",
        [
            (4, "services.abc.hosts", "the tag !!omap has no meaning here"),
            (4, "services.abc.hosts[0]", "expected a text, got a block of keys"),
        ],
    ),
    ("data_dir: !env X\n", [(1, "data_dir", "the tag !env has no meaning here")]),
    (
        "scoring: !!set {a}\n",
        [(1, "scoring", "the tag !!set has no meaning"), (1, "scoring.a", "unknown key; known here: listen, workers,")],
    ),
    ("scoring: &s {tls: *s}\n", [(1, "scoring.tls", "an alias that holds itself")]),
    ("scoring:\n  drain_seconds: .inf\n", [(2, "scoring.drain_seconds", "is no finite number")]),
    ("scoring: {<<: 5}\n", [(1, "scoring", "<< takes a block of keys, or a list of them")]),
    # unknown and missing keys
    ("scoring:\n  listn: x\n", [(2, "scoring.listn", "unknown key; did you mean listen?")]),
    ("service:\n  abc: {}\n", [(1, "service", "unknown key; did you mean services?")]),
    ("Scoring: {}\n", [(1, "Scoring", "unknown key; did you mean scoring?")]),
    ("metrics:\n  path: /m\n", [(2, "metrics.path", "unknown key; known here: listen")]),
    (SERVICE + "    timeout: 5\n", [(4, "services.abc.timeout", "unknown key; known here: description, tags,")]),
    (SERVICE + "    token_auth: true\n", [(4, "services.abc.token_auth", "did you mean token_auth_enabled?")]),
    (
        SERVICE + "    cors: {allow: ['*']}\n",
        [
            (4, "services.abc.cors.allow", "unknown key; known here: allowed_origins,"),
            (4, "services.abc.cors.allowed_origins", "is missing, and has no default; give it here"),
        ],
    ),
    (
        SERVICE + "    rate_limits:\n    - name: burst\n      per_seconds: 1\n",
        [(5, "services.abc.rate_limits[0].requests", "is missing, and has no default; give it here")],
    ),
    (
        "admin:\n  oidc: {issuer: https://x}\n",
        [(2, "admin.oidc.audience", "is missing, and has no default; give it here")],
    ),
    ("admin:\n  tls:\n    certificat: a\n", [(3, "admin.tls.certificat", "unknown key; did you mean certificate?")]),
    # the wrong kind of value
    ("data_dir: 5\n", [(1, "data_dir", "expected a text, got the number 5; put it in quotes")]),
    ("scoring:\n", [(1, "scoring", "expected a block of keys, got nothing; leave the key out, or write {}")]),
    ("tokens: [a]\n", [(1, "tokens", "expected a block of keys, got a list")]),
    ("services:\n", [(1, "services", "expected a block of keys, got nothing; leave the key out, or write {}")]),
    (
        "scoring:\n  max_connections: '5'\n",
        [(2, "scoring.max_connections", "expected a whole number, got the text '5'; leave the quotes out")],
    ),
    (
        "scoring:\n  max_connections: 5.5\n",
        [(2, "scoring.max_connections", "expected a whole number, got the number 5.5")],
    ),
    (
        "scoring:\n  drain_seconds: soon\n",
        [(2, "scoring.drain_seconds", "expected a number, got the text 'soon'")],
    ),
    (
        "scoring:\n  workers: many\n",
        [(2, "scoring.workers", "expected 'auto' or a whole number, got the text 'many'")],
    ),
    (
        "scoring:\n  workers: 999\n",
        [(2, "scoring.workers", "expected 'auto' or a number of at most 256, got the number 999")],
    ),
    (
        "scoring:\n  tls:\n    minimum_version: 1.2\n",
        [(3, "scoring.tls.minimum_version", "expected '1.2' or '1.3', got the number 1.2; put it in quotes")],
    ),
    (
        "admin:\n  tls: 5\n",
        [(2, "admin.tls", "expected 'inherit' or a block of keys, got the number 5")],
    ),
    (
        "admin:\n  tls: {minimum_version: '1.3', maximum_version: '1.2'}\n",
        [(2, "admin.tls", "minimum_version is above maximum_version: no client could connect")],
    ),
    (
        "tokens: {exchange: true}\n",
        [
            (
                1,
                "tokens.exchange",
                "needs admin.oidc: name the provider whose tokens are exchanged, and give somebody the role caller",
            )
        ],
    ),
    (
        "tokens:\n  exchange: yes\n",
        [(2, "tokens.exchange", "expected true or false, got the text 'yes'; write true or false")],
    ),
    (
        "services:\n  abc:\n    backends: http://127.0.0.1:5001\n",
        [
            (
                3,
                "services.abc.backends",
                "expected a list, got the text 'http://127.0.0.1:5001'; put it in brackets: [ ]",
            )
        ],
    ),
    (
        SERVICE + "    tags: {v: 1}\n",
        [(4, "services.abc.tags.v", "expected a text, got the number 1; put it in quotes")],
    ),
    (
        SERVICE + "    load_balancer: random\n",
        [
            (
                4,
                "services.abc.load_balancer",
                "expected 'least_outstanding', 'round_robin' or 'power_of_two', got the text 'random'",
            )
        ],
    ),
    (SERVICE + f"    compute_type: {'x' * 70}\n", [(4, "services.abc.compute_type", f"got the text '{'x' * 57}…'")]),
    # the right kind, the wrong value
    (
        "scoring:\n  listen: 8443\n",
        [(2, "scoring.listen", "expected a text, got the number 8443; write address:port, such as 0.0.0.0:8443")],
    ),
    (
        "scoring:\n  listen: localhost\n",
        [(2, "scoring.listen", "'localhost' is no address:port such as 0.0.0.0:8443 or [::]:8443")],
    ),
    (
        "scoring:\n  max_header_bytes: 5\n",
        [(2, "scoring.max_header_bytes", "expected a number of at least 1024, got the number 5")],
    ),
    (
        "scoring:\n  keep_alive_seconds: 0\n",
        [(2, "scoring.keep_alive_seconds", "expected a number above 0, got the number 0")],
    ),
    (
        "scoring:\n  public_url: models.example.com\n",
        [(2, "scoring.public_url", "expected http:// or https://, host and port, without a path, such as https://mod")],
    ),
    (
        "scoring:\n  trusted_proxies:\n  - 10.0.0.0/8\n  - 10.0.0.1/8\n",
        [(4, "scoring.trusted_proxies[1]", "'10.0.0.1/8' is no address range such as 10.0.0.0/8")],
    ),
    (
        "services:\n  Diabetes:\n    backends: [http://h]\n",
        [(2, "services.Diabetes", "as a name: expected a name of lowercase letters, digits and inner hyphens")],
    ),
    (
        "services:\n  ab:\n    backends: [http://h]\n",
        [(2, "services.ab", "expected at least 3 characters, got the text")],
    ),
    ("services:\n  abc: {}\n", [(2, "services.abc", "give either backends (one deployment named default) or")]),
    (
        "services:\n  abc:\n    backends: [127.0.0.1:5001]\n",
        [(3, "services.abc.backends[0]", "'127.0.0.1:5001' is no http:// or https:// URL with a host, such as")],
    ),
    (
        "services:\n  abc:\n    backends: [http://h/score]\n",
        [(3, "services.abc.backends[0]", "must end after host and port; put the model's path into scoring_path")],
    ),
    (
        SERVICE + "    cors:\n      allowed_origins: ['*']\n      allow_credentials: true\n",
        [(4, "services.abc.cors", "allow_credentials cannot go with '*' in allowed_origins: name them one by one")],
    ),
    (
        SERVICE + "    cors: {allowed_origins: []}\n",
        [(4, "services.abc.cors.allowed_origins", "expected at least 1 entry, got an empty list")],
    ),
    (
        SERVICE + "    rate_limits: [{name: '-', requests: 1}]\n",
        [(4, "services.abc.rate_limits[0].name", "expected a name of letters, digits, '-', '_' and '.'")],
    ),
    (
        SERVICE + "    rate_limits: [{name: a, requests: 1}, {name: a, requests: 2}]\n",
        [(2, "services.abc", "two rate_limits have the same name; clients and metrics tell them apart by it")],
    ),
    (
        SERVICE + "    compute_type: ACI\n    token_auth_enabled: true\n",
        [(2, "services.abc", "token_auth_enabled is impossible with compute_type ACI; use AKS")],
    ),
    (
        SERVICE + "    request_headers: {set: {a b: x}}\n",
        [(4, "services.abc.request_headers.set['a b']", "'a b' is no header or method name")],
    ),
    (
        SERVICE + "    deployments: {Blue: {backends: [], traffic: 200}}\n",
        [
            (4, "services.abc.deployments.Blue", "as a name: expected a name of lowercase letters"),
            (4, "services.abc.deployments.Blue.backends", "expected at least 1 entry, got an empty list"),
            (4, "services.abc.deployments.Blue.traffic", "expected a number of at most 100, got the number 200"),
        ],
    ),
    # contradictions between blocks
    (
        "admin:\n  listen: 127.0.0.1:8443\n",
        [(2, "admin.listen", "127.0.0.1:8443 is taken by scoring.listen; give each listener a port of its own")],
    ),
    (
        "scoring:\n  tls:\n    certificate: a.crt\n",
        [(3, "scoring.tls.certificate", "has no private_key beside it; give both, or neither for the generated pair")],
    ),
    (
        SERVICE
        + "    hosts: [A.example.com]\n  abd:\n    backends: [http://h]\n    hosts: [b.example.com, a.example.com]\n",
        [(7, "services.abd.hosts[1]", "a.example.com leads to services.abc already; a host has one service")],
    ),
    # secrets from elsewhere
    (
        SERVICE + "    keys: {primary: env:NOPE, secondary: file:nope.key}\n",
        [
            (4, "services.abc.keys.primary", "the environment variable NOPE is not set"),
            (4, "services.abc.keys.secondary", "nope.key cannot be read: No such file or directory"),
        ],
    ),
    (
        SERVICE + "    keys: {primary: 'env:', secondary: 'file:'}\n",
        [
            (4, "services.abc.keys.primary", "env: takes the name of a variable, as env:DIABETES_PRIMARY_KEY"),
            (4, "services.abc.keys.secondary", "cannot be read: Is a directory"),
        ],
    ),
    (
        SERVICE + "    keys:\n      primary: a b\n      secondary: sg1_" + "0" * 42 + "\n",
        [
            (5, "services.abc.keys.primary", "this key has characters that cannot stand in an Authorization header"),
            (
                6,
                "services.abc.keys.secondary",
                "this key looks like a generated key (sg1_…) whose checksum does not fit",
            ),
        ],
    ),
    (
        SERVICE + "    keys: {primary: same, secondary: same}\n",
        [(4, "services.abc.keys", "primary and secondary must differ, else neither can be rotated")],
    ),
    (SERVICE + "    keys: {primary: one}\n", [(4, "services.abc.keys.secondary", "is missing, and has no default")]),
]


def mistakes_in(text, folder, environ=None):
    """The errors of a text, as ConfigErrors holds them."""
    file = folder / "gateway.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load(file, environ or {})
    return caught.value.errors


def outcome(file):
    """The errors of a file; none when it loads."""
    try:
        load(file, {})
    except ConfigErrors as errors:
        return errors.errors
    return ()


@pytest.mark.parametrize(
    ("text", "expected"), MISTAKES, ids=[f"{i}-{case[1][0][1]}" for i, case in enumerate(MISTAKES)]
)
def test_a_mistake_names_line_key_and_remedy(tmp_path, text, expected):
    """Every mistake of the table, and nothing but it, is told at its line with its key."""
    found = mistakes_in(text, tmp_path)
    assert [(error.line, error.key) for error in found] == [(line, key) for line, key, _ in expected]
    for error, (_, _, reason) in zip(found, expected, strict=True):
        assert reason in error.reason
        assert error.file == str(tmp_path / "gateway.yaml")


@pytest.mark.parametrize("text", ["", SERVICE, "scoring: {}\n" + SERVICE + "    cors: null\n"])
def test_control_a_sound_file_is_not_refused(tmp_path, text):
    """The base of the table's cases loads, so that each case fails for the one thing it changes."""
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    load(file, {})


def test_all_mistakes_come_together_sorted_by_line(tmp_path, monkeypatch):
    """Five mistakes of different kinds are shown in one go, one per line, the environment's last."""
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(
        "data_dir: a\ndata_dir: b\nscoring:\n  listn: x\n" + SERVICE + "    keys: {primary: env:X}\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        load(Path("c.yaml"), {"SCOREGATE__SCORING__WORKERS": "x"})
    assert str(caught.value).splitlines() == [
        "c.yaml:2: data_dir: stands twice, first in line 1; keep one",
        "c.yaml:4: scoring.listn: unknown key; did you mean listen?",
        "c.yaml:8: services.abc.keys.primary: the environment variable X is not set",
        "c.yaml:8: services.abc.keys.secondary: is missing, and has no default; give it here",
        "environment: SCOREGATE__SCORING__WORKERS: expected 'auto' or a whole number, got the text 'x'",
    ]


def test_a_broken_file_is_a_config_error_and_never_another_exception(tmp_path):
    """Three hundred seeded mutilations of the reference load or raise ConfigErrors; some of each, as control."""
    source = Path(__file__).parents[2].joinpath("config/gateway.yaml").read_text(encoding="utf-8")
    lines = [line.split("#")[0].rstrip() for line in source.splitlines()]
    lines = [line for line in lines if line]
    dice = random.Random(2)
    outcomes = {True: 0, False: 0}
    file = tmp_path / "gateway.yaml"
    for _ in range(300):
        text = list("\n".join(lines))
        for _ in range(dice.randint(1, 2)):
            # Digits do no harm in many places: some of the results must load.
            anything = string.printable + "é\U0001f600"
            text[dice.randrange(len(text))] = dice.choice(dice.choice((string.digits, anything)))
        file.write_text("".join(text), encoding="utf-8")
        errors = outcome(file)
        assert all(error.file and error.reason for error in errors)
        outcomes[not errors] += 1
    assert min(outcomes.values()) > 10
