# SPDX-License-Identifier: Apache-2.0
"""Every client family of client_families.toml logs in as it really does, against the engine on UDP sockets: what it gets is what the
crypto profile says, packets pass, it rekeys by its habit; and the profile that must refuse it does, saying why."""

import os

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6

from ike_initiator import CREATE_CHILD, KE, TSI, WORDS, IkeError, Initiator, families
from ike_world import PROGRAM, World, nt_hash, run

INSIDE4, INSIDE6 = "10.20.0.5", "fd00:20::5"
PLACES = {"modern": "192.0.2.1", "windows-default": "192.0.2.2", "certified": "192.0.2.3", "legacy": "192.0.2.4", "quick": "192.0.2.5", "quick-ike": "192.0.2.6"}
FAMILIES = families()
NO_PROPOSAL_CHOSEN = 14

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


def gateway_text(world):
    folder, lines = world.folder, ["retransmit 2 0.4", "half_open 8"]
    for tenant, (profile, address) in enumerate(PLACES.items(), 1):
        lines += [f"listen {tenant} 7 {world.name('ga')} {address}", f"user {tenant} alice {nt_hash('acme-pw')}",
                  f"user {tenant} CORP\\bob {nt_hash('bob-pw')}"]
        lines += [f"pool {tenant} 10.99.0.{number}" for number in range(10, 90)] + [f"pool {tenant} fd00:99::{number}" for number in range(10, 90)]
        lines += [f"gateway {tenant} {profile}", "identity gw.acme.test", f"profile {'modern' if 'quick' in profile else profile}", f"address {address}", "accept_eap",
                  "network 10.20.0.0/16", "network fd00:20::/32", "dns 10.20.0.53", "dns fd00:20::53", "dns_domain corp.acme.test",
                  "dns_domain lab.acme.test"]
        if profile == "quick":
            lines.append("child_rekey 2")
        if profile == "quick-ike":
            lines.append("ike_rekey 2")
        for kind in ("ecdsa", "rsa"):
            lines += [f"certificate {folder}/gw-acme-{kind}.pem", f"key {folder}/gw-acme-{kind}.key", f"gateway_ca {folder}/acme-{kind}.pem"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def world():
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built (SEKISHO_IKE=OFF)")
    with World() as made:
        for address in list(PLACES.values())[1:]:
            run("ip", "-n", made.name("ga"), "addr", "add", f"{address}/24", "dev", "ga-ca")
        yield made


@pytest.fixture(scope="module")
def gateway(world):
    return world.gateway(gateway_text(world))


@pytest.fixture(autouse=True)
def balance(gateway):
    """Each attempt ends once and each session ends once."""
    yield
    for line in gateway.ask("sessions"):
        gateway.ask("terminate", line.split()[0])
        gateway.event("down", session=int(line.split()[0]))
    assert gateway.untaken() == []


@pytest.fixture
def initiator(world):
    """Makes initiators; closes them."""
    made = []

    def make(shape, place="modern", **more):
        trust = [world.pki.path(f"acme-{kind}.pem") for kind in more.pop("trust", ("rsa", "ecdsa"))]
        made.append(Initiator(world.name("ca"), PLACES[place], FAMILIES[shape] if isinstance(shape, str) else shape, trust=trust, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


def echo(client):
    """An echo to a host behind the gateway and back, by both families."""
    four, six = client.given("ip4")[0], client.given("ip6")[0]
    reply = IP(client.carry(bytes(IP(src=four, dst=INSIDE4) / ICMP(id=7, seq=1) / b"through")))
    assert (reply.src, reply.dst, reply[ICMP].type, bytes(reply[ICMP].payload)) == (INSIDE4, four, 0, b"through")
    reply = IPv6(client.carry(bytes(IPv6(src=six, dst=INSIDE6) / ICMPv6EchoRequest(id=7, seq=1, data=b"through"))))
    assert (reply.src, reply.dst, reply[ICMPv6EchoReply].data) == (INSIDE6, six, b"through")


OFFERED = {name: {"AES_CBC_256"} for name in FAMILIES} | {
    "windows-10": {"3DES_CBC", "AES_CBC_256", "HMAC_SHA1_96", "HMAC_SHA2_384_192", "MODP_1024"}, "modp1024-only": {"AES_CBC_256", "MODP_1024"},
    "triple-des-only": {"3DES_CBC", "HMAC_SHA1_96", "PRF_HMAC_SHA1", "MODP_1024"}}
CLIENTS = {"windows": "Windows", "ios": "Apple", "macos": "Apple", "apple": "Apple", "modp1024": "Windows"}
ACCEPTED = [(name, place) for name, shape in FAMILIES.items() for place in shape["expect"]]
REFUSED = [(name, place) for name, shape in FAMILIES.items() for place in PLACES if place not in {**shape["expect"], "legacy": 0, "quick": 0, "quick-ike": 0}]


@pytest.mark.parametrize("name, place", ACCEPTED)
def test_a_family_logs_in_and_gets_what_the_profile_says(gateway, initiator, name, place):
    shape, wanted = FAMILIES[name], FAMILIES[name]["expect"][place]
    client = initiator(name, place).log_in("alice", "acme-pw")
    event = gateway.event("up", user="alice", gateway=f"{place} eap-mschapv2")
    child = client.children[-1]
    assert (client.suite.words(), child.suite.words()) == (wanted["ike"], wanted["esp"])
    assert event["weak"] == wanted["weak"] and event["spi_in"] == child.theirs.hex().lstrip("0")
    assert event["client"] == CLIENTS.get(name.split("-")[0], "")
    assert client.retries == ([wanted["retry"]] if "retry" in wanted else [])
    assert (client.given("dns4"), client.given("dns6")) == (["10.20.0.53"], ["fd00:20::53"])
    assert client.given("domain") == ["corp.acme.test", "lab.acme.test"]  # RFC 8598: what Apple resolves inside alone
    asks_dhcp = [("255.255.255.255",) * 2, ("192.0.0.8",) * 2] if event["client"] == "Windows" else []
    assert client.networks == [("10.20.0.0", "10.20.255.255"), ("fd00:20::", "fd00:20:ffff:ffff:ffff:ffff:ffff:ffff"), *asks_dhcp]
    assert sorted(event["leases"]) == [client.given("ip4")[0], client.given("ip6")[0]]
    if shape.get("piece") and shape.get("authorities", 0) > 30:
        assert client.pieces > 2 and max(client.sent_sizes[1:]) <= shape["piece"] - 32
    if not shape.get("authorities"):  # nothing helped to choose: iOS takes RSA alone
        assert client.signed_by[0] == "rsa"
    echo(client)
    client.leave()
    assert gateway.event("down", session=event["session"])["cause"] == "user"


@pytest.mark.parametrize("name, place", REFUSED)
def test_a_family_is_refused_by_a_profile_that_it_does_not_fit(gateway, initiator, name, place):
    with pytest.raises(IkeError) as refusal:
        initiator(name, place).log_in("alice", "acme-pw")
    assert refusal.value.notify == NO_PROPOSAL_CHOSEN
    event = gateway.event("denied")
    assert event["cause"] == "crypto" and "no common algorithms" in event["text"] and "profile" in event["text"]
    offered = event["offered"].split()
    assert len(set(offered)) == len(offered) and OFFERED[name] <= set(offered) and not {"AES_CBC", "NONE"} & set(offered)


@pytest.mark.parametrize("name", [name for name, shape in FAMILIES.items() if shape["expect"]])
def test_a_family_rekeys_by_its_habit(gateway, initiator, name):
    habit = FAMILIES[name].get("rekey", {})
    place = max(FAMILIES[name]["expect"], key=["certified", "windows-default", "modern"].index)  # certified wants a fresh one
    client = initiator(name, place).log_in("alice", "acme-pw")
    session = gateway.event("up")["session"]
    group = WORDS[habit["group"]][1] if "group" in habit else None
    assert client.rekey_child()  # each accepts one without a key exchange: its first CHILD_SA has none
    gateway.event("rekey", session=session)
    echo(client)
    if group:
        assert client.rekey_child(group), "the fresh key exchange was not taken"
        gateway.event("rekey", session=session)
        echo(client)
    client.rekey_ike()
    gateway.event("rekey", session=session)
    assert client.rekey_child(group)
    gateway.event("rekey", session=session)
    echo(client)
    client.leave()
    gateway.event("down", session=session)


def turned_away(initiator, user):
    """All that the gateway says, deciphered, until a wrong password is refused: [[(payload, its bytes)]], one list a message."""
    client, heard = initiator("strongswan-app", trust=("rsa",)), []
    receive = client.receive

    def hear(*arguments, **more):
        heard.append(receive(*arguments, **more))
        return heard[-1]
    client.receive = hear
    with pytest.raises(IkeError, match="wrong password"):
        client.log_in(user, "wrong")
    return heard


def test_a_stranger_hears_what_one_with_a_wrong_password_hears(gateway, initiator):  # specification F-45
    names, heard = ("nobel", "alice"), {}
    for name in names:
        heard[name] = turned_away(initiator, name)
        assert gateway.event("auth_fail", user=name)["cause"] == "auth"
        assert not [body for message in heard[name] for _, body in message if name.encode() in body], "his own name comes back to nobody"
    stranger, known = ([[(kind, len(body), body[:1]) for kind, body in message] for message in heard[name]] for name in names)
    assert stranger == known and len(stranger) >= 3
    initiator("strongswan-app", trust=("rsa",)).log_in("alice", "acme-pw").leave()  # the nearest that is told something else
    gateway.event("up", user="alice")
    gateway.event("down")


def reversed_and_twice(packets):
    return [*reversed(packets), *packets]


def test_pieces_arrive_in_any_order_and_twice_but_none_may_be_missing(gateway, initiator):
    client = initiator("windows-hardened-group14").log_in("alice", "acme-pw", order=reversed_and_twice)
    assert client.pieces > 2 and max(client.sent_sizes) <= 626
    gateway.event("up")
    client.leave()
    gateway.event("down", cause="user")
    client = initiator("windows-hardened-group14").negotiate()
    with pytest.raises(IkeError, match="does not answer"):
        client.begin("alice", order=lambda packets: packets[:1] + packets[2:])
    assert gateway.event("denied")["cause"] == "peer_lost"


def test_many_half_open_from_one_address_prove_it_by_a_cookie(gateway, initiator):
    half_open = [initiator("android").negotiate() for _ in range(8)]
    assert sum(client.cookies for client in half_open) == 0
    client = initiator("windows-hardened").log_in("alice", "acme-pw")
    assert client.cookies == 1
    gateway.event("up")
    for _ in half_open:
        assert gateway.event("denied")["cause"] == "peer_lost"


def test_the_gateway_rekeys_others_but_leaves_windows_to_itself(gateway, initiator):
    """The place's CHILD_SAs are to be rekeyed after two seconds."""
    windows, apple = (initiator(name, "quick").log_in("alice", "acme-pw") for name in ("windows-hardened", "apple-profile"))
    sessions = [gateway.event("up", client=client)["session"] for client in ("Windows", "Apple")]
    assert CREATE_CHILD in apple.wait_for_requests(5)
    assert CREATE_CHILD not in windows.wait_for_requests(0.5)
    echo(windows)
    assert windows.rekey_child()
    assert gateway.event("rekey", session=sessions[0])["user"] == "alice"  # whose IDi is an address
    echo(windows)


def test_the_gateway_rekeys_an_ike_sa_by_the_group_in_use(gateway, initiator):
    """Windows and Apple take no other. The place's IKE_SAs are to be rekeyed after two seconds."""
    client = initiator("windows-hardened-group14", "quick-ike").log_in("alice", "acme-pw")
    gateway.event("up")
    client.wait_for_requests(4)
    asked = [dict(payloads) for exchange, payloads in client.requests if exchange == CREATE_CHILD]
    assert asked and all(TSI not in one for one in asked)
    assert {int.from_bytes(one[KE][:2], "big") for one in asked} == {WORDS["modp2048"][1]}


def test_a_windows_domain_is_part_of_the_name_but_not_of_the_proof(gateway, initiator):
    """RFC 2759 8.2: the challenge is hashed with the name behind the backslash."""
    client = initiator("windows-hardened").log_in("CORP\\bob", "bob-pw")
    assert gateway.event("up")["user"] == "CORP\\bob"
    client.leave()
    gateway.event("down", cause="user")
    with pytest.raises(IkeError):
        initiator("windows-hardened").log_in("bob", "bob-pw")  # nobody of that name
    assert gateway.event("auth_fail")["user"] == "bob"
