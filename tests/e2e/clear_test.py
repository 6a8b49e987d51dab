# SPDX-License-Identifier: Apache-2.0
"""Whoever of the daemons dies under traffic: outside nothing is seen in clear of what a tunnel carries. What the outside host's wire saw decides."""

import subprocess

import pytest
from lab.frames import read_ip
from lab.system import wait_until

from remote_access_test import GATEWAYS, WEB, client, come_in, eap, outside, site  # noqa: F401  (fixtures among them)

ESP, UDP, ICMP, ICMP6 = 50, 17, 1, 58
INNER = ("10.0.0.", "10.99.0.", "fd00:")


def in_clear(frames):
    """Frames that are neither IKE nor ESP of a gateway nor what a link needs, or that name an inner address."""
    found = []
    for frame in frames:
        seen = read_ip(frame)
        if seen is None:
            if frame[12:14] != b"\x08\x06":  # ARP
                found.append(frame)
            continue
        keying = seen.protocol == ESP or (seen.protocol == UDP and {seen.source_port, seen.destination_port} & {500, 4500})
        link = seen.protocol in (ICMP, ICMP6) or seen.destination.startswith(("ff02:", "224."))
        if not (keying or link) or any(address.startswith(INNER) for address in (seen.source, seen.destination)):
            found.append(frame)
    return found


class Talk:
    """`with Talk(...)`: the user fetches all the time, and a server knocks at the user's address."""

    def __init__(self, site, address):
        self._argv = [outside(site).argv("sh", "-c", f"while :; do curl -s -m 1 -o /dev/null {WEB}; sleep 0.02; done"),
                      site.lab["acme-web1"].argv("sh", "-c", f"while :; do ping -n -q -c 1 -W 1 {address}; curl -s -m 1 http://{address}/; sleep 0.02; done")]

    def __enter__(self):
        self._processes = [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for argv in self._argv]
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("victim", ["logd", "controld", "iked", "dataplaned"])
def test_nothing_is_seen_in_clear_when_a_daemon_dies_under_traffic(site, client, victim):  # noqa: F811
    up = come_in(site, client, eap("alice"), user="alice")
    appliance = site.lab.appliance
    try:
        with outside(site).capture() as wire, Talk(site, up["ip4"]):
            def more(frames=30):
                goal = len(sealed()) + frames
                wait_until(lambda: len(sealed()) >= goal, 30, "more of the tunnel's frames", every=0.1)

            def sealed():
                return [seen for seen in wire.packets(outgoing=victim == "dataplaned") if seen.protocol == ESP or 4500 in (seen.source_port, seen.destination_port)]

            more()
            appliance.kill(victim)
            more(3 if victim == "dataplaned" else 30)  # the client goes on; the data plane answers, if it lives
            went = wire.frames(outgoing=True)  # a client whose tunnel has ended speaks in clear, and may
            appliance.start_daemon(victim)
            if victim == "controld":
                wait_until(appliance.answers, 30, "controld answering")
            if victim == "iked":
                wait_until(lambda: "follows revision" in appliance.output("iked").rsplit("ready", 1)[1], 30, "iked following")
            wait_until(lambda: outside(site).curl(WEB, 2)[0] == 0 or victim == "dataplaned", 30, "the tunnel at work")
            if victim == "dataplaned":
                site.expect("down", seconds=30, vpn_sid=up["vpn_sid"], cause="internal")
            else:
                went = wire.frames(outgoing=True)
            came = wire.frames()
        assert len(came) >= 30 and len(went) >= 30
        assert in_clear(came) == []
        assert in_clear(went) == []
    finally:
        client.forget("vpn")


def test_the_judge_knows_a_packet_in_clear(site):  # noqa: F811
    """The nearest that must be found: the same fetch, by a host that has no tunnel."""
    with outside(site).capture() as wire:
        outside(site).curl(WEB, 1)
        outside(site).ping(GATEWAYS["acme"][0], seconds=1)
        assert in_clear(wire.frames(outgoing=True))
