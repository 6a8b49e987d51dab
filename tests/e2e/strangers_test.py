# SPDX-License-Identifier: Apache-2.0
"""Specification F-45: who is refused is told neither by words nor by how the conversation goes whether somebody of that name exists. What is
compared is all that the stranger gets to see; that refusing takes the same work is unit tests' (control/access_test.cc counts derivations)."""

import json
import re

import pytest
from lab.api import Api, invite
from lab.lab import Lab
from sstp_client import SstpError
from sstp_test import GATEWAYS, Site

from ike_world import Pki

ACME = "acm00000001"
PASSWORD = "correct horse battery 7"
KNOWN, UNKNOWN = "carol", "nobel"  # names of one length: packets that echo one would be as long


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strangers")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    with Lab(keying=("tunneld",)) as lab:
        made = Site(lab, pki, folder)
        made.sstp = "accept: [mschapv2, eap-mschapv2]"
        made.commit()
        portal = lab.root / "out" / "portal"
        portal.mkdir()
        (portal / "index.html").write_text("<!doctype html><title>portal</title>")
        lab.appliance.start_management(portal)
        yield made
        print(f"--- tunneld\n{lab.appliance.output('tunneld')[-3000:]}\n--- controld\n{lab.appliance.output('controld')[-3000:]}")


def conversation(site, user, password, method):
    """All that a client is told until it is put out: every packet of PPP and SSTP, and how it ends."""
    client, heard = site.client(user, password=password, eap=method == "eap", method=method).connect(), []
    packet = client.packet

    def hear(*arguments):
        got = packet(*arguments)
        heard.append(got)
        return got
    client.packet = hear
    with pytest.raises(SstpError) as put_out:
        client.login()
    client.close()
    return heard, str(put_out.value)


def shape(heard):
    """Kind, length, protocol and code of each packet. What else is in them differs whoever tries: nonces, magic numbers, identifiers, challenges."""
    return [(control, len(body), body[:5]) for control, body in heard]


@pytest.mark.parametrize("method", ["mschapv2", "eap"])
def test_a_stranger_hears_by_sstp_what_one_with_a_wrong_password_hears(site, method):
    unknown, end = conversation(site, UNKNOWN, "wrong", method)
    wrong, same_end = conversation(site, KNOWN, "wrong", method)
    assert shape(unknown) == shape(wrong) and len(unknown) >= 4
    assert re.sub("C=[0-9A-F]{32}", "", end) == re.sub("C=[0-9A-F]{32}", "", same_end)
    for name, heard, said in ((UNKNOWN, unknown, end), (KNOWN, wrong, same_end)):
        assert name not in said
        assert not any(name.encode() in body or name.encode("utf-16-le") in body for _, body in heard)
    fails = [site.expect("auth_fail", user=name) for name in (UNKNOWN, KNOWN)]
    assert fails[0]["msg"] == fails[1]["msg"] and fails[0]["cause"] == fails[1]["cause"] == "auth"
    # The nearest that must be told something else: the right password.
    client = site.client(KNOWN, eap=method == "eap", method=method).connect().login()
    assert client.address
    client.close()


def refused(site, account, password, code=""):
    """(status, headers that are not the date, body) of a sign-in."""
    api = Api(*site.lab.appliance.portal, site.lab.root / "out" / "portal.crt", site.lab.topology.office)
    body = json.dumps({"account": account, "password": password, "code": code})
    status, headers, text = api.raw("POST", "/api/v1/login", body, {"Content-Type": "application/json"})
    return status, sorted((name, value) for name, value in headers.items() if name != "Date"), text


def test_a_stranger_is_told_by_the_api_what_one_with_a_wrong_password_is_told(site):
    for name in ("owner", "other", "fresh"):
        api = Api(*site.lab.appliance.portal, site.lab.root / "out" / "portal.crt", site.lab.topology.office)
        link = invite(site.lab.appliance, f"{name}@{ACME}", "owner")
        if name != "fresh":
            api.welcome(link, PASSWORD)
    told = {}
    for account in (f"nobody@{ACME}", "nobody", "nobody@xyz99999999", f"fresh@{ACME}", f"owner@{ACME}"):
        for password in ("wrong", "x" * 1025):
            told[account, len(password)] = refused(site, account, password)
    assert len({json.dumps([status, headers, text.decode()]) for status, headers, text in told.values()}) == 1, told
    status, _, text = told[f"owner@{ACME}", 5]
    assert status == 401 and b"owner" not in text and b"nobody" not in text
    # The nearest that is told something else: who knows the password is asked for the code.
    status, _, text = refused(site, f"other@{ACME}", PASSWORD)
    assert status == 401 and json.loads(text)["code"] == "code_needed" and b"other" not in text
