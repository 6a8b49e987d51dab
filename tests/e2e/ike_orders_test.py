# SPDX-License-Identifier: Apache-2.0
"""There is no way in without proof: whoever knows everything but a password says valid messages in any order, again, changed, or made up,
and is never up; SAs, addresses and sessions are made for nobody; and who has a right to come in does so meanwhile."""

import hmac
import os
import random
import struct

import pytest
from lab.system import wait_until

from client_families_test import PLACES, echo, gateway, initiator, world  # noqa: F401  (fixtures)
from ike_initiator import (AUTH, CP, CREATE_CHILD, DELETE, EAP, IDI, IKE_AUTH, INFORMATIONAL, KE, NONCE, SA, TSI, TSR, IkeError, identity, notify, proposals,
                           sa_body, selectors)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")
EVERYTHING = [("0.0.0.0", "255.255.255.255")]
ERRORS = (IkeError, AssertionError, KeyError, IndexError, ValueError, struct.error, OSError)


class Stranger:
    """One IKE_SA of somebody without a password, and all he may think of: what has no `_` is an act."""

    def __init__(self, client, dice):
        self.client, self.dice, self.request, self.last = client.negotiate(), dice, None, None
        self.success, self.begun = False, False

    def _say(self, exchange, payloads, message=None):
        """Says it and takes what comes."""
        number = self.client.next_id if message is None else message
        self.last = (exchange, payloads, number)
        self.client.send(exchange, payloads, message)
        of = dict(self.client.receive(number, 0.15))
        if EAP in of:
            self.request, self.success = (of[EAP] if of[EAP][0] == 1 else None), of[EAP][0] == 3
        assert SA not in of and CP not in of, "the gateway gave an SA or an address"

    def _eap(self, body, code=2):
        number = self.request[1] if self.request else self.dice.randrange(256)
        self._say(IKE_AUTH, [(EAP, struct.pack(">BBH", code, number, 4 + len(body)) + body)])

    def begin(self):
        take, self.client.receive = self.client.receive, lambda number, seconds=1: take(number, seconds)
        self.begun = True
        self.request = self.client.begin("alice")

    def _next(self):
        """What somebody honest would say now: so that chance comes far."""
        if not self.begun:
            return self.begin
        if self.success or not self.request:
            return self.proof_of_nothing
        if self.request[4] == 1:
            return self.name
        if self.request[4] != 26:
            return self.no_thanks
        return self.acknowledges_a_success_that_never_was if self.request[5] == 3 else self.wrong_password

    def begin_without_eap(self):
        self.client.id_i = identity("alice")
        self._say(IKE_AUTH, [(IDI, self.client.id_i), self._proof(os.urandom(32)), *self.client._wishes()])

    def _proof(self, secret):
        client = self.client
        octets = client.init_request + client.nonce_r + hmac.digest(client.sk_pi, getattr(client, "id_i", identity("alice")), client.suite.prf)
        mac = hmac.digest(hmac.digest(secret, b"Key Pad for IKEv2", client.suite.prf), octets, client.suite.prf)
        return AUTH, struct.pack(">I", self.dice.choice((2, 1, 9, 14)) << 24) + mac

    def proof_of_nothing(self):
        self._say(IKE_AUTH, [self._proof(self.dice.choice((b"", bytes(64), os.urandom(64))))])

    def proof_and_wishes(self):
        self._say(IKE_AUTH, [self._proof(bytes(64)), *self.client._wishes()])

    def name(self):
        self._eap(b"\x01" + self.dice.choice((b"alice", b"nobody", b"")))

    def no_thanks(self):
        self._eap(b"\x03" + bytes([self.dice.choice((26, 13, 4, 6, 0))]))

    def wrong_password(self):
        if self.request and len(self.request) > 25 and self.request[4] == 26:
            self._eap(self.client.response(self.request, "alice", "wrong"))

    def acknowledges_a_success_that_never_was(self):
        self._eap(b"\x1a\x03")

    def says_success_itself(self):
        self._eap(b"", code=3)

    def garbage(self):
        self._eap(bytes([self.dice.choice((1, 4, 13, 26, 254, 255))]) + os.urandom(self.dice.randrange(40)))

    def child(self):
        spi = os.urandom(4)
        self._say(CREATE_CHILD, [(SA, sa_body(proposals(self.client.shape["esp"]), 3, spi)), (NONCE, os.urandom(32)), (TSI, selectors(EVERYTHING)),
                                 (TSR, selectors(EVERYTHING))])

    def new_ike(self):
        self._say(CREATE_CHILD, [(SA, sa_body(proposals(self.client.shape["ike"]), 1, os.urandom(8))), (NONCE, os.urandom(32)),
                                 (KE, struct.pack(">HH", self.client.exchange.group, 0) + self.client.exchange.public)])

    def informs(self):
        self._say(INFORMATIONAL, self.dice.choice(([], [notify(16384)], [notify(16400)], [(DELETE, struct.pack(">BBH", 3, 4, 1) + os.urandom(4))])))

    def again(self):
        if self.last:
            self._say(*self.last)

    def out_of_turn(self):
        if self.last:
            self._say(self.last[0], self.last[1], self.dice.choice((0, 1, 2, 7, 0xFFFFFFFF)))

    def changed(self):
        """Sealed by the right keys; a byte of the payloads is another."""
        if self.last:
            exchange, payloads, _ = self.last
            at = self.dice.randrange(len(payloads)) if payloads else 0
            mutated = [(kind, bytes(byte ^ ((index == place) << self.dice.randrange(8)) for index, byte in enumerate(body))) if number == at else (kind, body)
                       for number, (kind, body) in enumerate(payloads) for place in [self.dice.randrange(len(body) or 1)]]
            self._say(exchange, mutated)

    def forged(self):
        self.client._put(self.client._header(self.client.spi_i, self.client.spi_r, 46, IKE_AUTH, 0x08, self.client.next_id, 28 + 60) + os.urandom(60))


ACTS = [name for name in vars(Stranger) if not name.startswith("_")]


@pytest.mark.parametrize("seed", range(8))
def test_no_order_of_messages_brings_anybody_in_without_proof(gateway, initiator, seed):  # noqa: F811
    dice = random.Random(seed)
    for _ in range(2):
        try:
            stranger = Stranger(initiator("windows-hardened" if seed % 2 else "strongswan-app"), dice)
            if dice.random() < 0.7:
                stranger.begin()
        except ERRORS:
            continue
        for _ in range(24):
            try:
                (stranger._next() if dice.random() < 0.6 else getattr(stranger, dice.choice(ACTS)))()
            except ERRORS as error:
                assert "gave an SA" not in str(error)
    friend = initiator("windows-hardened").log_in("alice", "acme-pw")
    session = gateway.event("up", user="alice")["session"]
    echo(friend)
    assert [line.split()[0] for line in gateway.ask("sessions")] == [str(session)], "somebody else is in"
    assert len(gateway.ask("sas")) == 2
    friend.leave()
    gateway.event("down", session=session)
    wait_until(lambda: gateway.ask("sas") == [], 3, "its SAs going")
    assert not [item for item in gateway.events if item["event"] in ("up", "assigned") and item["session"] != session]
    # What the stranger began ends by itself, as attempts.
    def of(*kinds):
        return {item["session"] for item in gateway.events if item["event"] in kinds}

    def all_ended():
        gateway.ask("sessions")
        return of("start") - {session} <= of("auth_fail", "denied")
    wait_until(all_ended, 15, "the strangers' attempts ending", every=0.2)
    gateway.events.clear()
