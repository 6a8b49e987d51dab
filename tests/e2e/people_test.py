# SPDX-License-Identifier: Apache-2.0
"""Programs with keys and certificates, two people for one change, messages to people, a unit that calls home: over TLS, from outside."""

import hashlib
import hmac
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import time

import pytest
from lab.api import Api, Refused, inside, invite
from lab.lab import DEMO_CONFIG, Lab
from lab.system import run, wait_until
from receivers import PASSWORD as MAIL_PASSWORD
from receivers import USER as MAIL_USER
from receivers import MailServer, Webhook, make_certificate
from variants import with_change

ACME, GLOBEX = "acm00000001", "glx00000001"
PASSWORD = "correct horse battery 7"
SIGNING_KEY = "a key of sixteen characters"
HOME = 4335


def make_ca(folder):
    """An authority and two clients it vouches for: robot and home."""
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-keyout", folder / "ca.key",
         "-out", folder / "ca.crt", "-subj", "/CN=clients", "-addext", "basicConstraints=critical,CA:TRUE"])
    for name in ("robot", "home"):
        run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / f"{name}.key", "-out",
             folder / f"{name}.csr", "-subj", f"/CN={name}"])
        (folder / "ext").write_text("extendedKeyUsage=clientAuth\n")
        run(["openssl", "x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days",
             "30", "-out", folder / f"{name}.crt", "-extfile", folder / "ext"])
    folder.chmod(0o755)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    make_ca(folder)
    for parent in folder.parents:  # pytest makes its folders for root alone
        if str(parent).startswith("/tmp/pytest"):
            parent.chmod(0o755)
    portal = folder / "portal"
    portal.mkdir()
    (portal / "index.html").write_text("<!doctype html><title>portal</title>")
    return folder


@pytest.fixture(scope="module")
def lab(files):
    few = "name: acme\n    sessions_max: 20000\n    quotas: { half_open_max: 50 }"  # what a flood is more than
    with Lab(config=with_change(DEMO_CONFIG, "name: acme\n    sessions_max: 20000", few, files)) as built:
        built.appliance.start_management(files / "portal", options=("--client-ca", files / "ca.crt", "--call-home", f"127.0.0.1:{HOME}", "--call-home-ca",
                                                                    files / "ca.crt"))
        yield built
        print(f"--- mgmtd\n{built.appliance.output('mgmtd')[-3000:]}\n--- controld\n{built.appliance.output('controld')[-3000:]}")


@pytest.fixture(scope="module")
def mail(lab, tmp_path_factory):
    server = MailServer(tmp_path_factory.mktemp("mail"), lab.topology.office)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hook(lab, tmp_path_factory):
    server = Webhook(tmp_path_factory.mktemp("hook"), lab.topology.office)
    yield server
    server.stop()


class Client(Api):
    """With a certificate of its own, or a key, or neither."""

    def __init__(self, lab, files=None, name=None, key=None):
        super().__init__(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)
        self.identity = (files / f"{name}.crt", files / f"{name}.key") if name else None
        self.key = key

    def raw(self, verb, path, body=None, headers=None):
        context = ssl.create_default_context(cafile=str(self.certificate))
        if self.identity:
            context.load_cert_chain(*self.identity)
        if self.key:
            headers = {**(headers or {}), "Authorization": f"Bearer {self.key}"}
        with inside(self.namespace):
            connection = http.client.HTTPSConnection(self.address, self.port, timeout=130, context=context)
            connection.connect()
        try:
            connection.request(verb, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()


_people = {}


def person(lab, name, role):
    """A browser in which `name` is signed in; made once."""
    if (name, role) not in _people:
        api = Client(lab)
        api.welcome(invite(lab.appliance, name, role), PASSWORD)
        _people[name, role] = api
    return _people[name, role]


def owner(lab):
    return person(lab, f"owner@{ACME}", "owner")


def until(days=30):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86400))


def new_key(lab, name, role="log", **more):
    return owner(lab).post(f"/tenants/{ACME}/keys", {"key": {"name": name, "role": role, "valid_until": until(), **more}})


def change(api, edit, comment="", tenant=ACME, path=None):
    """Edits the document in force and commits it."""
    base = path or f"/tenants/{tenant}/config"
    config = api.get(base)
    edit(config["document"])
    return api.post(f"{base}/commit", {"document": config["document"], "comment": comment}, If_Match=config["revision"])


# --- keys of programs -------------------------------------------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_does_what_its_role_may_and_no_more(lab):
    made = new_key(lab, "robot", "read")
    robot = Client(lab, key=made["secret"])
    assert robot.get(f"/tenants/{ACME}/rules")["rows"]
    assert made["secret"] not in json.dumps(owner(lab).get(f"/tenants/{ACME}/keys"))
    with pytest.raises(Refused, match="denied"):
        robot.post(f"/tenants/{ACME}/config/rollback", {"revision": 1})
    for path in ("/me", "/me/sessions", f"/tenants/{ACME}/accounts", f"/tenants/{ACME}/keys"):
        with pytest.raises(Refused, match="denied"):
            robot.get(path)
    for bad in (made["secret"] + "x", made["secret"][:-1], "sk.none.none", "x"):
        with pytest.raises(Refused, match="unauthenticated"):
            Client(lab, key=bad).get(f"/tenants/{ACME}/rules")
    acts = owner(lab).get(f"/tenants/{ACME}/audit")["entries"]
    assert any(one["actor"] == f"key:robot@{ACME}" and one["actor_kind"] == "api" and one["result"] == "denied" for one in acts)


def test_a_key_sees_no_other_tenant(lab):
    robot = Client(lab, key=new_key(lab, "walker", "admin")["secret"])
    document = json.loads(robot.raw("GET", "/api/v1/openapi.json")[2])
    tried = 0
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            if "{tenant}" not in path:
                continue
            full = path.replace("{tenant}", GLOBEX).replace("{id}", "x").replace("{binding}", "web1").replace("{token}", "x")
            status, _, text = robot.raw(verb.upper(), full, None if verb == "get" else "{}", {"Content-Type": "application/json", "If-Match": "1"})
            if status == 429:
                time.sleep(1)  # a key's own bound
                status, _, text = robot.raw(verb.upper(), full, None if verb == "get" else "{}", {"Content-Type": "application/json", "If-Match": "1"})
            assert status in (403, 404) and GLOBEX not in text.decode(), (operation["operationId"], status, text)
            tried += 1
    assert tried >= 40


def test_a_key_that_only_reads_searches_logs_and_changes_nothing(lab):
    robot = Client(lab, key=new_key(lab, "reader", "admin", read_only=True)["secret"])
    assert "records" in robot.post(f"/tenants/{ACME}/logs/search", {"limit": 1})
    config = robot.get(f"/tenants/{ACME}/config")
    with pytest.raises(Refused, match="only reads"):
        robot.post(f"/tenants/{ACME}/config/commit", {"document": config["document"]}, If_Match=config["revision"])


def test_a_revoked_key_is_refused_within_five_seconds_and_its_stream_ends(lab):
    made = new_key(lab, "gone", "read")
    robot = Client(lab, key=made["secret"])
    context = ssl.create_default_context(cafile=str(robot.certificate))
    with inside(robot.namespace):
        connection = http.client.HTTPSConnection(robot.address, robot.port, timeout=60, context=context)
        connection.connect()
    connection.request("GET", f"/api/v1/tenants/{ACME}/events?seconds=60", headers={"Authorization": f"Bearer {made['secret']}"})
    stream = connection.getresponse()
    assert stream.status == 200 and stream.readline().startswith(b"event: dashboard")
    owner(lab).call("DELETE", f"/api/v1/tenants/{ACME}/keys/{made['key']['id']}")
    begin = time.monotonic()
    with pytest.raises(Refused, match="unauthenticated"):
        robot.get(f"/tenants/{ACME}/rules")
    assert any(line.startswith(b"event: end") for line in stream) and time.monotonic() - begin < 5
    connection.close()


def test_a_key_works_from_its_sources_alone(lab):
    inner = new_key(lab, "inner", "read", sources=["127.0.0.0/8"])
    assert Client(lab, key=inner["secret"]).get(f"/tenants/{ACME}/rules")["rows"]
    outer = new_key(lab, "outer", "read", sources=["192.0.2.0/24"])
    with pytest.raises(Refused, match="unauthenticated"):
        Client(lab, key=outer["secret"]).get(f"/tenants/{ACME}/rules")


def fingerprint(files, name):
    der = ssl.PEM_cert_to_DER_cert((files / f"{name}.crt").read_text())
    return hashlib.sha256(der).hexdigest()


def test_a_certificate_stands_for_an_account_and_no_other_certificate_does(lab, files):
    new_key(lab, "bound", "admin", certificate=fingerprint(files, "robot"), certificate_alone=True)
    robot = Client(lab, files, "robot")
    assert robot.get(f"/tenants/{ACME}/rules")["rows"]
    with pytest.raises(Refused, match="unauthenticated"):
        Client(lab, files, "home").get(f"/tenants/{ACME}/rules")
    with pytest.raises(Refused, match="unauthenticated"):
        Client(lab).get(f"/tenants/{ACME}/rules")
    body = {"document": robot.get(f"/tenants/{ACME}/config")["document"]}
    with pytest.raises(Refused, match="csrf"):  # as a browser would that somebody else's page makes ask
        robot.post(f"/tenants/{ACME}/config/check", body)
    robot.csrf = "certificate"
    assert robot.post(f"/tenants/{ACME}/config/check", body)["ok"]
    both = new_key(lab, "both", "read", certificate=fingerprint(files, "home"))["secret"]
    assert Client(lab, files, "home", key=both).get(f"/tenants/{ACME}/rules")["rows"]
    for who in (Client(lab, key=both), Client(lab, files, "robot", key=both)):
        with pytest.raises(Refused, match="unauthenticated"):
            who.get(f"/tenants/{ACME}/rules")


def test_a_certificate_of_another_authority_is_no_connection(lab, files, tmp_path):
    make_certificate(tmp_path, "stranger", "DNS:stranger")
    with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
        Client(lab, tmp_path, "stranger").get("/banner")


def test_no_key_ends_a_contract_and_a_look_that_was_refused_stands_in_both_logs(lab):
    sec, support, auditor = (person(lab, name, role) for name, role in (("sec", "p-sec"), ("sue", "p-support"), ("aud", "p-audit")))
    stolen = sec.post("/platform/keys", {"key": {"name": "stolen", "role": "p-ops", "valid_until": until()}})["secret"]
    robot = Client(lab, key=stolen)
    assert "rows" in robot.get("/platform/status")
    for path, body in (("", {"scope": "contract", "contract": "firewall"}), ("/x/early", {})):
        with pytest.raises(Refused, match="for people"):
            robot.post(f"/tenants/{ACME}/erasures{path}", body)
    with pytest.raises(Refused, match="for people"):
        robot.call("DELETE", f"/api/v1/tenants/{ACME}/erasures/x")
    assert owner(lab).get(f"/tenants/{ACME}/erasures").get("erasures", []) == []
    with pytest.raises(Refused, match="consent"):
        support.get(f"/tenants/{ACME}/rules")
    for entries in (owner(lab).get(f"/tenants/{ACME}/audit")["entries"], auditor.get("/platform/audit")["entries"]):
        assert any(one["actor"] == "sue" and one["operation"] == "ListRules" and one["result"] == "denied" for one in entries), entries[:5]


# --- sessions ---------------------------------------------------------------------------------------------------------------------------------------


def test_a_session_lives_through_a_restart_of_controld_and_a_session_that_ended_does_not_come_back(lab):
    kept = person(lab, f"kept@{ACME}", "read")
    left = Client(lab)
    left.welcome(invite(lab.appliance, f"left@{ACME}", "read"), PASSWORD)
    cookie, csrf = left.cookie, left.csrf
    left.post("/logout")
    lab.appliance.kill("controld")
    lab.appliance.start_daemon("controld")
    wait_until(lambda: lab.appliance.answers(), 30, "controld answering", every=0.1)
    assert kept.get("/me")["account"] == f"kept@{ACME}"
    left.cookie, left.csrf = cookie, csrf
    with pytest.raises(Refused, match="unauthenticated"):
        left.get("/me")


def test_a_cookie_that_was_there_before_the_sign_in_is_none_after_it(lab):
    api = Client(lab)
    api.cookie = "A" * 43  # an attacker's, put into the victim's browser
    reply = api.post("/login/link", {"link": invite(lab.appliance, f"fixed@{ACME}", "read")})
    assert reply["me"]["account"] == f"fixed@{ACME}" and api.cookie != "A" * 43
    attacker = Client(lab)
    attacker.cookie = "A" * 43
    with pytest.raises(Refused, match="unauthenticated"):
        attacker.get("/me")


# --- two people -------------------------------------------------------------------------------------------------------------------------------------


def set_memo(text):
    return lambda document: document["policies"][0]["rules"][0].__setitem__("memo", text)


def test_a_change_waits_for_a_second_person_who_is_not_the_one_that_asked(lab):
    ann = owner(lab)
    ben = person(lab, f"ben@{ACME}", "admin")
    rule = person(lab, f"rita@{ACME}", "rule")
    change(ann, lambda document: document.setdefault("sign_in", {}).__setitem__("four_eyes", True), "two of us")
    before = ann.get(f"/tenants/{ACME}/config")
    asked = change(ann, set_memo("by two"), "a memo")
    assert asked["state"] == "waiting" and asked["asked_by"] == f"owner@{ACME}" and any("by two" in line for line in asked["changes"])
    assert ann.get(f"/tenants/{ACME}/config")["revision"] == before["revision"], "nothing is in force yet"
    with pytest.raises(Refused, match="somebody else"):
        ann.post(f"/tenants/{ACME}/approvals/{asked['id']}/approve")
    with pytest.raises(Refused, match="not_found"):
        person(lab, f"owner@{GLOBEX}", "owner").post(f"/tenants/{GLOBEX}/approvals/{asked['id']}/approve")
    robot = Client(lab, key=new_key(lab, "eyes", "admin")["secret"])
    with pytest.raises(Refused, match="for people"):
        robot.post(f"/tenants/{ACME}/approvals/{asked['id']}/approve")
    done = ben.post(f"/tenants/{ACME}/approvals/{asked['id']}/approve")
    assert done["state"] == "done" and done["decided_by"] == f"ben@{ACME}", done
    assert ann.get(f"/tenants/{ACME}/config")["document"]["policies"][0]["rules"][0]["memo"] == "by two"
    with pytest.raises(Refused, match="already"):
        ben.post(f"/tenants/{ACME}/approvals/{asked['id']}/approve")
    act = next(one for one in ann.get(f"/tenants/{ACME}/audit")["entries"] if one["operation"] == "CommitConfig" and "approved" in one["detail"])
    assert act["actor"] == f"owner@{ACME}" and f"approved by ben@{ACME}" in act["detail"]
    # One that was made from an older revision fails when it is approved; one that is refused does nothing.
    first, second = change(ann, set_memo("first")), change(ann, set_memo("second"))
    assert ben.post(f"/tenants/{ACME}/approvals/{first['id']}/approve")["state"] == "done"
    stale = ben.post(f"/tenants/{ACME}/approvals/{second['id']}/approve")
    assert stale["state"] == "failed" and "in between" in stale["reason"]
    third = change(ben, set_memo("third"))
    assert ann.post(f"/tenants/{ACME}/approvals/{third['id']}/refuse", {"reason": "no"})["state"] == "refused"
    # Who may not change a part approves no change of it, and is not shown it.
    off = change(ann, lambda document: document["sign_in"].pop("four_eyes"))
    assert off["state"] == "waiting"
    with pytest.raises(Refused, match="may not change"):
        rule.post(f"/tenants/{ACME}/approvals/{off['id']}/approve")
    assert not next(one for one in rule.get(f"/tenants/{ACME}/approvals")["approvals"] if one["id"] == off["id"])["changes"]
    with pytest.raises(Refused, match="may not change"):
        ben.post(f"/tenants/{ACME}/approvals/{off['id']}/approve")
    assert ann.post(f"/tenants/{ACME}/approvals/{off['id']}/refuse")["state"] == "withdrawn"
    cat = person(lab, f"cat@{ACME}", "owner")
    off = change(ann, lambda document: document["sign_in"].pop("four_eyes"))
    assert cat.post(f"/tenants/{ACME}/approvals/{off['id']}/approve")["state"] == "done"
    assert "revision" in change(ann, set_memo("alone again"))


def test_a_change_that_nobody_else_could_approve_is_refused_at_once(lab):
    zoe = person(lab, f"owner@{GLOBEX}", "owner")
    change(zoe, lambda document: document.setdefault("sign_in", {}).__setitem__("four_eyes", True), tenant=GLOBEX)
    with pytest.raises(Refused, match="nobody else"):
        change(zoe, set_memo("x"), tenant=GLOBEX)


def test_accounts_and_keys_wait_for_a_second_person_and_what_was_made_is_shown_once_to_who_asked(lab):
    zoe, ola = person(lab, f"owner@{GLOBEX}", "owner"), person(lab, f"ola@{GLOBEX}", "owner")
    both = {"four_eyes": False, "four_eyes_accounts": True}
    asked = change(zoe, lambda document: document.setdefault("sign_in", {}).update(both), tenant=GLOBEX)
    if "state" in asked:  # four eyes were on
        ola.post(f"/tenants/{GLOBEX}/approvals/{asked['id']}/approve")
    base = f"/tenants/{GLOBEX}"
    wanted = zoe.post(f"{base}/accounts", {"id": "nina", "account": {"role": "owner", "mail": "nina@globex.example"}})
    assert wanted["state"] == "waiting" and "account.role: \"owner\"" in wanted["changes"], wanted
    assert "nina" not in json.dumps(zoe.get(f"{base}/accounts")), "there is no such account yet"
    with pytest.raises(Refused, match="somebody else"):
        zoe.post(f"{base}/approvals/{wanted['id']}/approve")
    with pytest.raises(Refused, match="not_found"):
        zoe.post(f"{base}/approvals/{wanted['id']}/reply")
    assert ola.post(f"{base}/approvals/{wanted['id']}/approve")["state"] == "done"
    with pytest.raises(Refused, match="not_found"):
        ola.post(f"{base}/approvals/{wanted['id']}/reply")
    link = zoe.post(f"{base}/approvals/{wanted['id']}/reply")["invitation"]["link"]
    with pytest.raises(Refused, match="not_found"):
        zoe.post(f"{base}/approvals/{wanted['id']}/reply")
    # Who gave out the link may have used it: Nina is no second person for Zoe, nor Zoe for Nina; for Ola she is.
    nina = Client(lab)
    nina.welcome(link, PASSWORD)
    key = {"key": {"name": "robot", "role": "read", "valid_until": until()}}
    of_zoe = zoe.post(f"{base}/keys", key)
    with pytest.raises(Refused, match="no second person"):
        nina.post(f"{base}/approvals/{of_zoe['id']}/approve")
    of_nina = nina.post(f"{base}/keys", {"key": {**key["key"], "name": "second"}})
    with pytest.raises(Refused, match="no second person"):
        zoe.post(f"{base}/approvals/{of_nina['id']}/approve")
    of_ola = ola.post(f"{base}/keys", {"key": {**key["key"], "name": "third"}})
    assert nina.post(f"{base}/approvals/{of_ola['id']}/approve")["state"] == "done"
    secret = ola.post(f"{base}/approvals/{of_ola['id']}/reply")["key"]["secret"]
    assert Client(lab, key=secret).get(f"{base}/rules")["rows"]
    # The end of a contract waits as well; what ends a key or a lock does not.
    ending = zoe.post(f"{base}/erasures", {"scope": "contract", "contract": "firewall", "end": "2099-01-01"})
    assert ending["state"] == "waiting" and zoe.get(f"{base}/erasures").get("erasures", []) == []
    assert ola.post(f"{base}/approvals/{ending['id']}/refuse")["state"] == "refused"
    made = next(one["id"] for one in ola.get(f"{base}/keys")["keys"] if one["name"] == "third")
    ola.call("DELETE", f"/api/v1{base}/keys/{made}")


def test_a_tenant_that_acts_without_pause_is_told_so_and_holds_up_no_other(lab):
    zoe = person(lab, f"owner@{GLOBEX}", "owner")
    context = ssl.create_default_context(cafile=str(zoe.certificate))
    with inside(zoe.namespace):
        connection = http.client.HTTPSConnection(zoe.address, zoe.port, timeout=60, context=context)
        connection.connect()

    def act():
        connection.request("POST", f"/api/v1/tenants/{GLOBEX}/notifications/test", body=b"{}", headers={
            "Cookie": f"__Host-sekisho={zoe.cookie}", "X-Sekisho-Csrf": zoe.csrf, "Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())

    for _ in range(5000):
        status, headers, error = act()
        if status == 429:
            break
        assert status == 422, error
    assert (status, error["code"], headers["Retry-After"]) == (429, "too_many_acts", "1")
    assert "records" in owner(lab).post(f"/tenants/{ACME}/logs/search", {"limit": 1}), "another tenant acts"
    assert zoe.get(f"/tenants/{GLOBEX}/rules")["rows"], "what only looks is not held up"
    wait_until(lambda: act()[0] == 422, 20, "room again", every=0.3)
    connection.close()


# --- messages ---------------------------------------------------------------------------------------------------------------------------------------


def set_up_messages(lab, mail, hook, **relay):
    ops = person(lab, "opal", "p-ops")

    def platform(document):
        document["notify"] = {"relay": {"host": "127.0.0.1", "port": 2465, "sender": "noreply@unit.example", "user": MAIL_USER,
                                        "password": MAIL_PASSWORD, "ca": mail.certificate.read_text(), **relay},
                              "webhook_networks": ["127.0.0.0/8"]}

    def tenant(document):
        document["notifications"] = [{"name": "ops", "mail": ["ops@acme.example", "nobody@acme.example"], "details": True},
                                     {"name": "hook", "webhook": hook.url, "signing_key": SIGNING_KEY, "ca": hook.certificate.read_text()}]

    change(ops, platform, path="/platform/config")
    if "notifications" not in owner(lab).get(f"/tenants/{ACME}/config")["document"]:
        change(owner(lab), tenant)
    return ops


def arrived(mail, subject, recipient="ops@acme.example", count=1, within=60):
    return wait_until(lambda: mail.find(subject, recipient) if len(mail.find(subject, recipient)) >= count else None, within,
                      f"the mail \"{subject}\"", every=0.2)


def test_a_test_message_reaches_mail_server_and_webhook(lab, mail, hook):
    set_up_messages(lab, mail, hook)
    owner(lab).post(f"/tenants/{ACME}/notifications/test", {"target": "ops"})
    owner(lab).post(f"/tenants/{ACME}/notifications/test", {"target": "hook"})
    message, text = arrived(mail, f"[FWGW] {ACME} test")[0]
    assert message["From"] == "Sekisho <noreply@unit.example>" and f"ServiceCode: {ACME}" in text and "イベント: テスト" in text
    assert "with esmtpsa" in message["Received"], "TLS, and signed in"
    wait_until(lambda: any(one["event"] == "test" for one in hook.events()), 60, "the call", every=0.2)
    headers, body = next(one for one in hook.calls if json.loads(one[1])["event"] == "test")
    at, signature = (part.split("=")[1] for part in headers["X-Sekisho-Signature"].split(","))
    assert hmac.compare_digest(signature, hmac.new(SIGNING_KEY.encode(), f"{at}.".encode() + body, "sha256").hexdigest())
    assert abs(time.time() - int(at)) < 120
    with pytest.raises(Refused, match="no such target"):
        owner(lab).post(f"/tenants/{ACME}/notifications/test", {"target": "nobody"})

    def told():
        entries = owner(lab).get(f"/tenants/{ACME}/audit")["entries"]
        return [one for one in entries if one["object"].startswith("test to ") and one["result"] == "ok"]

    wait_until(lambda: len(told()) == 2, 30, "both deliveries in the operation log", every=0.2)
    assert any("1 of 2 receivers" in one["detail"] for one in told())
    assert MAIL_PASSWORD not in json.dumps(person(lab, "opal", "p-ops").get("/platform/config"))
    assert SIGNING_KEY not in json.dumps(owner(lab).get(f"/tenants/{ACME}/config"))


def test_a_notice_is_told_within_a_minute_also_to_who_manages_the_tenant(lab, mail, hook):
    ops = set_up_messages(lab, mail, hook)
    owner(lab).call("PUT", f"/api/v1/tenants/{ACME}/accounts/owner@{ACME}", {"account": {"role": "owner", "mail": "boss@acme.example"}})
    begin = time.monotonic()
    ops.post("/platform/notices", {"notice": {"kind": "incident", "state": "running", "title_en": "No way out", "title_ja": "障害", "tenants": [ACME]}})
    for recipient in ("ops@acme.example", "boss@acme.example"):
        _, text = arrived(mail, f"[FWGW] {ACME} incident running", recipient)[0]
        assert "Title: 障害 / No way out" in text
    assert time.monotonic() - begin < 60
    ops.post("/platform/notices", {"notice": {"kind": "maintenance", "state": "planned", "title_en": "x", "title_ja": "y", "tenants": [GLOBEX]}})
    owner(lab).post(f"/tenants/{ACME}/notifications/test", {"target": "ops"})
    arrived(mail, f"[FWGW] {ACME} test", count=2)
    assert not any("maintenance" in m["Subject"] for m, _ in mail.mails()), "another tenant's"


def test_starttls_carries_it_too_and_a_wrong_certificate_nothing(lab, mail, hook, tmp_path):
    set_up_messages(lab, mail, hook, port=2587, starttls=True)
    change(owner(lab), set_memo("told by starttls"))
    arrived(mail, f"[FWGW] {ACME} commit done")
    other, _ = make_certificate(tmp_path, "other", "IP:127.0.0.1")
    set_up_messages(lab, mail, hook, ca=other.read_text())
    owner(lab).post(f"/tenants/{ACME}/notifications/test", {"target": "ops"})

    def waiting():
        return [one for one in owner(lab).get(f"/tenants/{ACME}/notifications")["deliveries"] if one["event"] == "test" and one["tries"] >= 1]

    wait_until(waiting, 60, "a failed try", every=0.2)
    assert "certificate" in waiting()[0]["last_error"]
    had = len(mail.find(f"[FWGW] {ACME} test", "ops@acme.example"))
    set_up_messages(lab, mail, hook)
    arrived(mail, f"[FWGW] {ACME} test", count=had + 1)


def test_what_could_not_be_sent_is_kept_through_restarts_and_sent_when_the_server_is_back(lab, mail, hook):
    set_up_messages(lab, mail, hook)
    had = len(mail.find(f"[FWGW] {ACME} test", "ops@acme.example"))
    mail.stop()
    owner(lab).post(f"/tenants/{ACME}/notifications/test", {"target": "ops"})
    wait_until(lambda: any(one["tries"] >= 1 for one in owner(lab).get(f"/tenants/{ACME}/notifications")["deliveries"]), 60, "a failed try", every=0.2)
    for name in ("controld", "mgmtd"):
        lab.appliance.kill(name)
        lab.appliance.start_daemon(name)
    lab.appliance.portal = (lab.appliance.portal[0], int(lab.appliance.output("mgmtd").rsplit("ready on port ", 1)[1].split()[0]))
    for api in _people.values():
        api.address, api.port = lab.appliance.portal
    mail.start()
    arrived(mail, f"[FWGW] {ACME} test", count=had + 1, within=240)  # what a killed mgmtd had just taken is handed out again after three minutes


def test_a_webhook_is_called_only_where_the_provider_lets_it_be(lab, mail, hook):
    ops = set_up_messages(lab, mail, hook)
    change(ops, lambda document: document["notify"].__setitem__("webhook_networks", ["192.0.2.0/24"]), path="/platform/config")
    calls = len(hook.calls)
    owner(lab).post(f"/tenants/{ACME}/notifications/test", {"target": "hook"})
    state = wait_until(lambda: next((one for one in owner(lab).get(f"/tenants/{ACME}/notifications")["deliveries"] if one["webhook"] and one["tries"] >= 1), None),
                       60, "a refused call", every=0.2)
    assert "lets nobody connect" in state["last_error"] and len(hook.calls) == calls


def test_a_unit_that_no_longer_processes_traffic_is_told_within_a_minute(lab, mail, hook):
    set_up_messages(lab, mail, hook)
    wait_until(lambda: owner(lab).get(f"/tenants/{ACME}/dashboard")["counting"], 30, "the data plane counted", every=0.5)
    running, done = f"[FWGW] {ACME} incident running", f"[FWGW] {ACME} incident done"
    had = [len(mail.find(subject, "ops@acme.example")) for subject in (running, done)]
    begin = time.monotonic()
    lab.appliance.kill("dataplaned")
    arrived(mail, running, count=had[0] + 1)
    assert time.monotonic() - begin < 60
    lab.appliance.start_daemon("dataplaned")
    arrived(mail, done, count=had[1] + 1)


@pytest.mark.skipif(shutil.which("hping3") is None, reason="needs hping3")
def test_a_flood_is_told_once_and_to_nobody_whom_it_does_not_concern(lab, mail, hook):
    set_up_messages(lab, mail, hook)
    flood = subprocess.Popen(lab["outside"].argv("hping3", "-q", "-n", "-S", "-p", "80", "-i", "u2000", "--rand-source", "203.0.113.17"),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _, text = arrived(mail, f"[FWGW] {ACME} dos begin", within=90)[0]
    finally:
        flood.kill()
        flood.wait()
    assert "Object: DOS_SYN_FLOOD" in text and "イベント: DoS 検知" in text
    wait_until(lambda: any(one["event"] == "dos" for one in hook.events()), 60, "the call", every=0.2)
    owner(lab).post(f"/tenants/{ACME}/notifications/test", {"target": "ops"})  # what comes behind it has overtaken nothing
    arrived(mail, f"[FWGW] {ACME} test", count=len(mail.find(f"[FWGW] {ACME} test", "ops@acme.example")) + 1)
    assert len(mail.find(f"[FWGW] {ACME} dos begin", "ops@acme.example")) == 1
    assert not mail.find(f"[FWGW] {GLOBEX} dos begin", "ops@acme.example")


# --- calling home, and the clock --------------------------------------------------------------------------------------------------------------------


def home(lab, files, name):
    """What the rendezvous has: a connection the unit made, over which it is asked with the certificate of `name`."""
    with inside(lab.topology.office):
        listener = socket.create_server(("127.0.0.1", HOME))
    listener.settimeout(70)
    try:
        accepted, _ = listener.accept()
    finally:
        listener.close()
    accepted.settimeout(20)
    context = ssl.create_default_context(cafile=str(lab.root / "out" / "portal.crt"))
    if name:
        context.load_cert_chain(files / f"{name}.crt", files / f"{name}.key")
    return context.wrap_socket(accepted, server_hostname="localhost")


def ask(connection, path, key=None):
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n" + (f"Authorization: Bearer {key}\r\n" if key else "") + "\r\n"
    connection.sendall(head.encode())
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def test_the_unit_calls_home_again_and_again_and_answers_who_shows_its_certificate(lab, files):
    key = new_key(lab, "caller", "read")["secret"]
    with home(lab, files, "home") as connection:
        assert ask(connection, "/api/v1/banner")[0] == 200
        assert ask(connection, f"/api/v1/tenants/{ACME}/rules")[0] == 401, "a certificate of the rendezvous alone is nobody"
        status, text = ask(connection, f"/api/v1/tenants/{ACME}/rules", key)
        assert status == 200 and json.loads(text)["rows"]
    with home(lab, files, "home") as again:
        assert ask(again, "/api/v1/banner")[0] == 200
    with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):  # TLS 1.3: refused with the first answer
        with home(lab, files, None) as nobody:
            ask(nobody, "/api/v1/banner")


def test_the_clock_is_said_to_be_kept_or_not(lab):
    clock = person(lab, "opal", "p-ops").get("/platform/clock")
    assert isinstance(clock["synchronised"], bool) and clock["error_milliseconds"] >= 0
