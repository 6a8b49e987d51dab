# SPDX-License-Identifier: Apache-2.0
"""What an attacker from outside gets of the IKE engine: no IKEv1, no name of ours, bounded attempts; and who has a right to come in does not
notice the others."""

import os
import re
import shutil
import struct
import subprocess
import time

import pytest

from client_families_test import FAMILIES, PLACES, gateway, gateway_text, initiator, world  # noqa: F401  (fixtures)
from ike_initiator import IKE_AUTH, IkeError
from ike_world import run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")

SOURCES = [f"192.0.2.{number}" for number in range(20, 26)]


@pytest.fixture(scope="module", autouse=True)
def sources(world):  # noqa: F811
    for one in SOURCES:
        run("ip", "-n", world.name("ca"), "addr", "add", f"{one}/24", "dev", "ca-ga")


def scan(world, *argv):  # noqa: F811
    if not shutil.which("ike-scan"):
        pytest.skip("ike-scan is not installed")
    done = subprocess.run(["ip", "netns", "exec", world.name("ca"), "ike-scan", "--retry=1", "--timeout=1500", *argv, PLACES["legacy"]],
                          capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r"(\d+) returned handshake; (\d+) returned notify", done.stdout)
    assert found, done.stdout + done.stderr
    return int(found[1]), int(found[2]), done.stdout


@pytest.mark.parametrize("mode", [["--trans=7/256,2,65005,2"], ["--trans=5,2,1,2"], ["--aggressive", "--id=vpn", "--trans=5,2,1,2"]],
                         ids=["main", "main-3des-psk", "aggressive"])
def test_ikev1_gets_no_handshake_and_learns_nothing(world, gateway, mode):  # noqa: F811
    """Also of the legacy profile, which knows shared secrets: by IKEv2."""
    handshakes, notifies, text = scan(world, *mode)
    assert handshakes == 0 and notifies <= 1 and "VID" not in text and "Hash" not in text, text
    assert gateway.untaken() == []


def test_ike_scan_sees_ikev2_but_no_vendor(world, gateway):  # noqa: F811
    """The nearest thing that is answered: it begins with modp1024, and is asked for modp2048."""
    handshakes, notifies, text = scan(world, "--ikev2")
    assert handshakes + notifies == 1, text
    assert "VID" not in text and "strongSwan" not in text
    assert gateway.untaken() == []


def test_wrong_passwords_in_flight_delay_no_right_one(gateway, initiator):  # noqa: F811
    """64 of them are at the gateway at one moment, and are answered later than a whole login that began after them."""
    initiator("windows-hardened", source=SOURCES[5]).log_in("alice", "acme-pw")
    gateway.event("up")
    waiting = []
    for number in range(64):
        client = initiator("windows-hardened", source=SOURCES[number % 5]).negotiate()
        request = client.challenge(client.begin(), f"u{number}")
        waiting.append((client, request, client.response(request, f"u{number}", "wrong")))
    for client, request, answer in waiting:
        client.send(IKE_AUTH, [(48, struct.pack(">BBH", 2, request[1], 4 + len(answer)) + answer)])
    begun = time.monotonic()
    initiator("windows-hardened", source=SOURCES[5]).log_in("alice", "acme-pw")
    took = time.monotonic() - begun
    gateway.event("up", user="alice")
    assert took < 0.5, f"{took:.3f} s"
    for number in range(64):
        assert gateway.event("auth_fail", user=f"u{number}")["cause"] == "auth"


def test_attempts_of_an_address_are_bounded_until_its_users_are_known(world, gateway, initiator):  # noqa: F811
    """32 under way of a stranger's address, four more for each user that came in from there; other addresses notice nothing."""
    first = int(gateway.ask("refused")[0].split()[3])
    lurking = [initiator("android", source=SOURCES[0]).negotiate() for _ in range(32)]
    assert lurking[-1].cookies == 1
    with pytest.raises(IkeError, match="does not answer"):
        while len(lurking) < 64:  # on a slow machine the first have ended meanwhile, and leave their places to others
            lurking.append(initiator("android", source=SOURCES[0]).negotiate(seconds=0.5))
    assert int(gateway.ask("refused")[0].split()[3]) == first + 1
    initiator("windows-hardened", source=SOURCES[1]).log_in("alice", "acme-pw")
    gateway.event("up")
    begun = len(lurking)
    lurking += [initiator("android", source=SOURCES[1]).negotiate() for _ in range(36)]
    with pytest.raises(IkeError, match="does not answer"):
        while len(lurking) < begun + 72:  # on a slow machine the first have ended meanwhile, and leave their places to others
            lurking.append(initiator("android", source=SOURCES[1]).negotiate(seconds=0.5))
    initiator("android", "windows-default", source=SOURCES[0]).negotiate()  # another tenant's gateway
    for _ in range(len(lurking) + 1):
        assert gateway.event("denied", seconds=20)["cause"] == "peer_lost"
    initiator("android", source=SOURCES[0]).negotiate()
    assert gateway.event("denied", seconds=20)["cause"] == "peer_lost"
