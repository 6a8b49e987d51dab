# SPDX-License-Identifier: Apache-2.0
"""Tagged wires: one card carries two tenants by VLAN, 802.1Q and QinQ, parsed by us; frames are made and read raw.

One wire (gateway end acme-web1) carries: VLAN 100 of north, VLAN 101 of south, VLAN 200/30 (QinQ) of north, 200/31 of south.
Both tenants use the same addresses. The af_packet driver shows every outer tag as 802.1Q, so QinQ here is 0x8100 twice;
0x88a8 is tested on ring ports in tests/path.
"""

import json

import pytest
from lab.lab import Lab
from lab.system import packet_socket, wait_until
from scapy.all import ICMP, IP, UDP, Dot1Q, Ether, IPv6

WIRE = "acme-web1"
MAC = {"left": "02:00:00:00:01:0a", "right": "02:00:00:00:01:0b"}
TAGS = {("north", "left"): (100, 0), ("north", "right"): (200, 30), ("south", "left"): (101, 0), ("south", "right"): (200, 31)}
ADDRESS = {"left": ("10.0.0.2", "fd00::2"), "right": ("10.0.1.2", "fd00:0:0:1::2")}


def _tenant(code, name):
    def port(side, addresses):
        outer, inner = TAGS[name, side]
        return {"name": side, "nic": "wire", "outer_vlan": outer, "outer_tag": "802.1q", "inner_vlan": inner, "kind": "segment",
                "zone": side, "addresses": addresses}

    def binding(side):
        pairs = [{"mac": MAC[side], "prefix": f"{address}/{128 if ':' in address else 32}"} for address in ADDRESS[side]]
        return {"name": side, "port": side, "pairs": pairs}

    rule = {"name": "datagrams", "action": "allow", "service": ["seven"], "log": "both"}
    return {"service_code": code, "name": name, "sessions_max": 1000, "zones": ["left", "right"],
            "ports": [port("left", ["10.0.0.1/24", "fd00::1/64"]), port("right", ["10.0.1.1/24", "fd00:0:0:1::1/64"])],
            "bindings": [binding("left"), binding("right")],
            "services": [{"name": "seven", "protocol": "udp", "destination_ports": [7]}],
            "policies": [{"name": "through", "from": ["left"], "to": ["right"], "default_log": "each", "rules": [rule]}]}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    config = tmp_path_factory.mktemp("vlan") / "vlan.json"
    config.write_text(json.dumps({"node": "u0", "nics": [{"name": "wire", "device": "net_af_packet0", "mtu": 1500}], "uplinks": [],
                                  "tenants": [_tenant("nor00000001", "north"), _tenant("sou00000001", "south")]}))
    with Lab(config=config) as built:
        yield built
        print(built.appliance.output("dataplaned")[-3000:])


@pytest.fixture
def wire(lab):
    with lab[WIRE].capture() as capture:
        yield capture


def _gateway_mac(lab):
    return lab.topology.gateway_mac(WIRE)


def _tagged(lab, tags, source_mac, packet):
    outer, inner = tags
    frame = Ether(src=source_mac, dst=_gateway_mac(lab)) / Dot1Q(vlan=outer)
    return bytes((frame / Dot1Q(vlan=inner) if inner else frame) / packet)


def _send(lab, frame):
    lab[WIRE].send_frame(frame)


def _received(wire, marker):
    """Frames that came back over the wire with `marker` in them, as ((outer, inner), destination MAC)."""
    found = []
    for raw in wire.frames():
        if marker in raw:
            frame = Ether(raw)
            tags = [layer.vlan for layer in frame.iterpayloads() if isinstance(layer, Dot1Q)]
            found.append((tuple((tags + [0, 0])[:2]), frame.dst))
    return found


def _datagram(version, marker, port=7):
    source, destination = ADDRESS["left"][version], ADDRESS["right"][version]
    return (IP, IPv6)[version](src=source, dst=destination) / UDP(sport=5000, dport=port) / marker


@pytest.mark.parametrize("version", [0, 1], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("tenant", ["north", "south"])
def test_a_frame_of_one_vlan_leaves_in_the_qinq_pair_of_the_same_tenant(lab, wire, tenant, version):
    marker = f"{tenant} speaks version {version}".encode()
    _send(lab, _tagged(lab, TAGS[tenant, "left"], MAC["left"], _datagram(version, marker)))

    wait_until(lambda: _received(wire, marker), 5, "the datagram coming back")
    assert _received(wire, marker) == [(TAGS[tenant, "right"], MAC["right"])]


def _passes_after(lab, wire, marker):
    """A datagram that is allowed goes through after the ones under test: whatever they were to become has happened."""
    _send(lab, _tagged(lab, TAGS["north", "left"], MAC["left"], _datagram(0, marker)))
    wait_until(lambda: _received(wire, marker), 5, "the allowed datagram")


def test_the_neighbouring_port_number_is_denied(lab, wire):
    _send(lab, _tagged(lab, TAGS["north", "left"], MAC["left"], _datagram(0, b"to port eight", port=8)))
    _passes_after(lab, wire, b"allowed after eight")

    assert _received(wire, b"to port eight") == []


@pytest.mark.parametrize("tags", [(0, 0), (102, 0), (100, 30), (200, 32), (30, 200)], ids=str)
def test_an_unknown_tag_pair_belongs_to_nobody(lab, wire, tags):
    frame = Ether(src=MAC["left"], dst=_gateway_mac(lab))
    for tag in tags:
        frame = frame / Dot1Q(vlan=tag) if tag else frame
    _send(lab, bytes(frame / _datagram(0, b"nobody's")))
    _passes_after(lab, wire, b"allowed after nobody")

    assert _received(wire, b"nobody's") == []


def test_a_qinq_port_speaks_to_the_gateway_in_its_own_tags(lab, wire):
    request = IP(src=ADDRESS["right"][0], dst="10.0.1.1") / ICMP(id=77) / b"are you there"
    with packet_socket(lab[WIRE].namespace, "eth0") as handle:
        handle.send(_tagged(lab, TAGS["south", "right"], MAC["right"], _arp_request()))
        wait_until(lambda: _arp_replies(wire), 5, "an ARP reply")
        handle.send(_tagged(lab, TAGS["south", "right"], MAC["right"], request))

    assert _arp_replies(wire) == [(TAGS["south", "right"], MAC["right"])]


def _arp_request():
    from scapy.all import ARP
    return ARP(op=1, hwsrc=MAC["right"], psrc=ADDRESS["right"][0], pdst="10.0.1.1")


def _arp_replies(wire):
    from scapy.all import ARP
    found = []
    for raw in wire.frames():
        frame = Ether(raw)
        if ARP in frame and frame[ARP].op == 2 and frame[ARP].psrc == "10.0.1.1":
            tags = [layer.vlan for layer in frame.iterpayloads() if isinstance(layer, Dot1Q)]
            found.append((tuple((tags + [0, 0])[:2]), frame.dst))
    return found
