# SPDX-License-Identifier: Apache-2.0
"""An IKEv1 initiator for L2TP: main mode with a pre-shared key, quick mode in transport mode, NAT traversal by RFC 3947 or its drafts.
It checks whatever the gateway proves. Its steps are separate, so that a test may stop, repeat or change any of them."""

import hashlib
import hmac
import ipaddress
import os
import socket
import struct

from cryptography.hazmat.primitives.asymmetric import dh, ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from lab.system import inside

SA, KE, ID, HASH, NONCE, NOTIFY, DELETE, VENDOR, NAT_D, NAT_OA = 1, 4, 5, 8, 10, 11, 12, 13, 20, 21
NAT_D_DRAFT, NAT_OA_DRAFT = 130, 131
MAIN, AGGRESSIVE, INFORMATIONAL, QUICK = 2, 4, 5, 32
ENCRYPTED = 1
PRIMES = {2: "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245"
             "E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
          14: "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245"
              "E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
              "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9"
              "DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF"}
RFC3947 = bytes.fromhex("4a131c81070358455c5728f20e95452f")
DRAFT02 = bytes.fromhex("90cb80913ebb696e086381b5ec427b1f")
# As the families send them: (encryption, key bits, hash, group), and vendor ids.
WINDOWS = [(7, 256, 2, 20), (7, 128, 2, 19), (7, 256, 2, 14), (5, 0, 2, 14), (5, 0, 2, 2)]
MACOS = [(7, 256, hash_, group) for hash_ in (4, 2) for group in (14, 2)] + [(7, 128, 2, 2), (5, 0, 2, 2)]
WINDOWS_VENDORS = [bytes.fromhex("01528bbbc00696121849ab9a1c5b2a5100000001"), bytes.fromhex("1e2b516905991c7d7c96fcbfb587e46100000009"), RFC3947, DRAFT02,
                   bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3"), bytes.fromhex("fb1de3cdf341b7ea16b7e5be0855f120"),
                   bytes.fromhex("26244d38eddb61b3172a36e3d0cfb819"), bytes.fromhex("e3a5966a76379fe707228231e5ce8652")]
DPD = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")
HASHES = {2: "sha1", 4: "sha256", 5: "sha384", 6: "sha512"}
ESP_HASHES = {2: ("sha1", 12, 20), 5: ("sha256", 16, 32)}


class Ike1Error(AssertionError):
    """The gateway refused or fell silent: `notify` is what it said."""

    def __init__(self, text, notify=0):
        super().__init__(text)
        self.notify = notify


def attribute(number, value):
    return struct.pack(">HH", 0x8000 | number, value) if value < 0x10000 else struct.pack(">HHI", number, 4, value)


def chain(payloads):
    """[(type, body)] -> (first type, bytes)"""
    out = b""
    for at, (_, body) in enumerate(payloads):
        out += struct.pack(">BBH", payloads[at + 1][0] if at + 1 < len(payloads) else 0, 0, 4 + len(body)) + body
    return (payloads[0][0] if payloads else 0), out


def unchain(first, data):
    out, at = [], 0
    while first:
        after, _, length = struct.unpack_from(">BBH", data, at)
        out.append((first, data[at + 4:at + length]))
        first, at = after, at + length
    return out


def one(payloads, kind):
    found = [body for number, body in payloads if number == kind]
    if not found:
        told = [struct.unpack_from(">H", body, 6)[0] for number, body in payloads if number == NOTIFY]
        raise Ike1Error(f"no payload {kind} in {[number for number, _ in payloads]}, notifies {told}", told[0] if told else 0)
    return found[0]


class Group:
    def __init__(self, number):
        if number in (19, 20):
            self.curve = ec.SECP256R1() if number == 19 else ec.SECP384R1()
            self.key = ec.generate_private_key(self.curve)
            numbers = self.key.public_key().public_numbers()
            size = self.curve.key_size // 8
            self.public = numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")
        else:
            self.curve, prime = None, int(PRIMES[number], 16)
            self.parameters = dh.DHParameterNumbers(prime, 2)
            self.key = self.parameters.parameters().generate_private_key()
            self.size = len(PRIMES[number]) // 2
            self.public = self.key.public_key().public_numbers().y.to_bytes(self.size, "big")

    def shared(self, peer):
        if self.curve:
            return self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(self.curve, b"\x04" + peer))
        peer = dh.DHPublicNumbers(int.from_bytes(peer, "big"), self.parameters).public_key()
        return self.key.exchange(peer).rjust(self.size, b"\0")


class Initiator:
    """`identity`: what IDi says, an address; a NAT between is pretended by another address in NAT-D."""

    def __init__(self, namespace, gateway, psk, source="0.0.0.0", *, offer=tuple(WINDOWS), vendors=tuple(WINDOWS_VENDORS), identity="192.168.7.9", nat=True,
                 draft=False, esp=((12, 256, 2),), seconds=3):
        self.gateway, self.psk, self.offer, self.nat, self.draft, self.esp = gateway, psk.encode(), list(offer), nat, draft, list(esp)
        self.vendors = [one for one in vendors if not (draft and one == RFC3947)]
        self.identity = ipaddress.ip_address(identity)
        self.cookies = (os.urandom(8), bytes(8))
        with inside(namespace):
            self.sockets = {}
            for port in (500, 4500):
                self.sockets[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.sockets[port].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.sockets[port].bind((source, port if not nat else 0))
                self.sockets[port].settimeout(seconds)
        self.port, self.ivs, self.sent_last = 500, {}, None

    def close(self):
        for one_socket in self.sockets.values():
            one_socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- messages -------------------------------------------------------------------------------------------------------

    def _prf(self, key, data):
        return hmac.new(key, data, self.hash).digest()

    def _cipher(self, iv):
        kind = algorithms.AES if self.encryption == 7 else algorithms.TripleDES
        return Cipher(kind(self.key), modes.CBC(iv))

    def _iv(self, number):
        if number not in self.ivs:
            self.ivs[number] = self.hash(self.ivs[0] + struct.pack(">I", number)).digest()[:self.block]
        return self.ivs[number]

    def send(self, exchange, payloads, number=0, encrypted=False):
        first, body = chain(payloads)
        if encrypted:
            body += bytes(-len(body) % self.block)
            work = self._cipher(self._iv(number)).encryptor()
            body = work.update(body) + work.finalize()
            self.ivs[number] = body[-self.block:]
        self.send_raw(self.cookies[0] + self.cookies[1] + struct.pack(">BBBBII", first, 0x10, exchange, ENCRYPTED if encrypted else 0, number, 28 + len(body)) + body)

    def send_raw(self, message):
        self.sent_last = message
        self.sockets[self.port].sendto((bytes(4) if self.port == 4500 else b"") + message, (self.gateway, self.port))

    def receive(self, exchange=None):
        while True:
            try:
                data = self.sockets[self.port].recv(65535)
            except socket.timeout:
                raise Ike1Error("the gateway is silent") from None
            if self.port == 4500:
                if data[:4] != bytes(4):
                    continue  # ESP, a keepalive
                data = data[4:]
            first, _, kind, flags, number, _ = struct.unpack_from(">BBBBII", data, 16)
            self.cookies = (self.cookies[0], data[8:16]) if self.cookies[1] == bytes(8) else self.cookies
            body = data[28:]
            if flags & ENCRYPTED:
                iv, work = self._iv(number), None
                work = self._cipher(iv).decryptor()
                self.ivs[number] = body[-self.block:]
                body = work.update(body) + work.finalize()
            payloads = unchain(first, body)
            if exchange in (None, kind):
                return number, payloads
            told = [struct.unpack_from(">H", one_body, 6)[0] for number, one_body in payloads if number == NOTIFY]
            if kind == INFORMATIONAL and told:
                raise Ike1Error(f"the gateway said {told}", told[0])

    # --- main mode ------------------------------------------------------------------------------------------------------

    def offer_sa(self):
        transforms = b""
        for at, (encryption, bits, hash_, group) in enumerate(self.offer):
            attributes = attribute(1, encryption) + attribute(2, hash_) + attribute(4, group) + attribute(3, 1) + attribute(11, 1) + attribute(12, 28800)
            attributes += attribute(14, bits) if bits else b""
            more = 3 if at + 1 < len(self.offer) else 0
            transforms += struct.pack(">BBHBBH", more, 0, 8 + len(attributes), at + 1, 1, 0) + attributes
        proposal = struct.pack(">BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, len(self.offer)) + transforms
        return struct.pack(">II", 1, 1) + proposal

    def first(self):
        self.sa = self.offer_sa()
        self.send(MAIN, [(SA, self.sa)] + [(VENDOR, vendor) for vendor in self.vendors])

    def second(self):
        _, payloads = self.receive(MAIN)
        chosen = one(payloads, SA)[8:]
        self.answered_vendors = [body for kind, body in payloads if kind == VENDOR]
        attributes, at = {}, 16
        while at < len(chosen):
            kind, value = struct.unpack_from(">HH", chosen, at)
            attributes[kind & 0x7FFF] = value
            at += 4 if kind & 0x8000 else 4 + value
        self.chosen = (attributes[1], attributes.get(14, 0), attributes[2], attributes[4])
        assert self.chosen in self.offer, self.chosen
        self.encryption, bits, hash_, self.group_number = self.chosen
        self.hash, self.block = getattr(hashlib, HASHES[hash_]), 16 if self.encryption == 7 else 8
        self.key_size = bits // 8 if bits else 24
        self.group = Group(self.group_number)
        self.nonce = os.urandom(20)

    def _nat_d(self, address, port):
        return self.hash(self.cookies[0] + self.cookies[1] + ipaddress.ip_address(address).packed + struct.pack(">H", port)).digest()

    def third(self):
        kind = NAT_D_DRAFT if self.draft else NAT_D
        here = "192.168.7.9" if self.nat else self.sockets[500].getsockname()[0]
        self.send(MAIN, [(KE, self.group.public), (NONCE, self.nonce), (kind, self._nat_d(self.gateway, 500)), (kind, self._nat_d(here, 500))])

    def fourth(self):
        _, payloads = self.receive(MAIN)
        self.peer_public, self.peer_nonce = one(payloads, KE), one(payloads, NONCE)
        assert [number for number, _ in payloads].count(NAT_D_DRAFT if self.draft else NAT_D) == 2
        shared, cookies = self.group.shared(self.peer_public), self.cookies[0] + self.cookies[1]
        self.skeyid = self._prf(self.psk, self.nonce + self.peer_nonce)
        self.d = self._prf(self.skeyid, shared + cookies + b"\0")
        self.a = self._prf(self.skeyid, self.d + shared + cookies + b"\1")
        e = self._prf(self.skeyid, self.a + shared + cookies + b"\2")
        if len(e) < self.key_size:
            k, e = b"\0", b""
            while len(e) < self.key_size:
                k = self._prf(self._prf(self.skeyid, self.a + shared + cookies + b"\2"), k)
                e += k
        self.key = e[:self.key_size]
        self.ivs = {0: self.hash(self.group.public + self.peer_public).digest()[:self.block]}

    def fifth(self):
        identity = struct.pack(">BBH", 1, 17, 500) + self.identity.packed
        proof = self._prf(self.skeyid, self.group.public + self.peer_public + self.cookies[0] + self.cookies[1] + self.sa + identity)
        self.port = 4500 if self.nat else 500
        self.send(MAIN, [(ID, identity), (HASH, proof)], encrypted=True)

    def sixth(self):
        _, payloads = self.receive(MAIN)
        self.gateway_id, proof = one(payloads, ID), one(payloads, HASH)
        expected = self._prf(self.skeyid, self.peer_public + self.group.public + self.cookies[1] + self.cookies[0] + self.sa + self.gateway_id)
        assert hmac.compare_digest(proof, expected), "the gateway does not know the key"

    def main_mode(self):
        for step in (self.first, self.second, self.third, self.fourth, self.fifth, self.sixth):
            step()
        return self

    # --- quick mode -----------------------------------------------------------------------------------------------------

    def _esp_offer(self, spi, mode):
        out = b""
        for at, (encryption, bits, hash_) in enumerate(self.esp):
            attributes = attribute(4, mode) + attribute(5, hash_) + attribute(1, 1) + attribute(2, 3600) + attribute(1, 2) + attribute(2, 250000)
            attributes += attribute(6, bits) if bits else b""
            transform = struct.pack(">BBHBBH", 0, 0, 8 + len(attributes), 1, encryption, 0) + attributes
            out += struct.pack(">BBHBBBB", 2 if at + 1 < len(self.esp) else 0, 0, 12 + len(transform), at + 1, 3, 4, 1) + spi + transform
        return struct.pack(">II", 1, 1) + out

    def quick_mode(self, *, mode=None, port=1701, confirm=True):
        """ESP keys of both directions; the newest are used from here on."""
        number, nonce, spi = int.from_bytes(os.urandom(4), "big"), os.urandom(20), os.urandom(4)
        mode = mode or ((61444 if self.draft else 4) if self.nat else 2)
        address = self.identity.packed if self.nat else ipaddress.ip_address(self.sockets[500].getsockname()[0]).packed
        body = [(SA, self._esp_offer(spi, mode)), (NONCE, nonce), (ID, struct.pack(">BBH", 1, 17, port) + address),
                (ID, struct.pack(">BBH", 1, 17, 1701) + ipaddress.ip_address(self.gateway).packed)]
        if self.nat:
            kind = NAT_OA_DRAFT if self.draft else NAT_OA
            body += [(kind, struct.pack(">BBH", 1, 0, 0) + address), (kind, struct.pack(">BBH", 1, 0, 0) + ipaddress.ip_address(self.gateway).packed)]
        message = struct.pack(">I", number)

        def rest(payloads):
            return chain(payloads)[1]
        self.send(QUICK, [(HASH, self._prf(self.a, message + rest(body)))] + body, number, True)
        while True:
            got, payloads = self.receive(QUICK)
            if got == number:
                break
        answer = payloads[1:]
        assert one(payloads, HASH) == self._prf(self.a, message + nonce + rest(answer)), "HASH(2)"
        proposal = one(payloads, SA)[8:]
        peer_spi, peer_nonce = proposal[8:12], one(payloads, NONCE)
        encryption = proposal[12 + 5]
        attributes, at = {}, 12 + 8
        while at < len(proposal):
            kind, value = struct.unpack_from(">HH", proposal, at)
            attributes[kind & 0x7FFF] = value
            at += 4 if kind & 0x8000 else 4 + value
        self.esp_chosen = (encryption, attributes.get(6, 0), attributes[5])
        assert attributes[4] == mode and self.esp_chosen in self.esp, (attributes, self.esp_chosen)
        if confirm:
            self.send(QUICK, [(HASH, self._prf(self.a, b"\0" + message + nonce + peer_nonce))], number, True)
        keys = {}
        name, self.icv, mac_size = ESP_HASHES[attributes[5]]
        self.mac_name, size = name, (attributes.get(6, 192) // 8) + mac_size
        for side, of in (("in", spi), ("out", peer_spi)):
            material = k = b""
            while len(material) < size:
                k = self._prf(self.d, k + b"\x03" + of + nonce + peer_nonce)
                material += k
            keys[side] = (of, material[:size - mac_size], material[size - mac_size:size])
        self.esp_keys, self.sequence = keys, 0
        return keys

    def notify(self, number, *, delete_ike=False):
        """An informational exchange: the deletion of the IKE_SA, or a notify."""
        if delete_ike:
            body = [(DELETE, struct.pack(">IBBH", 1, 1, 16, 1) + self.cookies[0] + self.cookies[1])]
        else:
            body = [(NOTIFY, struct.pack(">IBBH", 1, 1, 16, number) + self.cookies[0] + self.cookies[1] + os.urandom(4))]
        message = int.from_bytes(os.urandom(4), "big")
        self.send(INFORMATIONAL, [(HASH, self._prf(self.a, struct.pack(">I", message) + chain(body)[1]))] + body, message, True)

    # --- ESP ------------------------------------------------------------------------------------------------------------

    def exchange_udp(self, payload, port=1701):
        """A datagram to the gateway's port 1701 through the SA, and what comes back."""
        spi, key, mac_key = self.esp_keys["out"]
        self.sequence += 1
        inner = struct.pack(">HHHH", port, 1701, 8 + len(payload), 0) + payload
        padding = -(len(inner) + 2) % 16
        inner += bytes(range(1, padding + 1)) + bytes([padding, 17])
        iv = os.urandom(16)
        work = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        packet = spi + struct.pack(">I", self.sequence) + iv + work.update(inner) + work.finalize()
        packet += hmac.new(mac_key, packet, self.mac_name).digest()[:self.icv]
        self.sockets[4500].sendto(packet, (self.gateway, 4500))
        spi, key, mac_key = self.esp_keys["in"]
        while True:
            data = self.sockets[4500].recv(65535)
            if data[:4] == spi:
                break
        assert hmac.new(mac_key, data[:-self.icv], self.mac_name).digest()[:self.icv] == data[-self.icv:], "ICV"
        work = Cipher(algorithms.AES(key), modes.CBC(data[8:24])).decryptor()
        plain = work.update(data[24:-self.icv]) + work.finalize()
        assert plain[-1] == 17
        return plain[8:-2 - plain[-2]]
