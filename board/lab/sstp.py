# SPDX-License-Identifier: Apache-2.0
"""An SSTP client by hand, so that each step can be done wrongly. What it gets is a tun in its namespace: curl and ping are the kernel's.
It proves itself by PAP or CHAP; more is tests/e2e/sstp_client.py's. Standard library only."""

import collections
import fcntl
import hashlib
import hmac
import ipaddress
import os
import select
import socket
import ssl
import struct
import threading
import time

from .system import inside, ip_batch

PATH = "/sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/"
LCP, IPCP, IPV6CP, PAP, CHAP, EAP, IP, IP6 = 0xC021, 0x8021, 0x8057, 0xC023, 0xC223, 0xC227, 0x0021, 0x0057
# LCP's option of each way to prove oneself.
METHODS = {"pap": b"\3\4\xc0\x23", "chap": b"\3\5\xc2\x23\x05", "mschapv2": b"\3\5\xc2\x23\x81", "eap": b"\3\4\xc2\x27"}
REQUEST, ACK, NAK, REJECT = 1, 2, 3, 4
(CONNECT_REQUEST, CONNECT_ACK, CONNECT_NAK, CONNECTED, ABORT, DISCONNECT, DISCONNECT_ACK, ECHO_REQUEST, ECHO_RESPONSE) = range(1, 10)
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000


class SstpError(Exception):
    """The gateway did not play along."""


def control(kind, *attributes):
    body = struct.pack(">HH", kind, len(attributes)) + b"".join(struct.pack(">BBH", 0, one, 4 + len(value)) + value for one, value in attributes)
    return struct.pack(">BBH", 0x10, 1, 4 + len(body)) + body


def crypto_binding(nonce, certificate_hash, key, hash_bit=2, spoil=None):
    """The CONNECTED packet; `spoil` may change what is signed or the whole."""
    name, size = ("sha256", 32) if hash_bit == 2 else ("sha1", 20)
    packet = bytearray(control(CONNECTED, (3, bytes([0, 0, 0, hash_bit]) + nonce + certificate_hash.ljust(32, b"\0") + bytes(32))))
    compound = hmac.new(key, b"SSTP inner method derived CMK" + struct.pack("<H", size) + b"\1", name).digest()
    packet[80:80 + size] = hmac.new(compound, bytes(packet), name).digest()
    if spoil:
        spoil(packet)
    return bytes(packet)


class SstpClient:
    """`with SstpClient(...) as client`: up, with `client.address` on a tun. `connect()` alone goes as far as TLS and HTTP."""

    def __init__(self, namespace, gateway, user, password, *, server="gw.acme.test", trust=None, tun="sstp0", spoil=None, hash_bit=2,
                 certificate_hash=None, eap=False, six=False, tls=None, method=None, certificate=None):
        self.namespace, self.gateway, self.user, self.tun = namespace, gateway, user, tun
        self.server, self.trust, self.spoil, self.hash_bit = server, trust, spoil, hash_bit
        self.password, self.method = password, method or ("eap" if eap else None)  # None: whatever is asked for
        self.certificate = certificate  # PEM files of certificate and key: EAP-TLS
        self.certificate_hash, self.six, self.tls = certificate_hash, six, tls
        self.stream, self.plain, self.buffer = None, None, b""
        self.address = self.address6 = None
        self.key, self.said, self.frames, self.status = bytes(32), [], [], None
        self.opened, self.done, self.handle = set(), threading.Event(), -1
        self.thread, self.echoes, self.outbox = None, 0, collections.deque()

    # --- TLS, HTTP, SSTP -----------------------------------------------------------------------------------------------------------

    def open_tls(self):
        family = socket.AF_INET6 if ":" in self.gateway else socket.AF_INET
        with inside(self.namespace):
            self.plain = socket.socket(family, socket.SOCK_STREAM)
        self.plain.settimeout(10)
        self.plain.connect((self.gateway, 443))
        context = self.tls or ssl.create_default_context(cafile=self.trust)
        if not self.trust and not self.tls:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.stream = context.wrap_socket(self.plain, server_hostname=self.server)
        return self

    def connect(self, query=""):
        self.open_tls()
        self.stream.sendall(f"SSTP_DUPLEX_POST {PATH}{query} HTTP/1.1\r\nHost: {self.server}\r\nSSTPCORRELATIONID: "
                            f"{{62DFA5C0-E2E0-FD50-D286-00D6B6A00001}}\r\nContent-Length: 18446744073709551615\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            piece = self.stream.recv(4096)
            if not piece:
                raise SstpError(f"no answer to HTTP: {answer}")
            answer += piece
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SstpError(answer.decode(errors="replace"))
        return self

    def packet(self, seconds=10):
        """(control?, body) of the next packet."""
        until = time.monotonic() + seconds
        while len(self.buffer) < 4 or len(self.buffer) < (length := struct.unpack_from(">H", self.buffer, 2)[0] & 0xFFF):
            self.stream.settimeout(max(0.01, until - time.monotonic()))
            try:
                piece = self.stream.recv(65536)
            except (socket.timeout, ssl.SSLWantReadError):
                piece = None
            except (ConnectionError, ssl.SSLError) as error:
                raise SstpError(f"the gateway closed: {error}") from error
            if piece == b"":
                raise SstpError("the gateway closed")
            if time.monotonic() > until:
                raise TimeoutError("no packet")
            self.buffer += piece or b""
        packet, self.buffer = self.buffer[:length], self.buffer[length:]
        return bool(packet[1] & 1), packet[4:]

    def send_frame(self, protocol, payload):
        frame = b"\xff\x03" + struct.pack(">H", protocol) + payload
        packet = struct.pack(">BBH", 0x10, 0, 4 + len(frame)) + frame
        if self.thread and threading.current_thread() is not self.thread:
            self.outbox.append(packet)  # a stream of TLS is one thread's at a time
        else:
            self.stream.sendall(packet)

    # --- PPP -------------------------------------------------------------------------------------------------------------------------

    def send_ppp(self, protocol, code, identifier, data=b""):
        self.send_frame(protocol, struct.pack(">BBH", code, identifier, 4 + len(data)) + data)

    def handshake(self):
        self.stream.sendall(control(CONNECT_REQUEST, (1, b"\0\1")))
        is_control, body = self.packet()
        if not is_control or struct.unpack_from(">H", body)[0] != CONNECT_ACK:
            raise SstpError(f"instead of an ack: {body.hex()}")
        self.nonce, self.offered = body[12:44], body[11]
        self.lcp = struct.pack(">BBHBBI", 1, 4, 1400, 5, 6, int.from_bytes(os.urandom(4), "big"))
        self.send_ppp(LCP, REQUEST, 1, self.lcp)

    def connected(self):
        certificate = self.stream.getpeercert(binary_form=True)
        name = "sha256" if self.hash_bit == 2 else "sha1"
        shown = self.certificate_hash or hashlib.new(name, certificate).digest()
        self.stream.sendall(crypto_binding(self.nonce, shown, self.key, self.hash_bit, self.spoil))

    def take(self, body):
        """One PPP frame. True: an IP packet."""
        frame = body[2:] if body[:2] == b"\xff\x03" else body
        protocol, frame = (frame[0], frame[1:]) if frame[0] & 1 else (struct.unpack_from(">H", frame)[0], frame[2:])
        if protocol in (IP, IP6):
            return frame
        code, identifier, length = struct.unpack_from(">BBH", frame)
        data = frame[4:length]
        self.frames.append((protocol, code))
        if protocol in (LCP, IPCP, IPV6CP):
            self.take_configure(protocol, code, identifier, data)
        elif protocol == PAP:
            if code == 3:
                raise SstpError("refused by PAP")
            self.logged_in()
        elif protocol == CHAP and code == 1 and self.agreed == METHODS["chap"]:
            value = data[1:1 + data[0]]
            digest = hashlib.md5(bytes([identifier]) + self.password.encode() + value).digest()
            self.send_ppp(CHAP, 2, identifier, bytes([16]) + digest + self.user.encode())
        elif protocol == CHAP and code == 1:
            self.send_ppp(CHAP, 2, identifier, bytes([49]) + self.proof(data[1:1 + data[0]]) + self.user.encode())
        elif protocol == CHAP and code == 3:
            self.logged_in()
        elif protocol == CHAP and code == 4:
            raise SstpError(f"refused: {data.decode(errors='replace')}")
        elif protocol == EAP:
            self.take_eap(code, identifier, data)
        return None

    def proof(self, challenge):
        """Answers a challenge of MSCHAPv2."""
        raise SstpError("asked for MSCHAPv2")

    def take_eap(self, code, identifier, data):
        """Answers a packet of EAP."""
        raise SstpError("asked for EAP")

    def logged_in(self):
        self.connected()
        self.ipcp = b"\3\6\0\0\0\0\x81\6\0\0\0\0"
        self.send_ppp(IPCP, REQUEST, 1, self.ipcp)
        if self.six:
            self.interface = os.urandom(8)
            self.send_ppp(IPV6CP, REQUEST, 1, b"\1\x0a" + self.interface)

    def take_configure(self, protocol, code, identifier, data):
        if code == REQUEST:
            if protocol == LCP:
                asked = next((data[at:at + size] for at, option, size in options(data) if option == 3), b"")
                self.agreed = METHODS[self.method] if self.method else asked
                if asked != self.agreed:
                    return self.send_ppp(LCP, NAK, identifier, self.agreed)
            self.send_ppp(protocol, ACK, identifier, data)
            if protocol == LCP and self.agreed == METHODS["pap"]:
                name, password = self.user.encode(), self.password.encode()
                self.send_ppp(PAP, 1, 1, bytes([len(name)]) + name + bytes([len(password)]) + password)
            return None
        if protocol == IPCP and code == NAK:
            for at, option, size in options(data):
                if option in (3, 0x81):
                    self.ipcp = replaced(self.ipcp, option, data[at + 2:at + size])
            return self.send_ppp(IPCP, REQUEST, 2, self.ipcp)
        if protocol == IPCP and code == REJECT:
            for _, option, _ in options(data):
                self.ipcp = removed(self.ipcp, option)
            return self.send_ppp(IPCP, REQUEST, 3, self.ipcp)
        if protocol == IPCP and code == ACK:
            self.address = str(ipaddress.ip_address(data[2:6]))
            self.opened.add(IPCP)
        if protocol == IPV6CP and code == NAK:
            self.interface = data[2:10]
            return self.send_ppp(IPV6CP, REQUEST, 2, b"\1\x0a" + self.interface)
        if protocol == IPV6CP and code == ACK:
            self.opened.add(IPV6CP)
        if protocol == LCP and code == 9:
            self.send_ppp(LCP, 10, identifier, bytes(4))
        return None

    def take_control(self, body):
        kind = struct.unpack_from(">H", body)[0]
        self.said.append(kind)
        if kind == ECHO_REQUEST:
            self.stream.sendall(control(ECHO_RESPONSE))
        if kind == ECHO_RESPONSE:
            self.echoes += 1
        if kind in (ABORT, DISCONNECT):
            if len(body) >= 16:
                self.status = (body[11], struct.unpack_from(">I", body, 12)[0])
            if kind == DISCONNECT:
                self.stream.sendall(control(DISCONNECT_ACK))
            raise SstpError(f"the gateway says {'abort' if kind == ABORT else 'disconnect'} {self.status}")

    def login(self, seconds=15):
        """Until the addresses are there."""
        self.handshake()
        until = time.monotonic() + seconds
        while not (self.address and (not self.six or self.address6)):
            is_control, body = self.packet(until - time.monotonic())
            if is_control:
                self.take_control(body)
            elif (packet := self.take(body)) is not None:
                self.take_advertisement(packet)
        return self

    def take_advertisement(self, packet):
        """The prefix of a router advertisement makes our address."""
        if packet[0] >> 4 == 6 and packet[6] == 58 and packet[40] == 134 and IPV6CP in self.opened:
            at = 56
            while at + 8 <= len(packet):
                kind, size = packet[at], packet[at + 1] * 8
                if kind == 3:
                    self.address6 = str(ipaddress.ip_address(packet[at + 16:at + 24] + self.interface))
                at += max(size, 8)

    # --- the tun -----------------------------------------------------------------------------------------------------------------------

    def __enter__(self):
        self.connect().login()
        with inside(self.namespace):
            self.handle = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(self.handle, _TUNSETIFF, struct.pack("16sH22x", self.tun.encode(), _IFF_TUN | _IFF_NO_PI))
        lines = [f"link set {self.tun} mtu 1400 up", f"addr add {self.address}/32 dev {self.tun}", f"route replace 10.0.0.0/24 dev {self.tun} src {self.address}"]
        if self.address6:
            lines += [f"addr add {self.address6}/128 dev {self.tun} nodad", f"route replace fd00:10::/32 dev {self.tun} src {self.address6}"]
        ip_batch(lines, self.namespace)
        self.stream.settimeout(None)
        self.thread = threading.Thread(target=self._pump, daemon=True)
        self.thread.start()
        return self

    def _pump(self):
        self.stream.setblocking(False)
        try:
            while not self.done.is_set():
                if not self.stream.pending() and len(self.buffer) < 4:
                    select.select([self.stream, self.handle], [], [], 0.1)
                self._from_gateway()
                self._from_kernel()
                self._from_others()
        except (SstpError, OSError) as error:
            self.error = error
        self.done.set()

    def _from_gateway(self):
        try:
            piece = self.stream.recv(65536)
            if piece == b"":
                raise SstpError("the gateway closed")
            self.buffer += piece
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        while len(self.buffer) >= 4 and len(self.buffer) >= (length := struct.unpack_from(">H", self.buffer, 2)[0] & 0xFFF):
            packet, self.buffer = self.buffer[:length], self.buffer[length:]
            self.stream.setblocking(True)
            if packet[1] & 1:
                self.take_control(packet[4:])
            elif (inner := self.take(packet[4:])) is not None:
                os.write(self.handle, inner)
            self.stream.setblocking(False)

    def _from_kernel(self):
        while select.select([self.handle], [], [], 0)[0]:
            inner = os.read(self.handle, 2048)
            self.stream.setblocking(True)
            self.send_frame(IP6 if inner[0] >> 4 == 6 else IP, inner)
            self.stream.setblocking(False)

    def _from_others(self):
        while self.outbox:
            self.stream.setblocking(True)
            self.stream.sendall(self.outbox.popleft())
            self.stream.setblocking(False)

    def close(self):
        self.done.set()
        if self.thread:
            self.thread.join(5)
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
        if self.stream:
            try:
                self.stream.setblocking(True)
                self.stream.settimeout(2)
                self.stream.unwrap()
            except (OSError, ValueError):
                pass
            self.stream.close()

    def __exit__(self, *_):
        self.close()


def options(data):
    at = 0
    while at + 2 <= len(data) and data[at + 1] >= 2:
        yield at, data[at], data[at + 1]
        at += data[at + 1]


def replaced(data, option, value):
    return b"".join(bytes([one, size]) + (value if one == option else data[at + 2:at + size]) for at, one, size in options(data))


def removed(data, option):
    return b"".join(data[at:at + size] for at, one, size in options(data) if one != option)
