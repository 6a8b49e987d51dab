# SPDX-License-Identifier: Apache-2.0
"""Both versions of IKE in the whole appliance, each a process of its own: who comes by IKEv1 is let in by the tenant's pre-shared keys or has
one record that says why not, and what becomes of one process the other's users do not notice."""

import pytest
from lab.appliance import default_binaries
from lab.lab import Lab
from lab.system import wait_until

from ike_world import Pki
from ikev1_initiator import Ike1Error, Initiator
from remote_access_test import GATEWAYS, WEB, Site, eap, new_client, outside

KEYS = {"acme": "the-key-of-acme-people", "globex": "the-key-of-globex-alone"}
BRANCH = "a-key-for-one-branch-alone"


class L2tpSite(Site):
    """Gateways with L2TP."""

    def _remote(self, tenant):
        keys = f"{{ name: branch, psk: {BRANCH}, from: [198.18.0.0/15] }}, {{ name: people, psk: {KEYS[tenant]} }}"
        door = f"l2tp: {{ accept: [mschapv2], keys: [{keys}] }}, profile: windows-default, "
        return super()._remote(tenant).replace("networks: [10.0.0.0/24", door + "networks: [10.0.0.0/24")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not (default_binaries() / "iked").exists():
        pytest.skip("iked is not built (SEKISHO_IKE=OFF)")
    folder = tmp_path_factory.mktemp("l2tp")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    for name in ("alice", "stranger"):
        pki.certificate(name, "ecdsa", "acme", f"email:{name}@example.test")
    with Lab(keying=("iked", "iked1")) as lab:
        made = L2tpSite(lab, pki, folder)
        made.commit()
        follows(made)
        yield made
        assert lab.appliance.status()["conservation violations"] == "0"


def follows(site):
    wait_until(lambda: f"follows revision {site.lab.appliance.generation()}\n" in site.lab.appliance.output("iked1"), 10, "iked of version 1 following")


@pytest.fixture
def peer(site):
    made = []

    def make(psk=KEYS["acme"], tenant="acme", **more):
        made.append(Initiator(site.lab["outside"].namespace, GATEWAYS[tenant][0], psk, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    made = new_client(site, tmp_path_factory.mktemp("client"))
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def goodbye(client):
    yield
    client.forget("vpn")


def come_in(site, client):
    from ike_test import document
    client.load(document([eap("alice")], [("alice", "alice-acme")]))
    assert client.connect("vpn"), client.last + client.log()
    return site.expect("up", user="alice")


def test_each_tenants_key_opens_its_own_gateway(site, peer):
    for tenant, key in KEYS.items():
        client = peer(key, tenant).main_mode()
        client.notify(0, delete_ike=True)
        one = site.expect("denied", tenant, proto="l2tp")
        assert one["cause"] == "user" and one["gw_name"] == "vpn", one


def test_a_wrong_key_is_one_record_that_says_so(site, peer):
    keys = ("not-the-key-of-anybody", KEYS["globex"], BRANCH)
    for key in keys:
        with pytest.raises(Ike1Error):
            peer(key, seconds=1).main_mode()
    for _ in keys:
        failed = site.expect("auth_fail", proto="l2tp", seconds=40)
        assert failed["cause"] == "auth" and failed["msg"].startswith("IKE: authentication: the client's pre-shared key"), failed


def test_an_offer_that_nothing_fits_is_one_record(site, peer):
    with pytest.raises(Ike1Error) as refused:
        peer(offer=[(5, 0, 2, 2)], seconds=1).main_mode()
    assert refused.value.notify in (0, 14)
    assert site.expect("denied", proto="l2tp", cause="crypto", seconds=40)["msg"].startswith("IKE: negotiation")


def test_kill_of_one_leaves_the_others_users(site, client, peer):
    up = come_in(site, client)
    assert outside(site).curl(WEB) == (0, "acme web1")
    appliance = site.lab.appliance
    appliance.kill("iked1")
    assert outside(site).curl(WEB) == (0, "acme web1")
    appliance.start_daemon("iked1")
    follows(site)
    assert outside(site).curl(WEB) == (0, "acme web1")
    peer().main_mode().notify(0, delete_ike=True)  # and who comes by version 1 comes again
    site.expect("denied", proto="l2tp")
    appliance.kill("iked")
    assert outside(site).curl(WEB) == (0, "acme web1"), "the data plane has what it needs"
    peer().main_mode().notify(0, delete_ike=True)
    site.expect("denied", proto="l2tp")
    followed = appliance.output("iked").count("follows revision")
    appliance.start_daemon("iked")
    wait_until(lambda: appliance.output("iked").count("follows revision") > followed, 20, "the next iked, which knows by then whom it would end")
    assert outside(site).curl(WEB) == (0, "acme web1")
    assert not [one for one in site.records("acme") if one["event"] == "down" and one["vpn_sid"] == up["vpn_sid"]]


def test_a_gateway_without_l2tp_does_not_answer_version_one(site, peer):
    class Without(Site):
        pass
    plain = Without(site.lab, site.pki, site.path.parent)
    plain.commit()
    follows(site)
    with pytest.raises(Ike1Error):
        peer(seconds=1).main_mode()
    site.commit()
    follows(site)
    peer().main_mode().notify(0, delete_ike=True)
