"""Who may ask for what: keys, their file, roles, places and throttles."""

import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Scope

from service import addresses
from service.access import keys
from service.access.keys import Keyring, KeysError, Role
from service.access.rules import Access
from service.access.throttle import Throttle
from service.configuration.settings import Settings
from service.errors import Forbidden, TooManyRequests, Unauthorized
from service.routes import explain, health, models, predict
from service.routes.direct import DirectRoute
from tests import worlds
from tests.processes import until


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting of the developer's own out of the environment."""
    for name in [name for name in os.environ if name.upper().startswith("STRIATE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def add(file: Path, *roles: Role, **options: Any) -> str:
    """Append a new key to the file and return it."""
    key, entry = keys.new(roles or ("predict",), **options)
    with file.open("a") as opened:
        opened.write(entry)
    return key


def head(
    *headers: tuple[str, str],
    query: str = "",
    client: str = "127.0.0.1",
    server: str = "127.0.0.1",
    port: int = 8000,
) -> Scope:
    return {
        "type": "http",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "query_string": query.encode(),
        "client": (client, 50_000),
        "server": (server, port),
    }


def bearer(key: str, **options: Any) -> Scope:
    return head(("Authorization", f"Bearer {key}"), **options)


# Keys and their file


def test_a_key_is_random_and_kept_only_as_a_hash(file: Path) -> None:
    """A key has 256 random bits after its id; its entry holds the id and the SHA-256 of the rest (I3)."""
    made = [keys.new(("predict",)) for _ in range(50)]
    secrets = [key.partition(".")[2] for key, _ in made]
    assert len(set(secrets)) == 50
    for (key, entry), secret in zip(made, secrets, strict=True):
        assert len(secret) >= 43
        assert secret not in entry
        assert f'id = "{key.partition(".")[0]}"' in entry


def test_several_keys_are_valid_at_a_time(file: Path) -> None:
    """Both keys of a change-over are let in (I3)."""
    old, new = add(file), add(file)
    access = Access(Settings(keys_file=file))
    access.check(bearer(old), "predict")
    access.check(head(("X-API-Key", new)), "predict")


def test_a_withdrawn_key_ends_within_5_seconds(file: Path) -> None:
    """The file is followed while the service runs: a key that is taken out of it is no longer let in (I3)."""
    old = add(file)
    access = Access(Settings(keys_file=file))
    access.start()
    try:
        file.write_text("")
        new = add(file)
        until(lambda: not access.may(bearer(old), "predict"), seconds=5)
        access.check(bearer(new), "predict")
    finally:
        access.close()


@pytest.mark.parametrize(
    "text",
    [
        "no toml [",
        "x = " + "[" * 100_000,
        "x = " + "1" * 5000,
        "\xff",
        "[[keys]]\nid = 'a'",
        "[[keys]]\nid='a'\nsha256='x'\nroles=['predict']",
        "[[keys]]\nid='a'\nsha256='" + "0" * 64 + "'\nroles=['root']",
        "[[keys]]\nid='a'\nsha256='" + "0" * 64 + "'\nroles=[]",
        "[[keys]]\nid='a'\nsha256='" + "0" * 64 + "'\nroles=['predict']\nexpires=2027-01-01T00:00:00",
        "[[keys]]\nid='a b'\nsha256='" + "0" * 64 + "'\nroles=['predict']",
        ("[[keys]]\nid='a'\nsha256='" + "0" * 64 + "'\nroles=['predict']\n") * 2,
        "canarycanary = 1",
        "#" * (2**20 + 1),
        None,
    ],
)
def test_a_broken_file_keeps_the_keys_and_is_logged(
    file: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A new file that cannot be used, or none, changes nothing but the log, which repeats none of it (I3)."""
    key = add(file)
    ring = Keyring(file)
    if text is None:
        file.unlink()
    else:
        file.write_bytes(text.encode("latin-1"))
    ring.refresh()
    ring.refresh()
    assert ring.find(*_halves(key))
    (line,) = worlds.logged(caplog, "service")
    assert "the keys stay as they were" in line
    assert "canary" not in caplog.text


def test_an_emptied_file_withdraws_every_key(file: Path) -> None:
    """A file without entries is a good file: nobody is let in (I3)."""
    key = add(file)
    ring = Keyring(file)
    file.write_text("")
    ring.refresh()
    assert ring.find(*_halves(key)) is None


def _halves(key: str) -> tuple[str, bytes]:
    key_id, _, secret = key.partition(".")
    return key_id, secret.encode()


def test_a_key_ends_when_it_expires(file: Path) -> None:
    """A key is let in until its time, and not after it (I3)."""
    now = datetime.now(UTC)
    add(file)
    past, later = add(file, expires=now - timedelta(1)), add(file, expires=now + timedelta(1))
    access = Access(Settings(keys_file=file))
    assert access.may(bearer(later), "predict")
    assert not access.may(bearer(past), "predict")


def test_a_file_without_a_valid_key_stops_the_start(file: Path) -> None:
    """Nobody could ever ask: that is told at once, with the command that helps."""
    add(file, expires=datetime.now(UTC) - timedelta(1))
    with pytest.raises(KeysError, match="keys new"):
        Access(Settings(keys_file=file))


def test_a_file_that_everybody_may_write_is_refused(file: Path) -> None:
    """Who may write the file may let anybody in."""
    add(file)
    file.chmod(0o666)
    with pytest.raises(KeysError, match="chmod o-w"):
        Keyring(file)


def test_comparing_tells_nothing_by_its_time(file: Path) -> None:
    """A secret wrong in its first sign takes as long as one wrong in its last, or an unknown id (I2)."""
    key_id, secret = _halves(add(file))
    ring = Keyring(file)
    wrong = {
        "first": (key_id, bytes([secret[0] ^ 1]) + secret[1:]),
        "last": (key_id, secret[:-1] + bytes([secret[-1] ^ 1])),
        "unknown": ("k00000000", secret),
    }
    times: dict[str, list[int]] = {name: [] for name in wrong}
    for _ in range(2000):
        for name, halves in wrong.items():
            started = time.perf_counter_ns()
            found = ring.find(*halves)
            times[name].append(time.perf_counter_ns() - started)
            assert found is None
    medians = [statistics.median(each) for each in times.values()]
    assert max(medians) < 1.5 * min(medians)


def test_the_command_makes_a_key_that_is_let_in(file: Path) -> None:
    """`python -m service keys new` gives the entry to stdout and the key, once, to stderr."""
    command = [sys.executable, "-m", "service", "keys", "new", "--role", "predict", "--role", "metrics"]
    command += ["--expires-days", "1", "--comment", 'the "app" \\ b\u00e4r']
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    key = done.stderr.split()[-1]
    assert key.partition(".")[2] not in done.stdout
    file.write_text(done.stdout)
    (entry,) = keys.read(file).values()
    assert entry.roles == frozenset[Role](["predict", "metrics"])
    assert entry.comment == 'the "app" \\ b\u00e4r'
    Access(Settings(keys_file=file)).check(bearer(key), "metrics")


# Sending a key


def test_no_key_is_401(file: Path) -> None:
    """Without a key the answer says how one is sent (I1)."""
    add(file)
    with pytest.raises(Unauthorized, match="Authorization: Bearer") as caught:
        Access(Settings(keys_file=file)).check(head(("Accept", "*/*")), "predict")
    assert not caught.value.key_was_sent


@pytest.mark.parametrize(
    "made",
    [
        lambda key: head(("Authorization", "")),
        lambda key: head(("Authorization", "Bearer")),
        lambda key: head(("Authorization", "Bearer ")),
        lambda key: head(("Authorization", key)),
        lambda key: head(("Authorization", f"Basic {key}")),
        lambda key: head(("Authorization", f"Bearer\t{key}")),
        lambda key: bearer(key[:-1]),
        lambda key: bearer(key + "x"),
        lambda key: bearer(key.partition(".")[0]),
        lambda key: bearer("." + key.partition(".")[2]),
        lambda key: bearer("-." + key.partition(".")[2]),
        lambda key: bearer(key.upper()),
        lambda key: bearer("\xff\xfe.\xff"),
        lambda key: bearer("x" * 2**20),
        lambda key: bearer(key + "x" * 2**20),
        lambda key: head(("X-API-Key", "")),
        lambda key: head(("X-API-Key", f"Bearer {key}")),
        lambda key: head(("X-API-Key", key), ("X-API-Key", key)),
        lambda key: head(("X-API-Key", key), ("Authorization", f"Bearer {key}")),
        lambda key: head(("Authorization", f"Bearer {key}, Bearer {key}")),
        lambda key: bearer(key, query=f"key={key}"),
        lambda key: bearer(key, query=f"model=pets&API_KEY={key}"),
        lambda key: head(query=f"access_token={key}"),
    ],
)
def test_wrong_keys_are_401(file: Path, made: Any) -> None:
    """A key that is wrong, empty, sent twice, overlong or in the query is not let in (I1)."""
    key = add(file)
    with pytest.raises(Unauthorized) as caught:
        Access(Settings(keys_file=file)).check(made(key), "predict")
    assert caught.value.key_was_sent
    assert key not in caught.value.detail


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_has_no_case(file: Path, scheme: str) -> None:
    """The scheme's name is not case-sensitive (RFC 9110, section 11.1)."""
    key = add(file)
    Access(Settings(keys_file=file)).check(head(("Authorization", f"{scheme} {key}")), "predict")


def test_a_wrong_role_is_403(file: Path) -> None:
    """A key opens what its roles say and nothing else (I5)."""
    by_role: dict[Role, str] = {role: add(file, role) for role in ("predict", "operate", "metrics")}
    access = Access(Settings(keys_file=file))
    for having, key in by_role.items():
        for needed in by_role:
            if having == needed:
                access.check(bearer(key), needed)
            else:
                with pytest.raises(Forbidden, match=needed):
                    access.check(bearer(key), needed)


def test_every_route_has_a_role() -> None:
    """Only the two probes are open; a route that declares nothing is for operators."""
    roles = {
        route.path: route.role
        for face in (predict, explain, models, health)
        for route in face.router.routes
        if isinstance(route, DirectRoute)
    }
    assert {path for path, role in roles.items() if role is None} == {"/livez", "/readyz"}
    assert {path for path, role in roles.items() if role == "predict"} == {
        "/classify",
        "/localize",
        "/segment",
        "/explain",
        "/summary",
    }
    assert roles["/metrics"] == "metrics"

    async def endpoint() -> None: ...

    assert DirectRoute("/x", endpoint).role == "operate"


# Where keys are needed


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({}, False),
        ({"host": "127.8.9.1"}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "10.1.2.3"}, True),
        ({"host": "example.org"}, True),
        ({"host": ""}, True),
        ({"host": "0.0.0.0", "auth": "off"}, False),
        ({"auth": "on"}, True),
        ({"host": "0.0.0.0", "published_host": "127.0.0.1"}, False),
        ({"host": "127.0.0.1", "published_host": "0.0.0.0"}, True),
        ({"admin_port": 0, "admin_host": "0.0.0.0"}, True),
        ({"admin_port": 0}, False),
    ],
)
def test_keys_are_needed_beyond_this_machine(options: dict[str, Any], needed: bool) -> None:
    """Where others reach the service, it starts with keys or with auth=off, never open by accident."""
    settings = Settings.model_validate(options)
    assert settings.keys_needed == needed
    assert settings.docs_shown != needed
    if needed:
        with pytest.raises(KeysError, match="STRIATE_KEYS_FILE"):
            Access(settings)
    else:
        assert not Access(settings).keys_needed


def test_a_key_file_means_that_keys_are_needed(file: Path) -> None:
    """Behind a proxy on the same machine a key file is enough to ask for keys."""
    add(file)
    assert Settings(keys_file=file).keys_needed
    assert not Settings(keys_file=file, auth="off").keys_needed


@pytest.mark.parametrize("name", ["keys_file", "admin_port", "tls_cert_file", "tls_key_file"])
def test_an_empty_variable_is_as_good_as_absent(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What a compose file passes on empty is not set."""
    monkeypatch.setenv(f"STRIATE_{name.upper()}", "")
    assert getattr(Settings(), name) is None


def test_settings_survive_the_way_to_a_worker(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has the same settings, absent ones too."""
    settings = Settings(keys_file=file, auth="on", key_requests_per_second=2.5)
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_another_server_does_not_open_it_by_accident() -> None:
    """Settings for this machine only, but a connection from outside: refused, unless it was meant so."""
    outside = head(server="192.0.2.1", client="192.0.2.9")
    with pytest.raises(Forbidden, match="own machine only"):
        Access(Settings()).check(outside, "predict")
    assert not Access(Settings()).may(outside, "operate")
    Access(Settings(auth="off")).check(outside, "predict")
    Access(Settings(host="0.0.0.0", published_host="127.0.0.1")).check(outside, "predict")


@pytest.mark.parametrize(
    "scope",
    [
        head(client="192.0.2.9"),
        head(client="::ffff:192.0.2.9"),
        head(("X-Forwarded-For", "127.0.0.1")),
        head(("Forwarded", "for=127.0.0.1")),
        head(("Origin", "http://127.0.0.1:8000")),
        head(("Origin", "null")),
    ],
)
def test_without_keys_only_this_machine_may_operate(scope: Scope) -> None:
    """Neither another machine, nor a proxy's client, nor a web page in a browser here may operate (I6)."""
    access = Access(Settings(auth="off"))
    access.check(scope, "predict")
    access.check(head(), "operate")
    access.check(head(client="::ffff:127.0.0.1"), "operate")
    with pytest.raises(Forbidden):
        access.check(scope, "operate")


def test_administration_is_hidden_from_the_other_port() -> None:
    """With a port of its own, administration is on that port only, whatever Host says (I6)."""
    access = Access(Settings(admin_port=9000))
    for role in ("operate", "metrics"):
        assert access.hides(head(("Host", "localhost:9000"), port=8000), role)
        assert not access.hides(head(port=9000), role)
    assert not access.hides(head(port=8000), "predict")
    assert not Access(Settings()).hides(head(), "metrics")


# Throttles


def test_wrong_keys_are_throttled_by_address(file: Path) -> None:
    """After too many wrong keys an address gets 429; a right key of the same address is still let in (I4)."""
    key = add(file)
    access = Access(Settings(keys_file=file, auth_failures_per_minute=3))
    for _ in range(3):
        with pytest.raises(Unauthorized):
            access.check(bearer("a.b"), "predict")
    with pytest.raises(TooManyRequests) as caught:
        access.check(bearer("a.b"), "predict")
    assert 1 <= caught.value.retry_after <= 20
    access.check(bearer(key), "predict")
    with pytest.raises(Unauthorized):
        access.check(bearer("a.b", client="127.0.0.2"), "predict")


def test_a_forged_client_address_does_not_dodge_the_throttle(file: Path) -> None:
    """X-Forwarded-For counts only from a trusted proxy, and only as far as trusted proxies wrote it (A24)."""
    add(file)

    def attempt(access: Access, number: int, peer: str) -> None:
        forged = ("X-Forwarded-For", f"203.0.113.{number}, 198.51.100.7")
        access.check(head(forged, ("X-API-Key", "a.b"), client=peer), "predict")

    for settings, peer in (
        (Settings(keys_file=file, auth_failures_per_minute=1), "192.0.2.1"),
        (Settings(keys_file=file, auth_failures_per_minute=1, trusted_proxies="192.0.2.0/24"), "192.0.2.1"),
    ):
        access = Access(settings)
        with pytest.raises(Unauthorized):
            attempt(access, 1, peer)
        with pytest.raises(TooManyRequests):
            attempt(access, 2, peer)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.5"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.5, 10.0.0.2"], "203.0.113.5"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", ["<script>"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("2001:db8::1", [], "2001:db8::/64"),
        ("2001:db8::2:1", [], "2001:db8::/64"),
        ("not an address", ["203.0.113.5"], "unknown"),
    ],
)
def test_the_client_is_the_first_that_no_trusted_proxy_invented(
    peer: str, forwarded: list[str], client: str
) -> None:
    """The address is read from the right; an IPv6 network counts as one client (A24)."""
    assert addresses.client(peer, forwarded, addresses.networks("10.0.0.0/8")) == client


def test_mapped_networks_are_what_they_map() -> None:
    """A trusted network may be written as IPv4 within IPv6; a wider one holds both kinds of its own only."""
    (mapped,) = addresses.networks("::ffff:10.0.0.0/104")
    assert mapped == addresses.networks("10.0.0.0/8")[0]
    assert addresses.client("::ffff:10.0.0.1", ["203.0.113.5"], [mapped]) == "203.0.113.5"
    assert addresses.client("10.0.0.1", ["::ffff:203.0.113.5"], [mapped]) == "203.0.113.5"
    assert addresses.is_loopback("::ffff:127.0.0.1")
    assert not addresses.is_loopback("::ffff:192.0.2.1")


@pytest.mark.parametrize("text", ["x", "10.0.0.1/8", "10.0.0.0/33", "*"])
def test_wrong_networks_stop_the_start(text: str) -> None:
    """A network that is none is an error that says how one is written."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/8"):
        Settings(trusted_proxies=text)


def test_a_key_has_a_rate(file: Path) -> None:
    """One key past its rate gets 429 and when to come back; another one is not touched (F10)."""
    greedy, other = add(file), add(file)
    access = Access(Settings(keys_file=file, key_requests_per_second=2))
    for _ in range(2):
        access.check(bearer(greedy), "predict")
    with pytest.raises(TooManyRequests) as caught:
        access.check(bearer(greedy), "predict")
    assert caught.value.retry_after == 1
    access.check(bearer(other), "predict")


def test_tokens_come_back_with_time() -> None:
    """A bucket fills at its rate up to its burst, and says how long until there is a token."""
    now = 100.0
    throttle = Throttle(2, 3, clock=lambda: now)
    assert [throttle.take("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    now += 0.5
    assert [throttle.take("a") for _ in range(2)] == [0, 0.5]
    now += 1000
    assert [throttle.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_a_throttle_s_memory_is_bounded() -> None:
    """However many addresses come, the table keeps to its size and to those seen last (I4)."""
    throttle = Throttle(1e-6, 1, most=100)
    for number in range(10_000):
        throttle.take(str(number))
    assert len(throttle._buckets) == 100
    assert throttle.take("9999") > 0
    assert throttle.take("0") == 0


@pytest.mark.parametrize(
    "options",
    [{"tls_cert_file": "a"}, {"tls_key_file": "a"}, {"port": 9, "admin_port": 9}],
)
def test_settings_that_contradict_each_other_stop_the_start(options: dict[str, Any]) -> None:
    """Half of a certificate's pair, or one port for two listeners, is an error."""
    with pytest.raises(ValueError, match=r"together|differ"):
        Settings.model_validate(options)
