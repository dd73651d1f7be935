"""Which fields pass, in both directions: nothing of one hop on the next, and nobody speaks for the gateway."""

from __future__ import annotations

import pytest

from gateway.core import hygiene
from gateway.core.exchange import Caller, Exchange
from gateway.core.spec import RequestHeadersSpec

NO_RULES = RequestHeadersSpec()
KEY = Caller("key", "diabetes/primary", "k_1", "primary")


def triples(*fields):
    return [(name.lower(), name, value) for name, value in fields]


def exchange(*fields, caller=KEY, secure=True):
    """A request of a known caller with these (name, value) fields."""
    made = Exchange(b"POST", b"/score", b"", triples(*fields), peer="10.0.0.9", secure=secure)
    made.address = "203.0.113.7"
    made.request_id = "r-1"
    made.caller = caller
    return made


def sent(made, rules=NO_RULES):
    """(lower-case name, value) of each line that the backend gets."""
    lines = hygiene.to_backend(made, rules)
    assert all(line.endswith(b"\r\n") and line.count(b"\r\n") >= 1 for line in lines)
    pairs = [line.partition(b": ") for line in b"".join(lines).removesuffix(b"\r\n").split(b"\r\n")]
    return [(name.lower(), value) for name, _, value in pairs]


IDENTITY = [
    (b"x-request-id", b"r-1"),
    (b"x-ms-client-request-id", b"r-1"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
    (b"x-scoregate-auth-type", b"key"),
    (b"x-scoregate-caller", b"diabetes/primary"),
    (b"x-scoregate-key-id", b"k_1"),
    (b"x-forwarded-host", b""),
]


def passed(*fields, rules=NO_RULES):
    """What of these fields reaches the backend beside the gateway's own."""
    found = sent(exchange(*fields), rules)
    assert found[-len(IDENTITY) : -1] == IDENTITY[:-1], "the gateway's own fields come last, whole, once"
    return found[: -len(IDENTITY)]


def test_ordinary_fields_pass_as_sent():
    """Name in the caller's spelling, value byte for byte, order and repetition kept."""
    fields = [(b"Content-Type", b"a"), (b"X-B", b"\xe9"), (b"accept", b"1"), (b"Accept", b"2"), (b"traceparent", b"00")]
    lines = hygiene.to_backend(exchange(*fields), NO_RULES)
    assert lines[: len(fields)] == [name + b": " + value + b"\r\n" for name, value in fields]


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"Proxy-Authenticate",
        b"Proxy-Authorization",
        b"Proxy-Authentication-Info",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
        b"HTTP2-Settings",
    ],
)
def test_what_is_for_one_hop_ends_there(name):
    """Hop-by-hop fields (RFC 9110 section 7.6.1) pass in neither direction."""
    assert passed((name, b"x"), (b"X-Keep", b"1")) == [(b"x-keep", b"1")]
    assert hygiene.from_backend(triples((name, b"x"), (b"X-Keep", b"1")), b"") == [b"X-Keep: 1\r\n"]


@pytest.mark.parametrize(
    "connection", [b"x-secret", b"X-Secret", b"close, x-secret", b"keep-alive ,\tX-SECRET,,", b"a,x-secret"]
)
def test_what_connection_names_ends_there(connection):
    """Fields that a Connection field declares for this hop are removed, however it spells them."""
    fields = [(b"Connection", connection), (b"X-Secret", b"1"), (b"X-Keep", b"2")]
    assert passed(*fields) == [(b"x-keep", b"2")]
    assert hygiene.from_backend(triples(*fields), connection) == [b"X-Keep: 2\r\n"]


def test_two_connection_fields_are_one_list():
    """A nomination in the second counts too."""
    fields = [(b"Connection", b"close"), (b"connection", b"x-secret"), (b"X-Secret", b"1")]
    assert passed(*fields) == []


def test_options_of_connection_are_no_names():
    """`close` and `keep-alive` are said about the connection and nominate nothing."""
    assert hygiene.nominated(b"close, Keep-Alive, , X-A") == {b"x-a"}
    assert hygiene.nominated(b"") == frozenset()


def test_a_caller_cannot_nominate_our_identity_away():
    """Nominating the gateway's own fields removes the caller's, never ours."""
    names = b"x-request-id, x-forwarded-for, x-scoregate-caller"
    assert passed((b"Connection", names), (b"X-Scoregate-Caller", b"root")) == []


@pytest.mark.parametrize(
    "name",
    [
        b"X-Scoregate-Caller",
        b"x-scoregate-key-id",
        b"X-SCOREGATE-anything",
        b"X-Forwarded-For",
        b"X-Forwarded-Host",
        b"X-Forwarded-Prefix",
        b"Forwarded",
        b"X-Real-IP",
        b"X-Request-Id",
        b"X-Ms-Client-Request-Id",
        b"Host",
        b"Content-Length",
        b"Expect",
    ],
)
def test_a_caller_does_not_speak_for_the_gateway(name):
    """Identity, forwarding and framing fields of the caller never reach the backend."""
    assert passed((name, b"spoofed")) == []


@pytest.mark.parametrize("name", [b"X_Scoregate_Caller", b"X-Scoregate_Caller", b"Content_Length", b"a_b"])
def test_names_with_underscores_are_removed(name):
    """Some backends read an underscore as a hyphen: this is the back door to the fields above."""
    assert passed((name, b"spoofed")) == []


def test_credentials_end_at_the_gateway():
    """Neither key nor token is shown to a model; a cookie is the model's own business."""
    fields = [(b"Authorization", b"Bearer hunter2"), (b"Proxy-Authorization", b"Basic x"), (b"Cookie", b"c=1")]
    assert passed(*fields) == [(b"cookie", b"c=1")]


def test_the_backend_is_told_who_calls():
    """Address, scheme, host, credential's name, request ids: each once."""
    made = exchange((b"Host", b"score.example.com:8443"))
    assert sent(made) == [*IDENTITY[:-1], (b"x-forwarded-host", b"score.example.com:8443")]


def test_a_caller_without_a_key_has_no_key_id():
    """A plain connection and an anonymous caller are told as such, and the caller's own id is passed on."""
    made = exchange(caller=Caller("none", "anonymous"), secure=False)
    made.client_request_id = "c-9"
    found = dict(sent(made))
    assert found[b"x-forwarded-proto"] == b"http"
    assert found[b"x-scoregate-auth-type"] == b"none"
    assert found[b"x-scoregate-caller"] == b"anonymous"
    assert found[b"x-ms-client-request-id"] == b"c-9"
    assert b"x-scoregate-key-id" not in found


def test_a_name_beyond_latin_1_stays_one_line():
    """A subject in another script is shown with question marks rather than breaking the head."""
    found = dict(sent(exchange(caller=Caller("token", "алиса ü", "t"))))
    assert found[b"x-scoregate-caller"] == b"????? \xfc"


@pytest.mark.parametrize("subject", ["a\r\nx-scoregate-caller: root", "a\nb", "a\rb", "a\0b"])
def test_a_subject_cannot_add_a_line(subject):
    """Whatever a token names its caller, the backend gets one line about it."""
    lines = sent(exchange(caller=Caller("token", subject, "t")))
    assert [name for name, _ in lines] == [name for name, _ in IDENTITY]
    assert not set(dict(lines)[b"x-scoregate-caller"]) & set(b"\r\n\0")


def test_an_owner_sets_and_removes_fields():
    """Names in any case: a set field replaces the caller's, a removed one does not pass."""
    rules = RequestHeadersSpec({"X-Model": "ü", "authorization": "Bearer backend"}, ("Cookie", "x-b"))
    fields = [(b"x-model", b"theirs"), (b"COOKIE", b"c"), (b"X-B", b"1"), (b"X-C", b"2"), (b"Authorization", b"theirs")]
    assert passed(*fields, rules=rules) == [
        (b"x-c", b"2"),
        (b"x-model", b"\xfc"),
        (b"authorization", b"Bearer backend"),
    ]


@pytest.mark.parametrize("rules", [RequestHeadersSpec({"x-a": "1"}), RequestHeadersSpec(remove=("x-a",))])
def test_one_rule_is_enough(rules):
    """Setting without removing, and removing without setting."""
    assert (b"x-a", b"theirs") not in passed((b"X-A", b"theirs"), rules=rules)


def test_an_owner_cannot_remove_what_the_gateway_says():
    """The identity fields stand, also when the rules name them."""
    assert (
        passed((b"X-Request-Id", b"x"), rules=RequestHeadersSpec(remove=("x-request-id", "x-scoregate-caller"))) == []
    )


@pytest.mark.parametrize(
    "name",
    [
        b"Access-Control-Allow-Origin",
        b"access-control-allow-credentials",
        b"ACCESS-CONTROL-EXPOSE-HEADERS",
        b"Content-Length",
        b"X-Request-Id",
        b"x-ms-client-request-id",
        b"Server-Timing",
    ],
)
def test_a_backend_does_not_speak_for_the_gateway(name):
    """Who may read an answer, how long it is and what it is called, the gateway says."""
    assert hygiene.from_backend(triples((name, b"*")), b"") == []


def test_an_answer_passes_as_sent():
    """Everything else of a backend, repeated fields included, in its spelling and order."""
    fields = [(b"Content-Type", b"a"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b"), (b"x_y", b"\xe9"), (b"Vary", b"A")]
    assert hygiene.from_backend(triples(*fields), b"") == [n + b": " + v + b"\r\n" for n, v in fields]


def test_control_a_filter_that_passes_all_is_seen(monkeypatch):
    """With the lists emptied, spoofed fields do pass: the tests above can fail."""
    monkeypatch.setattr(hygiene, "_NOT_FROM_CLIENTS", frozenset())
    monkeypatch.setattr(hygiene, "_OURS", ())
    monkeypatch.setattr(hygiene, "_from_clients", hygiene._Names(hygiene._from_clients._passes))
    assert (b"x-scoregate-caller", b"root") in passed((b"X-Scoregate-Caller", b"root"))


def test_many_names_are_forgotten_and_judged_anew(monkeypatch):
    """Names come from clients: as many as they like do not stay in memory, and are judged the same each time."""
    monkeypatch.setattr(hygiene, "MAX_NAMES", 4)
    fields = [(b"x-a%d" % number, b"1") for number in range(10)]
    for _ in range(2):
        assert passed(*fields, (b"Authorization", b"s")) == fields
    assert len(hygiene._from_clients) <= 4


def test_lines_that_are_known_already():
    """What a memo of the head says passes in place of the fields; the gateway's own come behind as always."""
    made = exchange((b"X-A", b"1"))
    made.passing = b"X-B: 2\r\n"
    assert sent(made) == [(b"x-b", b"2"), *IDENTITY]
