# SPDX-License-Identifier: Apache-2.0
"""The management API as people and scripts meet it: mgmtd, controld and dataplaned together, over TLS."""

import http.client
import json
import re
import socket
import ssl
import time

import pytest
from lab.api import Api, Patient, Refused, inside, invite, totp
from lab.lab import Lab
from lab.system import run, wait_until

ACME, GLOBEX = "acm00000001", "glx00000001"
PASSWORD = "correct horse battery 7"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    portal = tmp_path_factory.mktemp("portal")
    portal.chmod(0o755)
    (portal / "index.html").write_text("<!doctype html><title>portal</title>")
    for folder in portal.parents:  # pytest makes its folders for root alone
        if str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    with Lab() as built:
        built.appliance.start_management(portal)
        yield built
        print(f"--- mgmtd\n{built.appliance.output('mgmtd')[-3000:]}\n--- controld\n{built.appliance.output('controld')[-3000:]}")


def browser(lab):
    return Api(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)


_people = {}


def person(lab, name, role):
    """A browser in which `name` is signed in; made once."""
    if (name, role) not in _people:
        api = Patient(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)
        api.welcome(invite(lab.appliance, name, role), PASSWORD)
        _people[name, role] = api
    return _people[name, role]


def test_a_link_works_once_and_leads_to_password_and_second_factor(lab):
    link = invite(lab.appliance, f"first@{ACME}", "owner")
    api = browser(lab)
    reply = api.post("/login/link", {"link": link})
    assert reply["me"]["must"] == "password"
    api.csrf = reply["csrf"]
    with pytest.raises(Refused, match="setup"):
        api.get(f"/tenants/{ACME}/rules")
    with pytest.raises(Refused, match="unauthenticated"):
        browser(lab).post("/login/link", {"link": link})
    with pytest.raises(Refused, match="at least 12"):
        api.post("/me/password", {"new_password": "short"})
    assert api.post("/me/password", {"new_password": PASSWORD})["must"] == "totp"
    with pytest.raises(Refused, match="setup"):
        api.get(f"/tenants/{ACME}/rules")
    secret = api.post("/me/totp")["secret"]
    code = totp(secret)
    assert api.post("/me/totp/confirm", {"code": code})["must"] == ""
    assert api.get(f"/tenants/{ACME}/rules")["rows"]
    with pytest.raises(Refused, match="unauthenticated"):  # the code that confirmed it is used up
        browser(lab).post("/login", {"account": f"first@{ACME}", "password": PASSWORD, "code": code})
    with pytest.raises(Refused, match="code_needed"):
        browser(lab).post("/login", {"account": f"first@{ACME}", "password": PASSWORD})
    again = browser(lab)
    again.secret, again.last_step = secret, int(time.time() // 30)
    assert again.login(f"first@{ACME}", PASSWORD)["role"] == "owner"


def test_cookie_and_headers_are_strict(lab):
    api = person(lab, f"owner@{ACME}", "owner")
    fresh = browser(lab)
    reply = fresh.post("/login/link", {"link": invite(lab.appliance, f"cookie@{ACME}", "read")})
    cookie = fresh.headers["Set-Cookie"]
    for part in ("__Host-sekisho=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in cookie
    assert fresh.cookie not in json.dumps(reply)
    status, headers, _ = api.raw("GET", "/")
    assert status == 200 and "default-src 'none'" in headers["Content-Security-Policy"]
    assert "max-age" in headers["Strict-Transport-Security"]


def test_a_change_without_its_header_is_refused(lab):
    api = person(lab, f"owner@{ACME}", "owner")
    held, api.csrf = api.csrf, None
    try:
        with pytest.raises(Refused, match="csrf"):
            api.post(f"/tenants/{ACME}/consents", {"minutes": 10, "reason": "x"})
    finally:
        api.csrf = held
    with pytest.raises(Refused, match="csrf"):
        api.post(f"/tenants/{ACME}/consents", {"minutes": 10}, Origin="https://elsewhere.example")
    assert not any(one["active"] for one in api.get(f"/tenants/{ACME}/consents")["consents"])


def enabled(api, name):
    return next(row["cells"]["enabled"] for row in api.get(f"/tenants/{ACME}/rules")["rows"] if row["cells"]["name"] == name)


def test_a_rule_is_changed_and_bites_and_comes_back_unless_confirmed(lab):
    api = person(lab, f"owner@{ACME}", "owner")
    config = api.get(f"/tenants/{ACME}/config")
    assert api.headers["ETag"] == f'"{config["revision"]}"'
    document = config["document"]
    rule = next(r for p in document["policies"] for r in p["rules"] if r["action"] == "allow")
    rule["enabled"] = False
    check = api.post(f"/tenants/{ACME}/config/check", {"document": document})
    assert check["ok"], check
    assert [c["path"].rsplit(".", 1)[1] for c in check["changes"]] == ["enabled"]
    assert all("globex" not in json.dumps(c) for c in check["changes"])
    with pytest.raises(Refused, match="precondition"):
        api.post(f"/tenants/{ACME}/config/commit", {"document": document})
    reply = api.post(f"/tenants/{ACME}/config/commit", {"document": document, "comment": "shut", "confirm_seconds": 2}, If_Match=config["revision"])
    assert reply["revision"] > config["revision"]
    assert enabled(api, rule["name"]) == "no"
    waiting = api.get(f"/tenants/{ACME}/dashboard")
    assert waiting["waiting_confirmation"] == reply["revision"]
    wait_until(lambda: enabled(api, rule["name"]) == "yes", 15, "the rule back in force", every=0.2)
    # The same, confirmed; an idempotency key makes the second one nothing.
    config = api.get(f"/tenants/{ACME}/config")
    body = {"document": document, "comment": "shut for good", "confirm_seconds": 60}
    first = api.post(f"/tenants/{ACME}/config/commit", body, If_Match=config["revision"], Idempotency_Key="one")
    assert api.post(f"/tenants/{ACME}/config/commit", body, If_Match=config["revision"], Idempotency_Key="one") == first
    api.post(f"/tenants/{ACME}/config/confirm", {"revision": first["revision"]})
    assert api.get(f"/tenants/{ACME}/dashboard")["waiting_confirmation"] == 0
    api.post(f"/tenants/{ACME}/config/rollback", {"revision": config["revision"], "comment": "open again"})
    assert api.get(f"/tenants/{ACME}/config")["document"] == config["document"]
    revisions = api.get(f"/tenants/{ACME}/config/revisions")["revisions"]
    assert revisions[0]["comment"] == "open again" and revisions[0]["author"] == f"owner@{ACME}"
    assert revisions[-1]["number"] == 1 and not revisions[-1]["author"]  # the provider's first one, without a name


def test_a_document_larger_than_a_message_is_taken(lab):
    """Beyond 64 KiB it crosses to the control daemon in sealed memory."""
    api = person(lab, f"owner@{ACME}", "owner")
    config = api.get(f"/tenants/{ACME}/config")
    document = json.loads(json.dumps(config["document"]))
    document["addresses"] += [{"name": f"branch-{number:04}", "entries": [f"172.16.{number // 250}.{number % 250 + 1}", f"2001:db8:ffff::{number:x}"]}
                              for number in range(2000)]
    reply = api.post(f"/tenants/{ACME}/config/commit", {"document": document, "comment": "all branches"}, If_Match=config["revision"])
    assert len(api.get(f"/tenants/{ACME}/config")["document"]["addresses"]) == len(config["document"]["addresses"]) + 2000
    api.post(f"/tenants/{ACME}/config/rollback", {"revision": config["revision"], "comment": "without them"})
    assert api.get(f"/tenants/{ACME}/config")["document"] == config["document"] and reply["revision"] > config["revision"]


def test_a_finding_says_where_in_the_document(lab):
    api = person(lab, f"owner@{ACME}", "owner")
    config = api.get(f"/tenants/{ACME}/config")
    document = config["document"]
    document["policies"][0]["rules"][0]["source"] = ["nobody-called-so"]
    check = api.post(f"/tenants/{ACME}/config/check", {"document": document})
    assert not check["ok"] and check["findings"][0]["severity"] == "error" and check["findings"][0]["path"].startswith("document.policies[0].rules[0].source")
    with pytest.raises(Refused) as refused:
        api.post(f"/tenants/{ACME}/config/commit", {"document": document}, If_Match=config["revision"])
    assert refused.value.status == 422 and refused.value.body["path"].startswith("document.policies[0].rules[0].source")
    document["policies"][0]["rules"][0]["sorce"] = 1
    with pytest.raises(Refused, match="sorce"):
        api.post(f"/tenants/{ACME}/config/commit", {"document": document}, If_Match=config["revision"])


def test_what_is_the_providers_is_not_the_tenants_to_change(lab):
    api = person(lab, f"owner@{ACME}", "owner")
    config = api.get(f"/tenants/{ACME}/config")
    document = config["document"]
    assert "ports" in document and "ports" not in config["editable"]
    document["ports"] = document["ports"][:-1]
    with pytest.raises(Refused) as refused:
        api.post(f"/tenants/{ACME}/config/commit", {"document": document}, If_Match=config["revision"])
    assert refused.value.status == 403 and refused.value.body["path"] == "document.ports"


def test_the_dashboard_moves_and_its_stream_ends_with_the_account(lab):
    owner = person(lab, f"owner@{ACME}", "owner")
    reader = browser(lab)
    reader.welcome(invite(lab.appliance, f"reader@{ACME}", "read"), PASSWORD)
    events = reader.events(f"/tenants/{ACME}/events?seconds=60")
    name, first = next(events)
    assert name == "dashboard" and {s["name"] for s in first["series"]} >= {"bits_in", "sessions", "drops"}
    name, second = next(events)
    assert name == "dashboard" and all(len(s["values"]) <= 2 for s in second["series"])
    assert second["counting"] or any(data["counting"] for _, data in zip(range(8), (data for _, data in events)))
    begin = time.monotonic()
    owner.call("DELETE", f"/api/v1/tenants/{ACME}/accounts/reader@{ACME}")
    assert any(name == "end" for name, _ in events)
    assert time.monotonic() - begin < 5
    with pytest.raises(Refused, match="unauthenticated"):
        reader.get("/me")


def every_method(lab):
    document = json.loads(browser(lab).raw("GET", "/api/v1/openapi.json")[2])
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield verb.upper(), path, operation


def test_no_method_tells_a_foreign_tenant_anything(lab):
    api = person(lab, f"owner@{ACME}", "owner")
    tried = 0
    for verb, path, operation in every_method(lab):
        if "{tenant}" not in path:
            continue
        for tenant in (GLOBEX, "xyz99999999"):
            full = path.replace("{tenant}", tenant).replace("{id}", f"owner@{tenant}").replace("{binding}", "web1").replace("{token}", "x")
            headers = {"Cookie": f"__Host-sekisho={api.cookie}", "X-Sekisho-Csrf": api.csrf, "Content-Type": "application/json", "If-Match": "1"}
            status, _, text = api.raw(verb, full, None if verb == "GET" else "{}", headers)
            # One that exists and one that does not are answered with the same bytes.
            assert status == 404 and json.loads(text)["code"] == "not_found", (operation["operationId"], status, text)
            tried += 1
    assert tried >= 70


def test_nothing_is_open_to_who_is_not_signed_in(lab):
    api = browser(lab)
    for verb, path, operation in every_method(lab):
        full = path.replace("{tenant}", ACME).replace("{id}", "x").replace("{binding}", "web1").replace("{token}", "x")
        status, _, text = api.raw(verb, full, None if verb == "GET" else "{}", {"Content-Type": "application/json"})
        if operation.get("security") == []:
            continue
        assert status == 401, (operation["operationId"], status, text)


def test_support_sees_a_tenant_only_while_it_consents(lab):
    owner = person(lab, f"owner@{ACME}", "owner")
    support = person(lab, "helen", "p-support")
    with pytest.raises(Refused, match="consent"):
        support.get(f"/tenants/{ACME}/rules")
    assert support.get("/tenants")["tenants"] == []
    consent = owner.post(f"/tenants/{ACME}/consents", {"minutes": 30, "ticket": "T-17", "reason": "a rule does not match"})
    assert support.get(f"/tenants/{ACME}/rules")["rows"]
    assert [one["service_code"] for one in support.get("/tenants")["tenants"]] == [ACME]
    with pytest.raises(Refused, match="consent"):  # to look, not to change
        support.post(f"/tenants/{ACME}/config/commit", {"document": {}}, If_Match=1)
    with pytest.raises(Refused, match="consent"):
        support.get(f"/tenants/{GLOBEX}/rules")
    acts = owner.get(f"/tenants/{ACME}/audit")["entries"]
    assert any(one["actor"] == "helen" and one["operation"] == "ListRules" and consent["id"] in one["detail"] for one in acts)
    owner.call("DELETE", f"/api/v1/tenants/{ACME}/consents/{consent['id']}")
    with pytest.raises(Refused, match="consent"):
        support.get(f"/tenants/{ACME}/rules")


def test_an_account_is_locked_after_wrong_passwords_and_the_last_owner_is_never_stranded(lab):
    owner = person(lab, f"owner@{ACME}", "owner")
    victim = browser(lab)
    victim.welcome(invite(lab.appliance, f"victim@{ACME}", "log"), PASSWORD)
    for _ in range(5):
        with pytest.raises(Refused, match="unauthenticated"):
            browser(lab).post("/login", {"account": f"victim@{ACME}", "password": "wrong wrong wrong"})
    with pytest.raises(Refused, match="unauthenticated"):
        victim.get("/me")  # its sessions went as well
    with pytest.raises(Refused, match="unauthenticated"):
        browser(lab).login(f"victim@{ACME}", PASSWORD, victim.secret)
    assert next(a for a in owner.get(f"/tenants/{ACME}/accounts")["accounts"] if a["id"] == f"victim@{ACME}")["locked"]
    def told():
        return next((one for one in lab.appliance.records(ACME) if one["type"] == "sec" and one["event"] == "AUTH_ADMIN_LOCK"), None)
    event = wait_until(told, 20, "the lock as a security event", every=0.2)
    assert (event["user"], event["action"], event["sev"]) == (f"victim@{ACME}", "locked", 4)
    owner.post(f"/tenants/{ACME}/accounts/victim@{ACME}/unlock")
    again = browser(lab)
    again.secret, again.last_step = victim.secret, victim.last_step
    assert again.login(f"victim@{ACME}", PASSWORD)["role"] == "log"


def test_a_slow_or_huge_request_takes_nothing_from_others(lab):
    api = person(lab, f"owner@{ACME}", "owner")
    try:  # the answer may come while the rest is still being sent, and the connection is closed then
        status, _, _ = api.raw("POST", f"/api/v1/tenants/{ACME}/config/check", b"{" + b" " * (9 << 20), {"Content-Type": "application/json"})
        assert status == 413
    except OSError:
        pass
    bomb = '{"document": ' + '{"a":' * 100 + "1" + "}" * 100 + "}"
    headers = {"Content-Type": "application/json", "Cookie": f"__Host-sekisho={api.cookie}", "X-Sekisho-Csrf": api.csrf}
    status, _, text = api.raw("POST", f"/api/v1/tenants/{ACME}/config/check", bomb, headers)
    assert status == 400 and b"deep" in text
    status, _, text = api.raw("POST", f"/api/v1/tenants/{ACME}/config/check", '{"document": {"a": [' + "[]," * 700000 + "[]]}}", headers)
    assert status == 400 and b"too many values" in text
    status, _, _ = api.raw("GET", "/api/v1/me?" + "a" * 5000, None, headers)
    assert status == 400
    assert api.get("/me")["role"] == "owner"


def test_the_platform_page_names_no_content_of_tenants(lab):
    ops = person(lab, "opal", "p-ops")
    text = wait_until(lambda: (said if "sekisho_up 1" in (said := ops.call("GET", "/metrics")) else ""), 15, "the first sample", every=0.5)
    assert "sekisho_packets_total" in text and ACME in text and "web1" not in text
    config = ops.get("/platform/config")
    assert {t["service_code"] for t in config["document"]["tenants"]} == {ACME, GLOBEX}
    assert all("policies" not in t and "ports" in t for t in config["document"]["tenants"])
    reply = ops.post("/platform/config/commit", {"document": config["document"], "comment": "as it is"}, If_Match=config["revision"])
    assert reply["revision"] > config["revision"]
    assert person(lab, f"owner@{ACME}", "owner").get(f"/tenants/{ACME}/rules")["rows"]
    with pytest.raises(Refused, match="denied"):
        person(lab, f"owner@{ACME}", "owner").call("GET", "/metrics")


def test_an_export_is_the_same_bytes_each_time_and_comes_back(lab):
    api = person(lab, f"owner@{ACME}", "owner")
    export = {"passphrase": "a long passphrase"}
    first = api.post(f"/tenants/{ACME}/config/export", export)["text"]
    assert api.post(f"/tenants/{ACME}/config/export", export)["text"] == first
    assert "globex" not in first and GLOBEX not in first
    config = api.get(f"/tenants/{ACME}/config")
    document = config["document"]
    document["policies"][0]["rules"] = document["policies"][0]["rules"][:-1]
    api.post(f"/tenants/{ACME}/config/commit", {"document": document, "comment": "one fewer"}, If_Match=config["revision"])
    assert api.post(f"/tenants/{ACME}/config/export", export)["text"] != first
    with pytest.raises(Refused, match="another tenant"):
        api.post(f"/tenants/{ACME}/config/import", {"text": first.replace(ACME, GLOBEX), **export})
    api.post(f"/tenants/{ACME}/config/import", {"text": first, "comment": "as it was", **export})
    assert api.post(f"/tenants/{ACME}/config/export", export)["text"] == first


def test_the_log_answers_for_the_tenant_alone(lab):
    api = person(lab, f"owner@{ACME}", "owner")
    page = api.post(f"/tenants/{ACME}/logs/search", {"types": ["comm", "sec"], "limit": 10})
    assert all(record["svc"] == ACME for record in page["records"])
    with pytest.raises(Refused, match="RFC 3339"):
        api.post(f"/tenants/{ACME}/logs/search", {"from": "yesterday"})


def test_foreign_scanners_find_tls13_alone_and_one_port(lab):
    address, port = lab.appliance.portal
    space = ["ip", "netns", "exec", lab.topology.office]
    said = run([*space, "sslscan", "--no-colour", f"{address}:{port}"], timeout=120).stdout
    for version in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2"):
        assert f"{version}     disabled" in said or f"{version}   disabled" in said, said
    assert "TLSv1.3   enabled" in said and "Session renegotiation not supported" in said
    assert "1024" not in said and "NULL" not in said
    ports = run([*space, "nmap", "-n", "-Pn", "-sT", "-T4", "-p-", address], timeout=120).stdout
    assert [line.split("/")[0] for line in ports.splitlines() if "/tcp" in line and "open" in line] == [str(port)]


def test_testssl_finds_nothing_that_needs_mending(lab, tmp_path):
    address, port = lab.appliance.portal
    report = tmp_path / "report.json"
    # Protocols, server's defaults, preference, vulnerabilities, forward secrecy; it exits with how much it found. Names are not looked up: there is no resolver.
    run(["ip", "netns", "exec", lab.topology.office, "testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "-p", "-P", "-U", "-f",
         "--jsonfile", report, f"{address}:{port}"], check=False, timeout=400)
    found = json.loads(report.read_text())
    assert len(found) > 20, "it has looked"
    # The certificate of this run is self-signed, for an hour's use; what is said about it is not looked at.
    bad = [one for one in found if one["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    assert not bad, bad
    assert next(one for one in found if one["id"] == "TLS1_3")["severity"] == "OK"


def test_one_source_that_guesses_is_slowed_and_a_code_is_taken_once(lab):
    name = f"guessed@{ACME}"
    victim = browser(lab)
    victim.welcome(invite(lab.appliance, name, "read"), PASSWORD)
    step = max(int(time.time() // 30), victim.last_step + 1)
    wait_until(lambda: time.time() // 30 + 1 >= step, 40, "a code that is taken", every=0.2)
    login = {"account": name, "password": PASSWORD, "code": totp(victim.secret, step * 30)}
    assert browser(lab).post("/login", login)["me"]["account"] == name
    with pytest.raises(Refused, match="unauthenticated"):  # somebody who has watched sends the same again
        browser(lab).post("/login", login)
    statuses = []
    for number in range(25):
        with pytest.raises(Refused) as refused:
            browser(lab).post("/login", {"account": f"nobody{number}@{ACME}", "password": "a guess of twelve"})
        statuses.append(refused.value.status)
    assert statuses[0] == 401 and statuses[-1] == 429
    assert victim.get("/me")["account"] == name, "who is in stays in"


def test_who_comes_too_often_hears_so_whatever_he_is_about_to_say(lab):
    context = ssl._create_unverified_context()

    def connect():
        with inside(lab.topology.office):
            one = http.client.HTTPSConnection(*lab.appliance.portal, timeout=30, source_address=("127.0.0.52", 0), context=context)
            one.connect()
        return one

    def ask(one, method, path, body=None):
        one.request(method, path, body, {"Content-Type": "application/json", "X-Requested-With": "sekisho"})
        answer = one.getresponse()
        return answer.read() and answer.status

    busy, asked = connect(), 1
    while ask(busy, "GET", "/api/v1/banner") == 200 and asked < 5000:
        asked += 1
    assert 200 < asked < 5000
    heard = []
    for _ in range(60):  # with a body that nobody will read: the answer comes all the same
        heard.append(ask(connect(), "POST", "/api/v1/login", b'{"account": "' + b"x" * 40_000 + b'"}'))
    assert heard.count(429) > 5 and set(heard) <= {400, 401, 413, 429}, heard


def test_who_sends_slowly_is_cut_off_and_holds_up_nobody(lab):
    context = ssl._create_unverified_context()

    def connect(source):
        with inside(lab.topology.office):
            return context.wrap_socket(socket.create_connection(lab.appliance.portal, timeout=30, source_address=(source, 0)))

    held = []
    for _ in range(40):
        try:
            one = connect("127.0.0.50")
            one.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            held.append(one)
        except OSError:
            pass
    assert len(held) == 32  # of one source
    other = connect("127.0.0.51")
    other.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert other.recv(15) == b"HTTP/1.1 200 OK"
    begin = time.monotonic()
    assert held[0].recv(1) == b"" and time.monotonic() - begin < 15
    for one in held:
        one.close()


def test_a_tenant_sees_how_much_traffic_it_has_where_the_provider_has_switched_that_on(lab):
    def welcomed(api, link):
        try:
            api.welcome(link, PASSWORD)
        except Refused as refused:  # whoever guessed before came from here as well
            assert refused.status == 429
            return None
        return api

    def owner_of(tenant):
        api, link = browser(lab), invite(lab.appliance, f"meters@{tenant}", "owner")
        return wait_until(lambda: welcomed(api, link), 90, "a turn to sign in", every=1)

    api, other = owner_of(ACME), owner_of(GLOBEX)

    def lines(api, tenant):
        return {one["name"] for one in api.get(f"/tenants/{tenant}/dashboard")["series"]}

    own = {"drops", "sessions", "connections", "vpn_sessions"}
    traffic = {"bits_in", "bits_out", "packets_in", "packets_out"}
    assert lines(api, ACME) == own | traffic
    assert lines(other, GLOBEX) == own
    with pytest.raises(Refused, match="not switched metrics on"):
        other.call("GET", f"/api/v1/tenants/{GLOBEX}/metrics")
    with pytest.raises(Refused):
        other.call("GET", f"/api/v1/tenants/{ACME}/metrics")
    assert lab["acme-pc"].ping("10.0.0.2", 3)
    text = wait_until(lambda: (said if re.search(r'sekisho_bytes_total\{direction="in"\} [1-9]', said := api.call("GET", f"/api/v1/tenants/{ACME}/metrics")) else ""),
                      15, "bytes counted", every=0.5)
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} <= {
        f"sekisho_{name}" for name in ("up", "bytes_total", "packets_total", "drops_total", "connections_total", "sessions", "vpn_sessions")}
    assert GLOBEX not in text and "cpu" not in text and "memory" not in text
    # It is the provider's to switch.
    config = other.get(f"/tenants/{GLOBEX}/config")
    with pytest.raises(Refused):
        other.post(f"/tenants/{GLOBEX}/config/commit", {"document": {**config["document"], "metrics": True}}, If_Match=config["revision"])
    assert lines(other, GLOBEX) == own
