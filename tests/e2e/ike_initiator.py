# SPDX-License-Identifier: Apache-2.0
"""An IKEv2 initiator that sends what a client family sends (client_families.toml), also where stock strongSwan cannot be made to:
orders of proposals, private attributes, no IDr, pieces of 626 bytes. It checks whatever the gateway proves. Its steps are separate, so
that a test may stop between any two of them."""

import hashlib
import hmac
import ipaddress
import os
import select
import socket
import struct
import time
import tomllib
from itertools import product
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lab.system import inside

SA, KE, IDI, IDR, CERT, CERTREQ, AUTH, NONCE, NOTIFY, DELETE, VENDOR, TSI, TSR, SK, CP, EAP = range(33, 49)
SKF = 53
INIT, IKE_AUTH, CREATE_CHILD, INFORMATIONAL = range(34, 38)
ENCR, PRF, INTEG, DH, ESN = range(1, 6)
INVALID_KE, INITIAL_CONTACT, COOKIE, REKEY_SA, NAT_SRC, NAT_DST = 17, 16384, 16390, 16393, 16388, 16389
FRAGMENTATION, HASHES = 16430, 16431
NOTIFIES = {"mobike": 16396, "initial-contact": INITIAL_CONTACT, "redirect": 16406, "no-tfc": 16394, "non-first": 16395, "eap-only": 16417}
ATTRIBUTES = {"ip4": 1, "mask4": 2, "dns4": 3, "nbns4": 4, "dhcp4": 6, "version": 7, "ip6": 8, "dns6": 10, "dhcp6": 12, "subnet4": 13,
              "subnet6": 15, "domain": 25, "ms-server4": 23456, "ms-server6": 23457}

# strongSwan's words for transforms: (type, number, key bits)
WORDS = ({f"aes{bits}": (ENCR, 12, bits) for bits in (128, 192, 256)} | {f"aes{bits}ctr": (ENCR, 13, bits) for bits in (128, 192, 256)} |
         {f"aes{bits}gcm{tag}": (ENCR, number, bits) for bits in (128, 192, 256) for tag, number in ((8, 18), (12, 19), (16, 20))} |
         {f"camellia{bits}": (ENCR, 23, bits) for bits in (128, 192, 256)} |
         {"des": (ENCR, 2, 0), "3des": (ENCR, 3, 0), "null": (ENCR, 11, 0), "chacha20poly1305": (ENCR, 28, 0)} |
         {"prfsha1": (PRF, 2, 0), "prfaesxcbc": (PRF, 4, 0), "prfsha256": (PRF, 5, 0), "prfsha384": (PRF, 6, 0), "prfsha512": (PRF, 7, 0),
          "prfaescmac": (PRF, 8, 0)} |
         {"sha1": (INTEG, 2, 0), "aesxcbc": (INTEG, 5, 0), "aescmac": (INTEG, 8, 0), "sha256": (INTEG, 12, 0), "sha384": (INTEG, 13, 0),
          "sha512": (INTEG, 14, 0)} |
         {"modp1024": (DH, 2, 0), "modp1536": (DH, 5, 0), "modp2048": (DH, 14, 0), "modp3072": (DH, 15, 0), "modp4096": (DH, 16, 0),
          "ecp256": (DH, 19, 0), "ecp384": (DH, 20, 0), "ecp521": (DH, 21, 0), "x25519": (DH, 31, 0), "noesn": (ESN, 0, 0), "esn": (ESN, 1, 0)})
NAMES = {value: name for name, value in WORDS.items()}
PRFS = {2: "sha1", 5: "sha256", 6: "sha384", 7: "sha512"}
INTEGRITY = {2: ("sha1", 12), 12: ("sha256", 16), 13: ("sha384", 24), 14: ("sha512", 32)}
FAMILIES = Path(__file__).with_name("client_families.toml")


class IkeError(AssertionError):
    """The gateway refused: `notify` is what it said, 0 when it said nothing."""

    def __init__(self, text, notify=0):
        super().__init__(text)
        self.notify = notify


def families():
    """{name: shape}; a shape's `like` is replaced by what it stands for."""
    found = tomllib.loads(FAMILIES.read_text())
    for name, shape in found.items():
        if "like" in shape:
            found[name] = {**found[shape["like"]], **shape}
    return found


def proposal(text):
    """[(type, number, key bits)] of one proposal in strongSwan's words, in its order."""
    return [WORDS[word] for word in text.split("-")]


def proposals(lines):
    """A line is one proposal; one that begins with `each ` is every combination of one transform of each type, the first type slowest,
    as Windows sends them. A PRF that is not named is that of the integrity."""
    out = []
    for line in lines:
        if not line.startswith("each "):
            out.append(proposal(line))
            continue
        kinds = {}
        for one in proposal(line[5:]):
            kinds.setdefault(one[0], []).append(one)
        for combination in product(*kinds.values()):
            integrity = [one for one in combination if one[0] == INTEG]
            add = [WORDS["prf" + NAMES[integrity[0]]]] if integrity and not {PRF, ESN} & kinds.keys() else []
            out.append([*combination, *add])
    return out


# --- key exchange and keys ---------------------------------------------------------------------------------------------------------------

def _pi_bits(count):
    """floor(2^count * pi), by Machin."""
    guard = 64
    one = 1 << (count + guard)

    def arctan(inverse):
        term = total = one // inverse
        number, sign = 3, -1
        while term:
            term //= inverse * inverse
            total += sign * (term // number)
            number, sign = number + 2, -sign
        return total
    return 4 * (4 * arctan(5) - arctan(239)) >> guard


def _modp(bits, number):  # RFC 2409, RFC 3526: 2^b - 2^(b-64) - 1 + 2^64 * (floor(2^(b-130) pi) + number)
    return 2 ** bits - 2 ** (bits - 64) - 1 + 2 ** 64 * (_pi_bits(bits - 130) + number)


MODP = {2: (1024, 129093), 5: (1536, 741804), 14: (2048, 124476), 15: (3072, 1690314), 16: (4096, 240904)}
CURVES = {19: ec.SECP256R1, 20: ec.SECP384R1, 21: ec.SECP521R1}


class Exchange:
    """Our half of a Diffie-Hellman exchange."""

    def __init__(self, group):
        self.group = group
        if group in MODP:
            self.prime, self.secret = _modp(*MODP[group]), int.from_bytes(os.urandom(40), "big")
            self.public = pow(2, self.secret, self.prime).to_bytes(MODP[group][0] // 8, "big")
        elif group in CURVES:
            self.key = ec.generate_private_key(CURVES[group]())
            self.public = self.key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)[1:]
        else:
            self.key = x25519.X25519PrivateKey.generate()
            self.public = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def shared(self, other):
        if self.group in MODP:
            return pow(int.from_bytes(other, "big"), self.secret, self.prime).to_bytes(len(self.public), "big")
        if self.group in CURVES:
            return self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVES[self.group](), b"\x04" + other))
        return self.key.exchange(x25519.X25519PublicKey.from_public_bytes(other))


def prf_plus(name, key, seed, size):
    out, block = b"", b""
    while len(out) < size:
        block = hmac.digest(key, block + seed + bytes([len(out) // hashlib.new(name).digest_size + 1]), name)
        out += block
    return out[:size]


class Suite:
    """What was chosen: [(type, number, key bits)]."""

    def __init__(self, transforms):
        self.of = {kind: (number, bits) for kind, number, bits in transforms}
        number, bits = self.of[ENCR]
        self.aead = number in (18, 19, 20)
        self.tag = {18: 8, 19: 12, 20: 16}.get(number)
        self.triple_des = number == 3
        self.key_size = 24 if self.triple_des else bits // 8 + (4 if self.aead else 0)
        self.iv_size = 8 if self.aead or self.triple_des else 16
        self.integrity, self.icv = (None, self.tag) if self.aead else INTEGRITY[self.of[INTEG][0]]
        self.integrity_size = 0 if self.aead else hashlib.new(self.integrity).digest_size
        self.prf = PRFS.get(self.of.get(PRF, (0, 0))[0])

    def words(self):
        return "-".join(NAMES[(kind, *self.of[kind])] for kind in sorted(self.of) if kind != ESN)

    def _cipher(self, key, iv):
        return Cipher(algorithms.TripleDES(key) if self.triple_des else algorithms.AES(key), modes.CBC(iv))

    def seal(self, keys, ad, plain):
        """IV, ciphertext and, of an AEAD, the tag; `plain` is padded."""
        iv = os.urandom(self.iv_size)
        if self.aead:
            return iv + AESGCM(keys[0][:-4]).encrypt(keys[0][-4:] + iv, plain, ad)
        worker = self._cipher(keys[0], iv).encryptor()
        return iv + worker.update(plain) + worker.finalize()

    def open(self, keys, ad, sealed):
        iv, rest = sealed[:self.iv_size], sealed[self.iv_size:]
        if self.aead:
            return AESGCM(keys[0][:-4]).decrypt(keys[0][-4:] + iv, rest, ad)
        worker = self._cipher(keys[0], iv).decryptor()
        return worker.update(rest) + worker.finalize()

    def mac(self, keys, data):
        return b"" if self.aead else hmac.digest(keys[1], data, self.integrity)[:self.icv]

    def pair(self, stream):
        """(encryption key, integrity key) from an iterator of bytes."""
        return stream(self.key_size), stream(self.integrity_size)


def _stream(data):
    place = 0

    def take(size):
        nonlocal place
        place += size
        return data[place - size:place]
    return take


# --- payloads ----------------------------------------------------------------------------------------------------------------------------

def chain(payloads):
    """Bytes of [(type, body)] and the type of the first."""
    out = b""
    for place, (_, body) in enumerate(payloads):
        following = payloads[place + 1][0] if place + 1 < len(payloads) else 0
        out += struct.pack(">BBH", following, 0, len(body) + 4) + body
    return out, payloads[0][0] if payloads else 0


def unchain(first, data):
    out = []
    while first:
        following, _, size = struct.unpack_from(">BBH", data)
        assert 4 <= size <= len(data), "a payload of the gateway runs over its message"
        out.append((first, data[4:size]))
        first, data = following, data[size:]
    return out


def sa_body(offers, protocol, spi=b""):
    out = b""
    for number, transforms in enumerate(offers, 1):
        inner = b""
        for place, (kind, ident, bits) in enumerate(transforms, 1):
            more = struct.pack(">HH", 0x800e, bits) if bits else b""
            inner += struct.pack(">BBHBBH", 0 if place == len(transforms) else 3, 0, 8 + len(more), kind, 0, ident) + more
        out += struct.pack(">BBHBBBB", 0 if number == len(offers) else 2, 0, 8 + len(spi) + len(inner), number, protocol, len(spi),
                           len(transforms)) + spi + inner
    return out


def chosen(body):
    """(SPI, transforms) of the one proposal of an answer."""
    more, _, _, _, _, spi_size, count = struct.unpack_from(">BBHBBBB", body)
    assert more == 0, "the gateway chose more than one proposal"
    place, out = 8 + spi_size, []
    for _ in range(count):
        _, _, size, kind, _, ident = struct.unpack_from(">BBHBBH", body, place)
        out.append((kind, ident, struct.unpack_from(">H", body, place + 10)[0] if size == 12 else 0))
        place += size
    return body[8:8 + spi_size], out


def notify(kind, data=b"", protocol=0, spi=b""):
    return NOTIFY, struct.pack(">BBH", protocol, len(spi), kind) + spi + data


def selectors(ranges):
    """TS body of [(first, last)] as texts, every protocol and port."""
    out = b""
    for first, last in ranges:
        a, b = ipaddress.ip_address(first), ipaddress.ip_address(last)
        out += struct.pack(">BBHHH", 7 if a.version == 4 else 8, 0, 8 + 2 * len(a.packed), 0, 65535) + a.packed + b.packed
    return struct.pack(">BBH", len(ranges), 0, 0) + out


def ranges_of(body):
    out, place = [], 4
    while place < len(body):
        size = struct.unpack_from(">H", body, place + 2)[0]
        half = (size - 8) // 2
        out.append(tuple(str(ipaddress.ip_address(body[place + 8 + at:place + 8 + at + half])) for at in (0, half)))
        place += size
    return out


def identity(text):
    try:
        packed = ipaddress.ip_address(text).packed
        return struct.pack(">BBH", 1 if len(packed) == 4 else 5, 0, 0) + packed
    except ValueError:
        return struct.pack(">BBH", 3 if "@" in text else 2, 0, 0) + text.encode()


# --- EAP-MSCHAPv2 ------------------------------------------------------------------------------------------------------------------------

def md4(data):
    def rotate(value, by):
        return (value << by | value >> 32 - by) & 0xffffffff
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", 8 * len(data))
    state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]
    rounds = [(lambda x, y, z: x & y | ~x & z, 0, list(range(16)), (3, 7, 11, 19)),
              (lambda x, y, z: x & y | x & z | y & z, 0x5a827999, [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15], (3, 5, 9, 13)),
              (lambda x, y, z: x ^ y ^ z, 0x6ed9eba1, [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15], (3, 9, 11, 15))]
    for at in range(0, len(padded), 64):
        words, (a, b, c, d) = struct.unpack_from("<16I", padded, at), state
        for function, constant, order, shifts in rounds:
            for step, index in enumerate(order):
                a, b, c, d = d, rotate((a + function(b, c, d) + words[index] + constant) & 0xffffffff, shifts[step % 4]), b, c
        state = [(one + two) & 0xffffffff for one, two in zip(state, (a, b, c, d))]
    return struct.pack("<4I", *state)


def _des(key7, block):
    bits = int.from_bytes(key7, "big")
    key = bytes((bits >> 49 - 7 * at & 0x7f) << 1 for at in range(8))
    worker = Cipher(algorithms.TripleDES(key * 3), modes.ECB()).encryptor()
    return worker.update(block)


def nt_response(challenge, peer, user, nt_hash):
    short = hashlib.sha1(peer + challenge + user).digest()[:8]
    padded = nt_hash + bytes(5)
    return b"".join(_des(padded[at:at + 7], short) for at in (0, 7, 14))


def msk_of(nt_hash, response):
    """RFC 3079 and the EAP method's: what the server receives by, what it sends by, zeros."""
    master = hashlib.sha1(md4(nt_hash) + response + b"This is the MPPE Master Key").digest()[:16]

    def key(text):
        return hashlib.sha1(master + bytes(40) + text + b"\xf2" * 40).digest()[:16]
    to_server = key(b"On the client side, this is the send key; on the server side, it is the receive key.")
    from_server = key(b"On the client side, this is the receive key; on the server side, it is the send key.")
    return to_server + from_server + bytes(32)


# --- the initiator -----------------------------------------------------------------------------------------------------------------------

class Child:
    """Both directions of a CHILD_SA; `ours` is the SPI we receive by."""

    def __init__(self, suite, ours, theirs, keymat):
        take = _stream(keymat)
        self.suite, self.ours, self.theirs, self.sequence = suite, ours, theirs, 0
        self.out_keys, self.in_keys = suite.pair(take), suite.pair(take)

    def seal(self, inner):
        self.sequence += 1
        head = self.theirs + struct.pack(">I", self.sequence)
        pad = -(len(inner) + 2) % (4 if self.suite.aead else self.suite.iv_size)
        plain = inner + bytes(range(1, pad + 1)) + bytes([pad, 4 if inner[0] >> 4 == 4 else 41])
        body = head + self.suite.seal(self.out_keys, head, plain)
        return body + self.suite.mac(self.out_keys, body)

    def open(self, packet):
        body = packet if self.suite.aead else packet[:-self.suite.icv]
        assert self.suite.aead or hmac.compare_digest(packet[-self.suite.icv:], self.suite.mac(self.in_keys, body)), "wrong ICV of the gateway's ESP"
        plain = self.suite.open(self.in_keys, body[:8], body[8:])
        return plain[:len(plain) - 2 - plain[-2]]


class Initiator:
    """One IKE_SA. `shape` is a family's; `trust` the CA certificates (PEM paths) whose gateway is accepted."""

    def __init__(self, namespace, gateway, shape, *, source="", trust=(), server="gw.acme.test"):
        self.shape, self.gateway, self.server = shape, gateway, server
        family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
        with inside(namespace):
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.port = 500
        self.trust = [x509.load_pem_x509_certificate(Path(one).read_bytes()) for one in trust]
        self.spi_i, self.spi_r = os.urandom(8), bytes(8)
        self.next_id, self.suite, self.children, self.inner, self.requests = 0, None, [], [], []
        self.notifies, self.cookies, self.retries = [], 0, []
        self.sent_sizes, self.certificates = [], []

    def close(self):
        self.socket.close()

    # datagrams

    def _put(self, data):
        marker = b"" if self.port == 500 else bytes(4)
        self.sent_sizes.append(len(data))
        self.socket.sendto(marker + data, (self.gateway, self.port))

    def _datagram(self, deadline):
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise IkeError("the gateway does not answer")
            data = self.socket.recv(65535)
            if self.port == 500:
                return data
            if data[:4] == bytes(4):
                return data[4:]
            if len(data) > 8:
                self.inner.append(data)

    def _answer_to(self, request, deadline):
        """Sent again each second, as RFC 7296 2.1 wants: one that comes while the attempt before is being forgotten gets no answer."""
        while True:
            self._put(request)
            try:
                return self._datagram(min(deadline, time.monotonic() + 1))
            except IkeError:
                if time.monotonic() >= deadline:
                    raise

    @staticmethod
    def _header(spi_i, spi_r, first, exchange, flags, message, size):
        return spi_i + spi_r + struct.pack(">BBBBII", first, 0x20, exchange, flags, message, size)

    # IKE_SA_INIT

    def negotiate(self, cookie=b"", seconds=5):
        """IKE_SA_INIT, begun again when the gateway wants a cookie or another group."""
        offers = proposals(self.shape["ike"])
        if not getattr(self, "exchange", None):
            first = next(ident for kind, ident, _ in offers[0] if kind == DH)
            self.exchange, self.nonce = Exchange(first), os.urandom(32)
        payloads = [notify(COOKIE, cookie)] if cookie else []
        payloads += [(SA, sa_body(offers, 1)), (KE, struct.pack(">HH", self.exchange.group, 0) + self.exchange.public), (NONCE, self.nonce)]
        if self.shape.get("fragmentation", True):
            payloads.append(notify(FRAGMENTATION))
        payloads += [notify(NAT_SRC, os.urandom(20)), notify(NAT_DST, os.urandom(20))]  # behind a NAT, whatever the wire is
        if self.shape.get("hashes"):
            payloads.append(notify(HASHES, b"".join(struct.pack(">H", one) for one in self.shape["hashes"])))
        payloads += [notify(NOTIFIES[one]) for one in self.shape.get("init_notifies", [])]
        payloads += [(VENDOR, bytes.fromhex(one)) for one in self.shape.get("vendor_ids", [])]
        data, kind = chain(payloads)
        self.init_request = self._header(self.spi_i, bytes(8), kind, INIT, 0x08, 0, 28 + len(data)) + data
        answer = self._answer_to(self.init_request, time.monotonic() + seconds)
        found = unchain(answer[16], answer[28:])
        for kind, body in found:
            if kind != NOTIFY:
                continue
            said = struct.unpack_from(">H", body, 2)[0]
            if said == COOKIE:
                self.cookies += 1
                return self.negotiate(body[4:])
            if said == INVALID_KE:
                group = struct.unpack(">H", body[4:6])[0]
                assert any((DH, group, 0) in one for one in offers), "the gateway wants a group that was not offered"
                self.retries.append(NAMES[(DH, group, 0)])
                self.exchange = Exchange(group)
                return self.negotiate(cookie)
            if said < 16384:
                raise IkeError(f"the gateway refused IKE_SA_INIT: notify {said}", said)
        self.init_answer, self.spi_r, self.answer_vendor_ids = answer, answer[8:16], [body for kind, body in found if kind == VENDOR]
        of = dict(found)
        self.suite = Suite(chosen(of[SA])[1])
        self.nonce_r = of[NONCE]
        self._keys(hmac.digest(self.nonce + self.nonce_r, self.exchange.shared(of[KE][4:]), self.suite.prf), self.nonce, self.nonce_r)
        self.port, self.next_id = 4500, 1
        return self

    def _keys(self, seed, nonce_i, nonce_r):
        size = hashlib.new(self.suite.prf).digest_size
        take = _stream(prf_plus(self.suite.prf, seed, nonce_i + nonce_r + self.spi_i + self.spi_r,
                                3 * size + 2 * (self.suite.key_size + self.suite.integrity_size)))
        self.sk_d = take(size)
        integrity_i, integrity_r = take(self.suite.integrity_size), take(self.suite.integrity_size)
        self.keys_i, self.keys_r = (take(self.suite.key_size), integrity_i), (take(self.suite.key_size), integrity_r)
        self.sk_pi, self.sk_pr = take(size), take(size)

    # protected messages

    def _seal(self, kind, first, exchange, message, plain, head=b"", flags=0x08):
        pad = 0 if self.suite.aead else -(len(plain) + 1) % self.suite.iv_size
        plain += bytes(pad) + bytes([pad])
        size = 4 + len(head) + self.suite.iv_size + len(plain) + self.suite.icv
        start = self._header(self.spi_i, self.spi_r, kind, exchange, flags, message, 28 + size) + struct.pack(">BBH", first, 0, size) + head
        body = start + self.suite.seal(self.keys_i, start, plain)
        return body + self.suite.mac(self.keys_i, body)

    def send(self, exchange, payloads, message=None, flags=0x08, order=None):
        """One request (or, with `message` and `flags`, an answer), in pieces when the family sends pieces. `order` permutes them."""
        data, first = chain(payloads)
        if message is None:
            message, self.next_id = self.next_id, self.next_id + 1
        piece = self.shape.get("piece", 0)
        whole = self._seal(SK, first, exchange, message, data, flags=flags)
        overhead = 20 + 8 + 4  # IPv4, UDP, marker: a family's `piece` is the size of the IP packet
        if not piece or len(whole) + overhead <= piece:
            self._put(whole)
            return 1
        room = piece - overhead - 28 - 8 - self.suite.iv_size - self.suite.icv
        room -= 1 if self.suite.aead else room % self.suite.iv_size + 1
        parts = [data[at:at + room] for at in range(0, len(data), room)]
        packets = [self._seal(SKF, first if at == 0 else 0, exchange, message, part, struct.pack(">HH", at + 1, len(parts)), flags)
                   for at, part in enumerate(parts)]
        for packet in (order(packets) if order else packets):
            self._put(packet)
        return len(parts)

    def _open(self, data):
        kind, exchange, flags, message = data[16], data[18], data[19], struct.unpack_from(">I", data, 20)[0]
        assert kind in (SK, SKF), "the gateway answers in clear"
        head = 32 if kind == SK else 36
        body = data if self.suite.aead else data[:-self.suite.icv]
        assert self.suite.aead or hmac.compare_digest(data[-self.suite.icv:], self.suite.mac(self.keys_r, body)), "wrong checksum of the gateway's"
        plain = self.suite.open(self.keys_r, body[:head], body[head:])
        plain = plain[:len(plain) - 1 - plain[-1]]
        number, total = struct.unpack_from(">HH", data, 32) if kind == SKF else (1, 1)
        return exchange, flags, message, data[28], number, total, plain

    def receive(self, wanted, seconds=8):
        """The answer to request number `wanted`; requests of the gateway meanwhile are answered (refused: CREATE_CHILD_SA) and noted."""
        deadline, pieces, asked = time.monotonic() + seconds, {}, {}
        while True:
            exchange, flags, message, first, number, total, plain = self._open(self._datagram(deadline))
            if not flags & 0x20:
                asked.setdefault(message, {})[number] = (first, plain)
                if len(asked[message]) == total:
                    parts = asked.pop(message)
                    self._asked(exchange, message, unchain(parts[1][0], b"".join(parts[at][1] for at in range(1, total + 1))))
                continue
            if message != wanted:
                continue
            pieces[number] = (first, plain)
            if len(pieces) == total:
                found = unchain(pieces[1][0], b"".join(pieces[at][1] for at in range(1, total + 1)))
                self.notifies += [struct.unpack_from(">H", body, 2)[0] for kind, body in found if kind == NOTIFY]
                return found

    def _asked(self, exchange, message, payloads):
        self.requests.append((exchange, payloads))
        refusal = [notify(43)] if exchange == CREATE_CHILD else []  # TEMPORARY_FAILURE
        self.send(exchange, refusal, message, flags=0x28)

    def wait_for_requests(self, seconds):
        """What the gateway asks of its own within that time: [exchange]."""
        try:
            self.receive(-1, seconds)
        except IkeError:
            pass
        return [exchange for exchange, _ in self.requests]

    def ask(self, exchange, payloads, **more):
        message = self.next_id
        self.send(exchange, payloads, **more)
        return self.receive(message)

    # IKE_AUTH

    def _wishes(self):
        """CP, SA, TSi, TSr of the first IKE_AUTH."""
        self.child_spi = os.urandom(4)
        wishes = b"".join(struct.pack(">HH", ATTRIBUTES[one], 0) for one in self.shape["attributes"])
        everything = [("0.0.0.0", "255.255.255.255"), ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
        return [(CP, b"\x01\0\0\0" + wishes), (SA, sa_body(proposals(self.shape["esp"]), 3, self.child_spi)), (TSI, selectors(everything)),
                (TSR, selectors(everything))]

    def begin(self, user="", order=None):
        """The first IKE_AUTH. With EAP: takes the gateway's certificate and signature, checks them, and returns its first EAP request."""
        self.id_i = identity({"address": "10.10.1.52", "user": user}.get(self.shape["idi"], self.shape["idi"]))
        payloads = [(IDI, self.id_i)]
        authorities = self.shape.get("authorities", 0)
        if authorities:  # Windows names every root it knows
            ours = [hashlib.sha1(one.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest()
                    for one in self.trust]
            payloads.append((CERTREQ, b"\x04" + b"".join([os.urandom(20) for _ in range(authorities - len(ours))] + ours)))
        if self.shape.get("idr"):
            payloads.append((IDR, identity(self.server)))
        payloads += [notify(NOTIFIES[one]) for one in self.shape.get("auth_notifies", [])]
        self.pieces = self.send(IKE_AUTH, [*payloads, *self._wishes()], order=order)
        found = self.receive(1)
        of = dict(found)
        if EAP not in of:
            raise IkeError(f"the gateway refused IKE_AUTH: {self.notifies}", self.notifies[-1] if self.notifies else 0)
        self.certificates = [x509.load_der_x509_certificate(body[1:]) for kind, body in found if kind == CERT]
        self._check_gateway(of)
        return of[EAP]

    def _check_gateway(self, of):
        """The gateway's signature, its certificate's issuer and name."""
        assert self.certificates, "the gateway sent no certificate"
        mine, key = self.certificates[0], self.certificates[0].public_key()
        assert self.server in mine.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        issuer = next((one for one in self.trust if one.subject == mine.issuer), None)
        assert issuer, "the gateway's certificate is of a CA this client does not trust"
        scheme = [padding.PKCS1v15()] if isinstance(issuer.public_key(), rsa.RSAPublicKey) else []
        algorithm = mine.signature_hash_algorithm
        issuer.public_key().verify(mine.signature, mine.tbs_certificate_bytes, *([*scheme, algorithm] if scheme else [ec.ECDSA(algorithm)]))
        octets = self.init_answer + self.nonce + hmac.digest(self.sk_pr, of[IDR], self.suite.prf)
        method, signature = of[AUTH][0], of[AUTH][4:]
        if method == 14:  # RFC 7427
            oid, signature = signature[1:1 + signature[0]], signature[1 + signature[0]:]
            digest = next((one for mark, one in ((b"\x0b", hashes.SHA256()), (b"\x0c", hashes.SHA384()), (b"\x0d", hashes.SHA512()),
                                                 (b"\x02", hashes.SHA256()), (b"\x03", hashes.SHA384()), (b"\x04", hashes.SHA512()))
                           if oid[:13].endswith(mark) or oid.endswith(mark)), None)
            assert digest, oid.hex()
        else:
            assert method in (1, 9), f"the gateway authenticates by method {method}"
            digest = hashes.SHA1() if method == 1 else hashes.SHA256()
        self.signed_by = ("rsa" if isinstance(key, rsa.RSAPublicKey) else "ecdsa", method)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, octets, padding.PKCS1v15(), digest)
        else:
            if method == 9:  # r and s, of fixed size
                half = len(signature) // 2
                signature = encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
            key.verify(signature, octets, ec.ECDSA(digest))

    def _eap(self, request, answer):
        """The answer to an EAP request; the gateway's next EAP message."""
        found = dict(self.ask(IKE_AUTH, [(EAP, struct.pack(">BBH", 2, request[1], 4 + len(answer)) + answer)]))
        return found.get(EAP, b"\x04\0\0\4")

    def challenge(self, request, name):
        """EAP identity, then Nak until MSCHAPv2; returns its challenge."""
        while request[4] != 26:
            request = self._eap(request, b"\x01" + name.encode() if request[4] == 1 else b"\x03\x1a")
            assert request[0] == 1, "the gateway offers no EAP-MSCHAPv2"
        return request

    def response(self, request, name, password):
        """The EAP answer to an MSCHAPv2 challenge."""
        size = request[9]
        peer, secret = os.urandom(16), md4(password.encode("utf-16-le"))
        bare = name.rsplit("\\", 1)[-1].encode()
        reply = nt_response(request[10:10 + size], peer, bare, secret)
        self.msk = msk_of(secret, reply)
        value = peer + bytes(8) + reply + b"\0"
        return b"\x1a\x02" + request[6:7] + struct.pack(">H", 5 + len(value) + len(name)) + bytes([len(value)]) + value + name.encode()

    def password(self, request, name, password):
        """The EAP conversation; True when the gateway says success."""
        request = self.challenge(request, name)
        following = self._eap(request, self.response(request, name, password))
        if following[0] == 1 and following[5] == 3:
            following = self._eap(following, b"\x1a\x03")
        return following[0] == 3

    def finish(self):
        """AUTH by the EAP key; takes the CHILD_SA."""
        def proof(message, nonce, key, ident):
            octets = message + nonce + hmac.digest(key, ident, self.suite.prf)
            return hmac.digest(hmac.digest(self.msk, b"Key Pad for IKEv2", self.suite.prf), octets, self.suite.prf)
        mine = proof(self.init_request, self.nonce_r, self.sk_pi, self.id_i)
        of = dict(self.ask(IKE_AUTH, [(AUTH, b"\x02\0\0\0" + mine)]))
        if AUTH not in of or SA not in of:
            raise IkeError(f"the gateway let nobody in: {self.notifies}", self.notifies[-1] if self.notifies else 0)
        self.answer = of
        self.configuration = self._attributes(of[CP]) if CP in of else []
        self.networks, self.mine = ranges_of(of[TSR]), ranges_of(of[TSI])
        theirs, transforms = chosen(of[SA])
        self._add_child(transforms, self.child_spi, theirs, self.nonce + self.nonce_r)
        return self

    @staticmethod
    def _attributes(body):
        out, place = [], 4
        while place < len(body):
            kind, size = struct.unpack_from(">HH", body, place)
            out.append((kind & 0x7fff, body[place + 4:place + 4 + size]))
            place += 4 + size
        return out

    def given(self, name):
        """Values of a configuration attribute, as text."""
        values = [value for kind, value in self.configuration if kind == ATTRIBUTES[name]]
        return [value.decode() if name == "domain" else str(ipaddress.ip_address(value[:16])) for value in values]

    def _add_child(self, transforms, ours, theirs, nonces, secret=b""):
        suite = Suite(transforms)
        keymat = prf_plus(self.suite.prf, self.sk_d, secret + nonces, 2 * (suite.key_size + suite.integrity_size))
        self.children.append(Child(suite, ours, theirs, keymat))

    def log_in(self, name, password, order=None):
        """Everything at once."""
        self.negotiate()
        if not self.password(self.begin(name, order=order), name, password):
            raise IkeError("wrong password or unknown user")
        return self.finish()

    # later

    def rekey_child(self, group=None):
        """CREATE_CHILD_SA in place of the newest CHILD_SA, with a key exchange or without one; the old one is deleted."""
        old, spi, nonce = self.children[-1], os.urandom(4), os.urandom(32)
        offers = [[one for one in transforms if one[0] != DH] + ([(DH, group, 0)] if group else []) for transforms in proposals(self.shape["esp"])]
        exchange = Exchange(group) if group else None
        payloads = [notify(REKEY_SA, b"", 3, old.ours), (SA, sa_body(offers, 3, spi)), (NONCE, nonce)]
        if exchange:
            payloads.append((KE, struct.pack(">HH", group, 0) + exchange.public))
        payloads += [(TSI, selectors(self.mine)), (TSR, selectors(self.networks))]
        of = dict(self.ask(CREATE_CHILD, payloads))
        if SA not in of:
            raise IkeError(f"the gateway refused to rekey: {self.notifies}", self.notifies[-1] if self.notifies else 0)
        theirs, transforms = chosen(of[SA])
        self._add_child(transforms, spi, theirs, nonce + of[NONCE], exchange.shared(of[KE][4:]) if exchange else b"")
        self.ask(INFORMATIONAL, [(DELETE, struct.pack(">BBH", 3, 4, 1) + old.ours)])
        return (DH in Suite(transforms).of) if group else True

    def rekey_ike(self):
        """CREATE_CHILD_SA in place of the IKE_SA, by the group in use; the old one is deleted."""
        group, spi, nonce = self.suite.of[DH][0], os.urandom(8), os.urandom(32)
        exchange = Exchange(group)
        of = dict(self.ask(CREATE_CHILD, [(SA, sa_body(proposals(self.shape["ike"]), 1, spi)), (NONCE, nonce),
                                          (KE, struct.pack(">HH", group, 0) + exchange.public)]))
        if SA not in of:
            raise IkeError(f"the gateway refused to rekey: {self.notifies}", self.notifies[-1] if self.notifies else 0)
        theirs, transforms = chosen(of[SA])
        self.ask(INFORMATIONAL, [(DELETE, struct.pack(">BBH", 1, 0, 0))])
        old_prf, self.suite = self.suite.prf, Suite(transforms)
        seed = hmac.digest(self.sk_d, exchange.shared(of[KE][4:]) + nonce + of[NONCE], old_prf)
        self.spi_i, self.spi_r, self.next_id = spi, theirs, 0
        self._keys(seed, nonce, of[NONCE])

    def carry(self, inner, seconds=3):
        """Sends a packet through the newest CHILD_SA; returns the one that comes back."""
        child = self.children[-1]
        self.socket.sendto(child.seal(inner), (self.gateway, 4500))
        deadline = time.monotonic() + seconds
        while True:
            waiting = [one for one in self.inner if one[:4] == child.ours]
            self.inner = [one for one in self.inner if one[:4] != child.ours]
            if waiting:
                return child.open(waiting[0])
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise IkeError("no packet came back through the tunnel")
            data = self.socket.recv(65535)
            if data[:4] != bytes(4):
                self.inner.append(data)

    def leave(self):
        self.ask(INFORMATIONAL, [(DELETE, struct.pack(">BBH", 1, 0, 0))])
        self.close()
