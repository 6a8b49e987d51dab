# SPDX-License-Identifier: Apache-2.0
"""What the unit shows to who looks from outside: open ports by nmap, TLS as its options say by sslscan, bodies in protobuf by protoc, the document
of the API, metrics by their format's own rules; and that mgmtd, killed, takes nothing with it."""

import http.client
import json
import re
import shutil
import ssl
import subprocess

import jsonschema
import pytest
from lab.api import Api, Refused, inside, invite
from lab.lab import Lab
from lab.system import run, wait_until
from lab.topology import TREE
from confined import assert_confined
from people_test import make_ca
from traffic import Traffic

ACME = "acm00000001"
PASSWORD = "correct horse battery 7"
PROTO = "application/x-protobuf"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surface")
    make_ca(folder)
    (folder / "portal").mkdir()
    (folder / "portal" / "index.html").write_text("<!doctype html><title>portal</title>")
    return folder


def place(lab):
    """Where mgmtd's user reads them: pytest's folders are for root alone."""
    return lab.root / "out" / "surface"


@pytest.fixture(scope="module")
def lab(files):
    with Lab() as built:
        shutil.copytree(files, place(built))
        built.appliance.start_management(place(built) / "portal")
        yield built
        print(f"--- mgmtd\n{built.appliance.output('mgmtd')[-3000:]}\n--- controld\n{built.appliance.output('controld')[-3000:]}")
        assert built.appliance.status()["conservation violations"] == "0"


def again(lab, *options):
    """mgmtd anew with other options, where it was."""
    port = lab.appliance.portal[1]
    lab.appliance.kill("mgmtd")
    lab.appliance.start_management(place(lab) / "portal", port=port, options=options)


_people = {}


def browser(lab):
    return Api(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)


def person(lab, name, role):
    if name not in _people:
        api = browser(lab)
        api.welcome(invite(lab.appliance, name, role), PASSWORD)
        _people[name] = api
    return _people[name]


def owner(lab):
    return person(lab, f"owner@{ACME}", "owner")


# --- ports ------------------------------------------------------------------------------------------------------------------------------------------


def scan(host, address, *options):
    """Ports that nmap calls open: {(port, protocol)}. Those that stay silent it calls filtered, or open|filtered."""
    six = ["-6"] if ":" in address else []
    done = host.run("nmap", "-n", "-Pn", *six, "--max-retries", "1", "--min-rate", "5000", *options, "-oG", "-", address, timeout=180, check=True)
    assert "Status: Up" in done.stdout, done.stdout
    return {(int(port), kind) for port, state, kind in re.findall(r"(\d+)/([a-z|]+)/(tcp|udp)/", done.stdout) if state == "open"}


ALL_TCP = ("-sS", "-p-")
TOP_UDP = ("-sU", "--top-ports", "50")


@pytest.mark.parametrize("who, where, declared", [
    ("acme-pc", "10.0.0.33", set()),  # the gateway itself, from the office
    ("acme-pc", "10.0.0.2", {(80, "tcp")}),  # the servers: 22 listens as well, and a rule refuses it
    ("acme-web1", "10.0.0.1", set()),  # the gateway, from a server
    ("outside", "192.0.2.1", set()),  # the gateway, from the Internet
    ("outside", "203.0.113.17", {(80, "tcp")}),
])
def test_a_full_scan_finds_the_declared_ports_alone(lab, who, where, declared):
    assert scan(lab[who], where, *ALL_TCP) == declared


@pytest.mark.parametrize("who, where, declared", [("acme-pc", "fd00:10:0:1::2", {(80, "tcp")}), ("acme-pc", "fd00:10:0:3::1", set()),
                                                  ("acme-web1", "fd00:10:0:3::2", set()), ("outside", "2001:db8:a::17", {(80, "tcp")})])
def test_a_scan_over_ipv6_finds_the_same(lab, who, where, declared):
    assert scan(lab[who], where, "-sS", "-p", "1-1024,1701,1723,3799,4500,5432,8443") == declared


@pytest.mark.parametrize("who, where", [("acme-pc", "10.0.0.33"), ("acme-pc", "10.0.0.2"), ("outside", "192.0.2.1"), ("outside", "203.0.113.17")])
def test_no_udp_port_answers_a_scan(lab, who, where):
    assert scan(lab[who], where, *TOP_UDP) == set()


# --- bodies in protobuf, the document ---------------------------------------------------------------------------------------------------------------


def protoc(direction, message, data):
    done = subprocess.run(["protoc", f"--{direction}=sekisho.api.{message}", f"-I{TREE}", "base/proto/api.proto"], input=data, capture_output=True,
                          cwd=TREE, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def post_bytes(api, path, body, content=PROTO, accept=PROTO):
    return api.raw("POST", "/api/v1" + path, body, {"Content-Type": content, "Accept": accept, "Cookie": f"__Host-sekisho={api.cookie}",
                                                    "X-Sekisho-Csrf": api.csrf})


def test_a_search_is_asked_and_answered_in_protobuf(lab):
    api = owner(lab)
    path = f"/tenants/{ACME}/logs/search"
    question = protoc("encode", "SearchRequest", b'types: "comm" limit: 1 conditions { field: "src_port" test: "equal" values: "45900" }')

    def answered():
        # Again each time: the scans before may have used up what the tenant may log a second, and a window of equal denials ends after 10 s.
        lab["acme-pc"].curl("http://10.0.0.2:22/", 2, "--local-port", "45900")
        status, headers, reply = post_bytes(api, path, question)
        assert status == 200 and headers["Content-Type"] == PROTO, reply
        text = protoc("decode", "SearchReply", reply).decode()
        return text if "45900" in text else None

    text = wait_until(answered, 40, "the record", every=0.5)
    assert 'string_value: "10.0.0.34"' in text
    # The same question in JSON, answered in protobuf, and the other way round.
    asked = json.dumps({"types": ["comm"], "limit": 1, "conditions": [{"field": "src_port", "test": "equal", "values": ["45900"]}]})
    mixed = post_bytes(api, path, asked, content="application/json")
    assert mixed[0] == 200 and "45900" in protoc("decode", "SearchReply", mixed[2]).decode()
    plain = post_bytes(api, path, question, accept="application/json")
    assert [record["src_port"] for record in json.loads(plain[2])["records"]] == [45900]
    # The nearest that must not pass: bytes that are no message, and a refusal is a message too.
    status, headers, reply = post_bytes(api, path, question[:-3])
    assert status == 400 and headers["Content-Type"] == PROTO
    assert b'code: "' in protoc("decode", "Error", reply)


def references(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_document_of_the_api_keeps_openapis_rules(lab):
    """What the standard asks of a document (OpenAPI 3.1: 4.8), beside its schemas."""
    document = json.loads(browser(lab).raw("GET", "/api/v1/openapi.json")[2])
    assert document["openapi"].startswith("3.1.") and document["info"]["title"] and document["info"]["version"]
    names = []
    for path, verbs in document["paths"].items():
        assert path.startswith("/")
        for verb, operation in verbs.items():
            assert verb in ("get", "put", "post", "delete")
            names.append(operation["operationId"])
            parameters = [(one["in"], one["name"]) for one in operation.get("parameters", [])]
            assert len(parameters) == len(set(parameters))
            assert {name for where, name in parameters if where == "path"} == set(re.findall(r"{(\w+)}", path)), path
            assert all(one["required"] for one in operation.get("parameters", []) if one["in"] == "path")
            assert operation["responses"] and all(re.fullmatch(r"[1-5](\d\d|XX)|default", code) and answer["description"]
                                                  for code, answer in operation["responses"].items())
    assert len(names) == len(set(names)) >= 80
    for reference in references(document):
        at = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in at, reference
            at = at[part]
    schemes = set(document["components"].get("securitySchemes", {}))
    assert schemes and all(set(one) <= schemes for one in document.get("security", []))


def test_schemas_of_the_document_are_json_schemas_and_replies_keep_them(lab):
    document = json.loads(browser(lab).raw("GET", "/api/v1/openapi.json")[2])
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    judged, api = 0, owner(lab)
    for path, verbs in document["paths"].items():
        if "get" not in verbs or not path.startswith("/api/v1/tenants/{tenant}/") or "{" in path.split("{tenant}")[1] or path.endswith(("/events", "/download")):
            continue
        answer = verbs["get"]["responses"].get("200", {}).get("content", {}).get("application/json")
        if answer is None:
            continue
        try:
            reply = api.call("GET", path.replace("{tenant}", ACME))
        except Refused:
            continue  # it asks for more than the tenant's name
        jsonschema.Draft202012Validator({**answer["schema"], "components": document["components"]}).validate(reply)
        judged += 1
    assert judged >= 15


# --- metrics ----------------------------------------------------------------------------------------------------------------------------------------

_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|NaN|[+-]Inf)( -?\d+)?')


def families(text):
    """{family: (kind, {labels: value})} of Prometheus' text format, version 0.0.4; every rule of it that is broken is an error."""
    assert text.endswith("\n")
    found, said, current = {}, set(), None
    for line in text.splitlines():
        if line.startswith("# "):
            word, name, rest = line[2:].split(" ", 2)
            assert word in ("HELP", "TYPE") and rest and (word, name) not in said, line
            said.add((word, name))
            if name != current:
                assert name not in found, f"{name} comes in one piece"
                current = name
                found[name] = ["untyped", {}]
            if word == "TYPE":
                assert not found[name][1] and rest in ("counter", "gauge"), line
                found[name][0] = rest
        else:
            match = _SAMPLE.fullmatch(line)
            assert match and match[1] == current, line
            assert match[2] not in found[current][1], f"twice: {line}"
            found[current][1][match[2]] = float(match[3])
    for name, (kind, values) in found.items():
        assert {("HELP", name), ("TYPE", name)} <= said, name
        assert values and (kind == "counter") == name.endswith("_total"), name
    return found


def test_metrics_keep_their_formats_rules_and_count_what_passes(lab):
    ops = person(lab, "opal", "p-ops")

    def read():
        return families(ops.call("GET", "/metrics"))

    wait_until(lambda: read()["sekisho_up"][1].get(None) == 1, 20, "the first sample", every=0.5)
    first = read()
    # The provider's: traffic, CPU, memory, disk; and that the unit works.
    for family in ("packets_total", "bytes_total", "drops_total", "sessions", "cpu_ticks_total", "memory_bytes", "disk_bytes", "log_records_lost_total",
                   "vpn_sessions", "vpn_daemon_up", "log_up", "log_pressure", "log_disk_bytes", "clock_synchronised", "revision", "up"):
        assert f"sekisho_{family}" in first, family
    assert lab["acme-pc"].ping("10.0.0.2", 20)
    lab["acme-pc"].curl("http://10.0.0.18:5432/", 1)
    total = lambda found, family: sum(found[f"sekisho_{family}"][1].values())
    for family, more in (("packets_total", 40), ("bytes_total", 40 * 84), ("drops_total", 1)):
        wait_until(lambda family=family, more=more: total(read(), family) >= total(first, family) + more, 20, f"{family} counting", every=0.5)


# --- what mgmtd may still do --------------------------------------------------------------------------------------------------------------------------


def test_mgmtd_keeps_no_privilege_no_file_and_few_system_calls(lab):
    assert owner(lab).get("/me")  # it is at work
    assert_confined(lab.appliance.processes["mgmtd"].pid, "mgmtd")


# --- mgmtd killed, and started in other ways ----------------------------------------------------------------------------------------------------------


def test_killed_mgmtd_takes_no_session_and_no_packet_with_it(lab):
    api, revision = owner(lab), owner(lab).get(f"/tenants/{ACME}/config")["revision"]
    with Traffic(lab) as traffic:
        lab.appliance.kill("mgmtd")
        with pytest.raises(OSError):
            api.get("/me")
        traffic.wait_for_answers(100)
        again(lab)
        assert api.get("/me")["account"] == f"owner@{ACME}", "signed in still"
        config = api.get(f"/tenants/{ACME}/config")
        assert config["revision"] == revision
        reply = api.post(f"/tenants/{ACME}/config/commit", {"document": config["document"], "comment": "afterwards"}, If_Match=revision)
        assert reply["revision"] > revision
        traffic.wait_for_answers()
        assert traffic.knocks_heard() == []


def test_tls12_is_there_where_it_is_asked_for_and_nothing_older(lab):
    address, port = lab.appliance.portal

    def versions():
        said = run(["ip", "netns", "exec", lab.topology.office, "sslscan", "--no-colour", f"{address}:{port}"], timeout=120).stdout
        return dict(re.findall(r"^((?:SSL|TLS)v[\d.]+)\s+(enabled|disabled)$", said, re.M)), said

    again(lab, "--tls12")
    try:
        found, said = versions()
        assert {name for name, state in found.items() if state == "enabled"} == {"TLSv1.2", "TLSv1.3"} and len(found) >= 5, said
        ciphers = re.findall(r"^(?:Preferred|Accepted)\s+TLSv1\.2\s+\d+ bits\s+(\S+)", said, re.M)
        assert ciphers and all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in ciphers), ciphers
    finally:
        again(lab)
    assert versions()[0]["TLSv1.2"] == "disabled"


def test_who_shows_no_certificate_has_no_connection_where_one_is_required(lab, files, tmp_path):
    again(lab, "--client-ca", str(place(lab) / "ca.crt"), "--require-certificate")
    address, port = lab.appliance.portal

    def banner(folder=None, name=None):
        context = ssl.create_default_context(cafile=str(lab.root / "out" / "portal.crt"))
        if name:
            context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        with inside(lab.topology.office):
            connection = http.client.HTTPSConnection(address, port, timeout=20, context=context)
            connection.connect()
        try:
            connection.request("GET", "/api/v1/banner")
            return connection.getresponse().status
        finally:
            connection.close()

    try:
        assert banner(files, "robot") == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            banner()
        make_ca(tmp_path)  # another authority of the same name
        with pytest.raises((OSError, http.client.HTTPException)):
            banner(tmp_path, "robot")
    finally:
        again(lab)
    assert banner() == 200
