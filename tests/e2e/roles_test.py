# SPDX-License-Identifier: Apache-2.0
"""Every method of the API by every role, over TLS: who may is typed here from the requirements' table of roles, not read from the code. Then
names of another tenant's things in one's own paths: they are answered like names of nothing, and nothing happens to what they name."""

import json
import time

import pytest
from lab.api import Patient, Refused, invite
from lab.lab import Lab

ACME, GLOBEX = "acm00000001", "glx00000001"
PASSWORD = "correct horse battery 7"
ROLES = ("owner", "admin", "rule", "user", "log", "read", "self", "p-ops", "p-support", "p-audit", "p-sec")

# Y yes, - no, T while a consent of the tenant lasts, ? the table does not say. p-sec keeps keys and staff accounts and sees nothing of tenants.
# What a tenant's own pages show is its content: the provider's people see the contract on the platform's page of tenants.
#                                            oarulrs  opas
TABLE = {
    "everybody signed in":                  ("YYYYYYY" "YYYY", "Logout WhoAmI SetPassword BeginTotp ConfirmTotp ListMySessions EndMySessions ListTenants"),
    "manage accounts":                      ("Y------" "----", "ListAccounts AddAccount ChangeAccount RemoveAccount ReissueAccount UnlockAccount "
                                             "ListApiKeys AddApiKey RevokeApiKey GrantConsent EndConsent"),
    "contract view":                        ("YYYYYY-" "?T--", "GetDashboard GetTenantMetrics Watch ListDrops GetConfig ListRevisions DiffRevisions ListConsents ListNotices"),
    "objects, rules, NAT: view":            ("YYYY-Y-" "-T--", "ListRules ListNat Explain"),
    "commit, of one's own parts":           ("YYYY---" "-T--", "CheckConfig CommitConfig ConfirmCommit RollBack"),
    "a second person's leave":              ("YYYY---" "-???", "ListApprovals Approve RefuseApproval TakeApproved"),
    "users, groups, devices: view":         ("YY-Y-Y-" "-T--", "ListVpnUsers ListVpnSessions GetVpnProfile GetReach"),
    "port bindings: view":                  ("YYY--Y-" "YT--", "ListPorts ListBindings"),
    "release quarantine":                   ("YYY----" "YT--", "EndQuarantine"),
    "users, groups, devices: change":       ("YY-Y---" "-T--", "TryLogin"),
    "disconnect a session, unlock a user":  ("YY-Y---" "-T--", "Disconnect UnlockVpnUser"),
    "one's own remote access":              ("------Y" "----", "GetSelf SetVpnPassword RequestDevice EndOwnSession GetOwnProfile ListOwnConnections"),
    "log search, download":                 ("YY--Y--" "-T--", "ListSessions SearchLogs DownloadLogs GetDownload"),
    "operation log":                        ("YY--Y--" "--Y-", "ListAudit"),
    "log policy, export targets":           ("YY-----" "----", "ListLogExports"),
    "notifications":                        ("YY-----" "-?--", "TestNotification ListDeliveries"),
    "settings export, restore":             ("YY-----" "----", "ExportConfig ImportConfig"),
    "erasure: view":                        ("YYYYYY-" "Y-Y?", "ListErasures"),
    "request erasure, early erasure":       ("Y------" "Y---", "EndContract WithdrawErasure EraseEarly"),
    "platform health":                      ("-------" "YYY?", "GetStatus ListTenantUse GetMetrics GetPlatformConfig ListAllNotices GetClock ListAllErasures"),
    "platform; assign MAC and IP":          ("-------" "Y---", "CheckPlatformConfig CommitPlatformConfig ConfirmPlatformCommit AddNotice ChangeNotice"),
    "a second one of the provider's":       ("-------" "Y???", "ListPlatformApprovals ApprovePlatform RefusePlatformApproval TakePlatformApproved"),
    "operation log of the provider":        ("-------" "--Y?", "ListPlatformAudit"),
    "staff accounts, keys":                 ("-------" "---Y", "ListStaff AddStaff RemoveStaff ReissueStaff UnlockStaff ListStaffKeys AddStaffKey RevokeStaffKey"),
}
OPEN = {"GetBanner", "Login", "LoginByLink"}


def expected():
    """{method: {role: letter}}"""
    out = {}
    for letters, methods in TABLE.values():
        for method in methods.split():
            assert method not in out
            out[method] = dict(zip(ROLES, letters))
    return out


@pytest.fixture(scope="module")
def lab():
    with Lab() as built:
        portal = built.root / "out" / "portal"
        portal.mkdir()
        (portal / "index.html").write_text("<!doctype html><title>portal</title>")
        built.appliance.start_management(portal)
        yield built
        print(f"--- mgmtd\n{built.appliance.output('mgmtd')[-3000:]}\n--- controld\n{built.appliance.output('controld')[-3000:]}")


_people = {}


def browser(lab):
    return Patient(*lab.appliance.portal, lab.root / "out" / "portal.crt", lab.topology.office)


def person(lab, role, tenant=ACME):
    """Somebody of that role, signed in; made once."""
    name = role if role.startswith("p-") else f"{role}@{tenant}"
    if name not in _people:
        api = browser(lab)
        api.welcome(invite(lab.appliance, name, role), PASSWORD)
        _people[name] = api
    return _people[name]


def methods(lab):
    """{name: (verb, path)} as the unit tells them."""
    document = json.loads(browser(lab).raw("GET", "/api/v1/openapi.json")[2])
    return {operation["operationId"]: (verb.upper(), path) for path, verbs in document["paths"].items() for verb, operation in verbs.items()}


def ask(api, verb, path, body=None, key=None, **more):
    """(status, reply). A revision that never was: nothing that is let through changes a thing. `more` are headers."""
    headers = {"Content-Type": "application/json", "If-Match": "999999", **{name.replace("_", "-"): value for name, value in more.items()}}
    headers.update({"Authorization": f"Bearer {key}"} if key else {"Cookie": f"__Host-sekisho={api.cookie}", "X-Sekisho-Csrf": api.csrf})
    status, _, text = api.raw(verb, path, None if verb == "GET" else json.dumps(body or {}), headers)
    return status, text.decode("utf-8", "replace")


def fill(path, **words):
    for word, value in {"tenant": ACME, "id": "nobody", "binding": "nothing", "token": "none", **words}.items():
        path = path.replace("{" + word + "}", value)
    return path


def first_event(api, path):
    """The same of a stream, which has no end of its own."""
    end = time.monotonic() + 60
    while True:
        events = api.events(path.removeprefix("/api/v1"))
        try:
            return 200, str(next(events))
        except Refused as refused:
            if refused.status != 429 or time.monotonic() > end:
                return refused.status, json.dumps(refused.body)
        finally:
            events.close()
        time.sleep(0.2)


# Signed out by Logout, nobody could go on: it comes last, by a session of its own.
LAST = ("Logout",)


def refused_or_not(lab, role, known):
    """{method: whether the role was refused}"""
    api, out = person(lab, role), {}
    for name, (verb, path) in known.items():
        if name in OPEN or name in LAST:
            continue
        status, text = first_event(api, fill(path)) if path.endswith("/events") else ask(api, verb, fill(path))
        assert status != 401 or name == "ConfirmTotp", (role, name, text)  # which is asked with a wrong code
        if status in (403, 404):  # another's tenant, and a thing that is not there, are 404: the tenant is one's own here, so that is the thing
            assert status == 404 or json.loads(text)["code"] == "denied", (role, name, text)
        out[name] = status == 403
    return out


def judge(role, seen, consent=False):
    """What differs from the table: [(method, letter, refused)]."""
    wrong = []
    for name, refused in seen.items():
        letter = expected()[name][role]
        if letter == "?":
            continue
        if refused != (letter == "-" or (letter == "T" and not consent)):
            wrong.append((name, letter, refused))
    return wrong


def test_every_method_is_in_the_table(lab):
    assert set(methods(lab)) - OPEN <= set(expected()), "a method without a row: who may call it?"
    assert len(methods(lab)) >= 80


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_the_table_says_and_nothing_else(lab, role):
    seen = refused_or_not(lab, role, methods(lab))
    assert judge(role, seen) == []
    assert any(seen.values()) and not all(seen.values())


def headers_of(lab):
    """{method: the headers its document names}"""
    document = json.loads(browser(lab).raw("GET", "/api/v1/openapi.json")[2])
    return {operation["operationId"]: {one["name"] for one in operation.get("parameters", []) if one["in"] == "header"}
            for verbs in document["paths"].values() for operation in verbs.values()}


def test_each_header_the_document_names_is_honoured_and_no_other(lab):
    named, heard = headers_of(lab), {}
    for name, (verb, path) in methods(lab).items():
        if path.endswith("/events"):
            continue
        # Too long a key is refused before anything is done; a revision that never was, by what asks for one. Somebody of these may call each.
        said = [ask(person(lab, role), verb, fill(path), Idempotency_Key="k" * 129) for role in ("owner", "p-ops", "p-sec", "p-audit", "self")]
        heard[name] = {"Idempotency-Key"} if any(status == 422 and "idempotency key" in text for status, text in said) else set()
        if "/config/" in path:
            said = [ask(person(lab, role), verb, fill(path)) for role in ("owner", "p-ops")]
            heard[name] |= {"If-Match"} if any(status == 412 for status, _ in said) else set()
    assert heard == {name: named[name] for name in heard}
    assert len([name for name in heard if heard[name]]) >= 40 and len([name for name in heard if not heard[name]]) >= 30
    # The nearest that must pass: one as long as may be, and the revision that is in force.
    owner = person(lab, "owner")
    config = owner.get(f"/tenants/{ACME}/config")
    status, text = ask(owner, "POST", f"/api/v1/tenants/{ACME}/config/commit", {"document": config["document"]}, If_Match=str(config["revision"]),
                       Idempotency_Key="k" * 128)
    assert status == 200, text


def test_support_may_with_consent_what_the_table_says_and_nothing_afterwards(lab):
    owner, known = person(lab, "owner"), methods(lab)
    consent = owner.post(f"/tenants/{ACME}/consents", {"minutes": 10, "ticket": "T-1", "reason": "a look", "edit": True})
    assert judge("p-support", refused_or_not(lab, "p-support", known), consent=True) == []
    owner.call("DELETE", f"/api/v1/tenants/{ACME}/consents/{consent['id']}")
    assert judge("p-support", refused_or_not(lab, "p-support", known)) == []


# What of the tenant's document each role sees: rows "view" of the table.
SEES = {"policies": "YYYY-Y", "addresses": "YYYY-Y", "bindings": "YYY--Y", "ports": "YYY--Y"}
# ... and changes: rules by who edits rules, users by who manages users. An owner may both.
CHANGES = {"rules": "YYY---", "users": "YY-Y--", "collectors": "YY----", "bindings": "------"}


@pytest.mark.parametrize("role", ROLES[:6])
def test_a_role_sees_and_changes_its_parts_of_the_document_alone(lab, role):
    at = ROLES.index(role)
    config = json.loads(ask(person(lab, role), "GET", f"/api/v1/tenants/{ACME}/config")[1])
    for part, letters in SEES.items():
        assert (part in config["document"]) == (letters[at] == "Y"), part
    for part, letters in CHANGES.items():
        document = json.loads(json.dumps(config["document"]))
        if part == "rules":
            document.setdefault("policies", [{"name": "mine", "from": ["office"], "to": ["servers"], "rules": []}])[0]["rules"] = []
        elif part == "users":
            document["user_groups"] = [{"name": f"group-{role}"}]
        elif part == "collectors":
            document["log_exports"] = [{"name": "siem", "kind": "syslog", "address": "192.0.2.77"}]
        else:
            document["bindings"] = document.get("bindings", [])[1:] or [{"name": "mine", "port": "web1"}]
        status, text = ask(person(lab, role), "POST", f"/api/v1/tenants/{ACME}/config/check", {"document": document})
        assert (status == 200) == (letters[at] == "Y"), (part, status, text)
        if letters[at] != "Y":
            assert status == 403, (part, status, text)


def their_things(lab):
    """Names of things that are globex's."""
    theirs = person(lab, "owner", GLOBEX)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 864000))
    consent = theirs.post(f"/tenants/{GLOBEX}/consents", {"minutes": 60, "reason": "theirs"})["id"]
    key = theirs.post(f"/tenants/{GLOBEX}/keys", {"key": {"name": "theirs", "role": "read", "valid_until": until}})["key"]["id"]
    end = theirs.post(f"/tenants/{GLOBEX}/erasures", {"scope": "contract", "contract": "firewall", "end": "2028-02-29", "reason": "theirs"})["id"]
    status, headers, _ = theirs.raw("GET", f"/api/v1/tenants/{GLOBEX}/logs/download?types=comm&window=month", None,
                                    {"Cookie": f"__Host-sekisho={theirs.cookie}"})
    assert status == 200
    return {"accounts": f"owner@{GLOBEX}", "consents": consent, "keys": key, "erasures": end, "approvals": key, "bindings": "pc2-eth0",
            "downloads": headers["X-Sekisho-Download"]}


def their_state(lab):
    theirs = person(lab, "owner", GLOBEX)
    state = [theirs.get(f"/tenants/{GLOBEX}/{what}") for what in ("accounts", "consents", "keys", "erasures")]
    for account in state[0]["accounts"]:
        account.pop("last_login", None), account.pop("sessions", None)
    return state


def test_another_tenants_names_in_ones_own_paths_are_names_of_nothing(lab):
    things, owner = their_things(lab), person(lab, "owner")
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 864000))
    program = owner.post(f"/tenants/{ACME}/keys", {"key": {"name": "prying", "role": "admin", "valid_until": until}})["secret"]
    before, tried = their_state(lab), set()
    for name, (verb, path) in methods(lab).items():
        kind = next((kind for kind in things if f"/{kind}/" in path), None)
        if not path.startswith("/api/v1/tenants/{tenant}/") or kind is None or "{" not in path.split("{tenant}")[1]:
            continue
        body = {"account": {"role": "owner", "disabled": True}} if verb == "PUT" else None
        theirs, nothing = (fill(path, id=word, binding=word, token=word) for word in (things[kind], _like(things[kind])))
        unknown = plain(ask(owner, verb, nothing, body), _like(things[kind]))
        assert unknown[0] >= 400 and plain(ask(owner, verb, theirs, body), things[kind]) == unknown, name
        by_program = plain(ask(owner, verb, theirs, body, program), things[kind])
        assert by_program == unknown or by_program[0] == 403, (name, by_program)
        status, text = ask(person(lab, "read"), verb, theirs, body)
        assert status in (403, 404) and "theirs" not in text, (name, text)
        tried.add(name)
    assert len(tried) >= 12, tried
    assert their_state(lab) == before


def plain(answer, word):
    """An answer without the name it was asked for."""
    return answer[0], answer[1].replace(word, "")


def _like(name):
    """A name of the same form that nobody ever had."""
    return name.translate(str.maketrans("0123456789abcdef", "1234567890bcdefa")) if "@" not in name else f"nobody@{ACME}"


def test_ones_own_things_are_found_by_the_same_paths(lab):
    """The nearest that must pass: the same, with names of one's own."""
    owner = person(lab, "owner")
    consent = owner.post(f"/tenants/{ACME}/consents", {"minutes": 10, "reason": "ours"})["id"]
    invite(lab.appliance, f"passing@{ACME}", "read")
    assert owner.post(f"/tenants/{ACME}/accounts/passing@{ACME}/reissue")["link"]
    owner.call("DELETE", f"/api/v1/tenants/{ACME}/accounts/passing@{ACME}")
    owner.call("DELETE", f"/api/v1/tenants/{ACME}/consents/{consent}")
    with pytest.raises(Refused, match="not_found"):
        owner.call("DELETE", f"/api/v1/tenants/{ACME}/accounts/passing@{ACME}")
