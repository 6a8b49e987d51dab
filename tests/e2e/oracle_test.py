# SPDX-License-Identifier: Apache-2.0
"""The oracle of the foreign tests names what must not pass, and not its neighbour."""

import pytest
from oracle import Oracle
from scapy.all import (ICMP, IP, TCP, UDP, Ether, IPOption_RR, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting,
                       ICMPv6EchoRequest, ICMPv6ND_NA, PadN, RouterAlert, fragment)

V4, V6, SYN = IP(src="10.0.0.34", dst="10.0.0.2"), IPv6(src="fd00::2", dst="fd00::5"), TCP(sport=5000, dport=80, flags="S")
PIECES = fragment(V4 / ICMP() / (b"x" * 3000), fragsize=1000)


def _piece6(offset, more, data, following=58):
    return V6 / IPv6ExtHdrFragment(nh=following, offset=offset // 8, m=more, id=7) / data


ECHO6 = bytes(V6 / ICMPv6EchoRequest(data=b"y" * 120))[40:]
LEGAL = {
    "SYN": [V4 / SYN], "SYN over IPv6": [V6 / SYN], "its second segment": [V4 / SYN, V4 / TCP(sport=5000, dport=80, flags="A")],
    "echo": [V4 / ICMP()], "pieces": PIECES, "pieces over IPv6": [_piece6(0, 1, ECHO6[:64]), _piece6(64, 0, ECHO6[64:])],
    "atomic fragment": [V6 / IPv6ExtHdrFragment() / SYN], "two headers of options": [V6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / SYN],
    "neighbour discovery": [V6.copy() / ICMPv6ND_NA()],
}
FORBIDDEN = {
    "SYN to a shut port": [V4 / TCP(sport=5000, dport=81, flags="S")], "segment without a SYN": [V6 / TCP(sport=5000, dport=80, flags="A")],
    "UDP": [V4 / UDP()], "redirect": [V4 / ICMP(type=5)], "record route": [IP(src="10.0.0.34", dst="10.0.0.2", options=[IPOption_RR()]) / SYN],
    "wrong checksum": [V4 / TCP(sport=5000, dport=80, flags="S", chksum=1)], "a piece missing": PIECES[:1] + PIECES[2:],
    "pieces that overlap": [_piece6(0, 1, ECHO6[:64]), _piece6(56, 0, ECHO6[56:])], "a fragment with DF": [IP(bytes(PIECES[0]))],
    "two fragment headers": [V6 / IPv6ExtHdrFragment() / IPv6ExtHdrFragment() / SYN], "routing header": [V6 / IPv6ExtHdrRouting() / SYN],
    "three headers of options": [V6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / SYN],
    "router alert": [V6 / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / SYN], "hop-by-hop in second place": [V6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / SYN],
    "option beyond its header": [V6 / IPv6ExtHdrDestOpt(options=[PadN(optlen=12, optdata=b"\0" * 4)], autopad=0) / SYN],
    "discovery from afar": [IPv6(src="fd00::2", dst="fd00::5", hlim=64) / ICMPv6ND_NA()],
}
FORBIDDEN["a fragment with DF"][0].flags = "DF+MF"
del FORBIDDEN["a fragment with DF"][0].chksum


def _faults(packets):
    return Oracle({80}).faults([bytes(Ether() / packet) for packet in packets])


@pytest.mark.parametrize("name", LEGAL)
def test_legal(name):
    assert _faults(LEGAL[name]) == []


@pytest.mark.parametrize("name", FORBIDDEN)
def test_forbidden(name):
    assert _faults(FORBIDDEN[name])
