# SPDX-License-Identifier: Apache-2.0
"""Somebody hostile on the management network, signed in: a mutator over every method of the API's own document, as a tenant's owner and as one
of the provider's. No answer is a failure of the unit's (5xx), none has a word of another tenant's, and no daemon ends.

SEKISHO_FUZZ_SEED repeats a run; its seed is printed. It takes about a minute: a bound, no assertion."""

import http.client
import json
import os
import random
import ssl
import time
from urllib.parse import quote

import pytest
from lab.api import Api, Refused, inside, invite
from lab.lab import DEMO_CONFIG, Lab
from lab.system import wait_until
from variants import with_change

ACME, GLOBEX = "acm00000001", "glx00000001"
PASSWORD = "correct horse battery 7"
SECONDS, BYTES_MAX = 50, 65000
CANARY = "canary-of-globex-7f3a"  # a rule of globex; never sent
FOREIGN = {"owner": (CANARY, "globex"), "p-ops": (CANARY,)}  # the provider's people read tenants' names, not what is in them
# What ends the session or the contract, or may be tried twenty times a minute, comes last.
LAST = ("SetPassword", "EndContract", "EraseEarly", "Login", "LoginByLink", "EndMySessions", "Logout")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    head, acme, globex = DEMO_CONFIG.read_text().split("  - service_code: ")
    named = globex.replace("name: web for the office", f"name: {CANARY}")
    assert named != globex
    config = with_change(DEMO_CONFIG, globex, named, folder)
    assert config.read_text().startswith(head + "  - service_code: " + acme)
    with Lab(config=config) as built:
        portal = built.root / "out" / "portal"
        portal.mkdir()
        (portal / "index.html").write_text("<!doctype html><title>portal</title>")
        built.appliance.start_management(portal)
        yield built
        print(f"--- mgmtd\n{built.appliance.output('mgmtd')[-3000:]}\n--- controld\n{built.appliance.output('controld')[-3000:]}")


def browser(lab):
    return Api(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)


class People:
    """Somebody of each role, signed in; somebody new when a request has ended his session."""

    def __init__(self, lab):
        self.lab, self.made, self.now = lab, 0, {}

    def of(self, role):
        if role not in self.now:
            self.now[role] = wait_until(lambda: self._welcomed(role), 90, "a sign-in", every=1)
        return self.now[role]

    def _welcomed(self, role):
        """Somebody new signed in; nobody while a minute's attempts are spent, and his link perhaps with them."""
        self.made += 1
        link = invite(self.lab.appliance, f"{role}{self.made}" + ("" if role.startswith("p-") else f"@{ACME}"), role)
        api = browser(self.lab)
        try:
            api.welcome(link, PASSWORD)
        except Refused as refused:
            if refused.status != 429:
                raise
            return None
        return api

    def forget(self, role):
        self.now.pop(role, None)


# --- values --------------------------------------------------------------------------------------------------------------------------------------

WORDS = ("", " ", ACME, GLOBEX, "nobody", f"owner@{GLOBEX}", "../../platform/config", "%2e%2e%2f", "\x00", "\ud7ff\u202e\u0007", "A" * 300, "é" * 5000, "-1",
         "18446744073709551616", "NaN", "true", "null", "10.0.0.2/33", "::ffff:10.0.0.2", "2026-02-30T25:61:61Z", "9999-12-31T23:59:59Z", "{{7*7}}", "'; --",
         "web1-eth0", "pc2-eth0", "comm", "equal", "month", "csv", "=cmd|' /C calc'!A0", "(set)", "\n\r\nSet-Cookie: a=b", "a,b;c|d", "tcp", "allow")
NUMBERS = (0, 1, -1, 2, 60, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63, -2**63, 2**64, 1e308, -0.0, 0.5, 1e-320)


class Mutator:
    def __init__(self, seed, document):
        self.random, self.document = random.Random(seed), document

    def word(self):
        return self.random.choice(WORDS)

    def anything(self, depth=0):
        kind = self.random.randrange(8)
        if kind < 3 or depth > 3:
            return self.random.choice((None, True, False, self.word(), self.random.choice(NUMBERS)))
        if kind < 5:
            return [self.anything(depth + 1) for _ in range(self.random.randrange(4))]
        if kind < 7:
            return {self.word() or "a": self.anything(depth + 1) for _ in range(self.random.randrange(4))}
        deep = self.word()
        for _ in range(self.random.choice((3, 31, 33, 200))):
            deep = [deep] if self.random.random() < 0.5 else {"a": deep}
        return deep

    def of_schema(self, schema, depth=0):
        """A value such as the document says, with every field it names."""
        if "$ref" in schema:
            return self.of_schema(self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], depth + 1)
        kind = schema.get("type")
        if kind == "object":
            fields = schema.get("properties", {}).items() if depth < 6 else ()
            return {name: self.of_schema(inner, depth + 1) for name, inner in fields if self.random.random() < 0.8}
        if kind == "array":
            return [self.of_schema(schema["items"], depth + 1) for _ in range(self.random.randrange(3))] if depth < 6 else []
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind in ("integer", "number"):
            return self.random.choice((0, 1, 2, 60, 600))
        return self.word() if kind == "string" else None

    def places(self, value, at=()):
        yield at
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in inner:
            yield from self.places(one, (*at, key))

    def changed(self, value, times):
        """`value` with some of it replaced, left out, doubled, or given a field nobody knows."""
        value = json.loads(json.dumps(value))
        for _ in range(times):
            at = self.random.choice(list(self.places(value)))
            if not at:
                continue
            holder = value
            for key in at[:-1]:
                holder = holder[key]
            way = self.random.randrange(6)
            if way < 3:
                holder[at[-1]] = self.anything()
            elif way == 3 and isinstance(holder, dict):
                holder[self.word() or "field"] = holder.pop(at[-1])
            elif way == 4:
                del holder[at[-1]]
            elif isinstance(holder, list):
                holder.extend([holder[at[-1]]] * self.random.choice((1, 2, 300)))
        return value

    def text(self, value):
        """Its bytes; now and then they are no JSON any more. No more than any method reads: who is stopped while he talks hears no answer."""
        out = json.dumps(value, allow_nan=True).encode()[:BYTES_MAX]
        way = self.random.randrange(12)
        if way == 0:
            at = self.random.randrange(len(out))
            return out[:at] + bytes([self.random.randrange(256)]) + out[at + 1:]
        if way == 1:
            return out[:self.random.randrange(len(out))]
        if way == 2:
            return out + self.random.choice((b"{}", b"\x00", b"\xff\xfe", b"}" * 50, b'{"tenant": "' + GLOBEX.encode() + b'"}'))
        return out

    def path(self, path, parameters, own):
        """`path` with its words filled, most often with the tenant's own; and a query."""
        query = []
        for one in parameters:
            if one["in"] == "path":
                right = {"tenant": own, "binding": "web1-eth0"}.get(one["name"], f"owner1@{own}")
                word = right if self.random.random() < 0.8 else self.word() or "x"
                path = path.replace("{" + one["name"] + "}", quote(word, safe="" if self.random.random() < 0.9 else "/"))
            elif one["in"] == "query" and self.random.random() < 0.5:
                value = self.of_schema(one["schema"]) if self.random.random() < 0.5 else self.anything()
                query.append(f"{one['name']}={quote(value if isinstance(value, str) else json.dumps(value))}")
        if self.random.random() < 0.1:
            query.append(quote(self.word()) + "=" + quote(self.word()))
        return path + ("?" + "&".join(query) if query else "")

    def headers(self, revision):
        out = {"Content-Type": self.random.choice(("application/json",) * 8 + ("application/x-protobuf", "text/plain"))}
        if self.random.random() < 0.8:
            out["If-Match"] = self.random.choice((f'"{revision}"', str(revision), "0", "-1", "W/\"1\"", '"' * 40, "4294967297", "x" * 2000))
        if self.random.random() < 0.2:
            out["Idempotency-Key"] = self.random.choice(("one", "two", "k" * 128, "k" * 129, "\t\t"))
        if self.random.random() < 0.2:
            out["Accept"] = "application/x-protobuf"
        return out


# --- requests ------------------------------------------------------------------------------------------------------------------------------------


def ask(lab, api, verb, path, body, headers):
    """(status, all that was said); of a stream its first words."""
    address, port = lab.appliance.portal
    context = ssl.create_default_context(cafile=str(api.certificate))
    with inside(lab.topology.office):
        connection = http.client.HTTPSConnection(address, port, timeout=60, context=context)
        connection.connect()
    try:
        signed = {"Cookie": f"__Host-sekisho={api.cookie}", "X-Sekisho-Csrf": api.csrf, **headers}
        connection.request(verb, path, body=body, headers=signed)
        response = connection.getresponse()
        stream = response.getheader("Content-Type") == "text/event-stream"
        text = b"" if stream else response.read()
        return response.status, str(response.getheaders()).encode() + text
    finally:
        connection.close()


class Fuzz:
    def __init__(self, lab, seed):
        self.lab, self.seed = lab, seed
        self.document = json.loads(browser(lab).raw("GET", "/api/v1/openapi.json")[2])
        self.mutator, self.people = Mutator(seed, self.document), People(lab)
        self.statuses, self.reached = {}, {role: set() for role in FOREIGN}
        self.methods = {operation["operationId"]: (verb.upper(), path, operation) for path, verbs in self.document["paths"].items()
                        for verb, operation in verbs.items()}
        owner, ops = self.people.of("owner"), self.people.of("p-ops")
        self.whole = {"owner": owner.get(f"/tenants/{ACME}/config"), "p-ops": ops.get("/platform/config")}

    def body(self, operation, role):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return None
        value = self.mutator.of_schema(content["schema"])
        if "document" in value:
            value["document"] = self.whole[role]["document"]
        return self.mutator.text(self.mutator.changed(value, self.mutator.random.choice((0, 1, 1, 2, 5))))

    def one(self, name, role):
        verb, path, operation = self.methods[name]
        path = self.mutator.path(path, operation.get("parameters", []), ACME)
        body, headers = self.body(operation, role), self.mutator.headers(self.whole[role]["revision"])
        what = f"seed {self.seed}: {role} {verb} {path[:2000]} {headers} {(body or b'')[:2000]!r}"
        try:
            status, said = ask(self.lab, self.people.of(role), verb, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            if len(path) + len(body or b"") > 16 << 10:  # refused while it is still being sent: who does not listen meanwhile is hung up on
                self.statuses["hung up"] = self.statuses.get("hung up", 0) + 1
                return
            pytest.fail(f"{what}\nno answer: {error!r}")
        assert status < 500, (what, said[:2000])
        for word in FOREIGN[role]:
            assert word.encode() not in said, (what, word, said[:2000])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status not in (401, 429):
            self.reached[role].add(name)
        if status == 401 and name not in ("Login", "LoginByLink"):
            self.people.forget(role)

    def alive(self):
        processes = self.lab.appliance.processes
        return {name: process.poll() for name, process in processes.items() if process.poll() is not None} == {}


def test_no_hostile_request_fails_the_unit_or_tells_of_another_tenant(lab):
    seed = int(os.environ.get("SEKISHO_FUZZ_SEED") or int.from_bytes(os.urandom(4), "big"))
    print(f"seed {seed}")
    fuzz, end = Fuzz(lab, seed), time.monotonic() + SECONDS
    roles, names = list(FOREIGN), [name for name in fuzz.methods if name not in LAST]
    with pytest.raises(Refused, match="no remote access") as refused:  # an answer that chance met once in a while, and was 503
        fuzz.people.of("owner").post(f"/tenants/{ACME}/vpn/try", {"gateway": "tokyo", "user": "alice", "password": "any"})
    assert refused.value.status == 409
    rounds = 0
    while not rounds or time.monotonic() < end:
        fuzz.mutator.random.shuffle(names)
        for name in names:
            for role in roles:
                fuzz.one(name, role)
        assert fuzz.alive(), f"seed {seed}"
        rounds += 1
    for name in LAST:
        for role in roles:
            for _ in range(3):
                fuzz.one(name, role)
    assert fuzz.alive(), f"seed {seed}"
    print(f"{rounds} rounds, {fuzz.statuses}")
    for role in roles:  # that it was not refused before anything looked at it
        assert fuzz.reached[role] >= set(names), (seed, set(names) - fuzz.reached[role])
    assert fuzz.statuses.get(200) and fuzz.statuses.get(400) and fuzz.statuses.get(404), fuzz.statuses
    assert fuzz.statuses.get("hung up", 0) <= sum(fuzz.statuses.values()) / 50, (seed, fuzz.statuses)
    # Whoever signs in now finds a unit that works.
    fuzz.people.forget("p-ops")
    ops = fuzz.people.of("p-ops")
    assert ops.get("/platform/status")
