# SPDX-License-Identifier: Apache-2.0
"""The SSTP client of board/lab with more ways to prove itself: MSCHAPv2, and EAP by it or by certificates."""

import os
import struct

from OpenSSL import SSL

from lab import sstp
from lab.sstp import ABORT, ECHO_REQUEST, ECHO_RESPONSE, EAP, IP, SstpError, control  # noqa: F401  (for tests)

from ike_initiator import md4, msk_of, nt_response


class SstpClient(sstp.SstpClient):
    """As the other one."""

    def __init__(self, namespace, gateway, user, password, **more):
        super().__init__(namespace, gateway, user, password, **more)
        self.nt_hash, self.inner = md4(password.encode("utf-16-le")), None

    def proof(self, challenge):
        peer = os.urandom(16)
        response = nt_response(challenge, peer, self.user.split("\\")[-1].encode(), self.nt_hash)
        self.key = msk_of(self.nt_hash, response)[:32]
        return peer + bytes(8) + response + b"\0"

    def take_eap(self, code, identifier, data):
        if code == 3:
            return self.logged_in()
        if code == 4:
            raise SstpError("refused by EAP")
        if data[0] == 1:
            return self.send_ppp(EAP, 2, identifier, b"\1" + self.user.encode())
        if data[0] == 13:
            self.inner = self.inner or EapTls(*self.certificate)
            return self.send_ppp(EAP, 2, identifier, b"\x0d" + self.inner.answer(data[1:]))
        if self.certificate:
            return self.send_ppp(EAP, 2, identifier, b"\3\x0d")  # a Nak: EAP-TLS or nothing
        method, number = data[1], data[2]
        if method == 1:
            challenge = data[6:22]
            body = bytes([49]) + self.proof(challenge) + self.user.encode()
            return self.send_ppp(EAP, 2, identifier, b"\x1a" + struct.pack(">BBH", 2, number, 4 + len(body)) + body)
        return self.send_ppp(EAP, 2, identifier, b"\x1a" + bytes([method]))

    def logged_in(self):
        if self.inner:
            self.key = self.inner.key()
        super().logged_in()


class EapTls:
    """The peer's end of EAP-TLS: TLS in memory. Trusts whatever it is shown: the tunnel around it was checked."""

    def __init__(self, certificate, key):
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate_file(str(certificate))
        context.use_privatekey_file(str(key))
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        self.out, self.committed = b"", False

    def answer(self, data):
        flags, tls = data[0], data[5:] if data[0] & 0x80 else data[1:]
        if tls:
            self.tls.bio_write(tls)
        if not flags & 0x40 and not self.out:
            try:
                self.tls.do_handshake()
                self.committed = self.tls.recv(1) == b"\0"
            except SSL.WantReadError:
                pass
            try:
                self.out = self.tls.bio_read(65536)
            except SSL.WantReadError:
                pass
        piece, self.out = self.out[:1000], self.out[1000:]
        return bytes([0x40 if self.out else 0]) + piece

    def key(self):
        """The first half of the MSK: what the gateway receives by."""
        new = self.tls.get_protocol_version_name() == "TLSv1.3"
        assert self.committed == new, "RFC 9190's last word"
        label, context = (b"EXPORTER_EAP_TLS_Key_Material", b"\x0d") if new else (b"client EAP encryption", None)
        return self.tls.export_keying_material(label, 64, context)[:32]
