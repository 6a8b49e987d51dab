# SPDX-License-Identifier: Apache-2.0
"""wpa_supplicant's EAP peer (Debian's eapol_test) as somebody who logs in by IKEv2: it believes to speak with a RADIUS server, which is here and
hands its packets to an initiator and back."""

import hashlib
import hmac
import os
import re
import socket
import struct
import subprocess

EAPOL_TEST = "/usr/bin/eapol_test"
SECRET = b"between eapol_test and here"
REQUEST, ACCEPT, REJECT, CHALLENGE = 1, 2, 3, 11
EAP_MESSAGE, MESSAGE_AUTHENTICATOR, STATE = 79, 80, 24


def _eap_of(request):
    out, at = b"", 20
    while at < len(request):
        if request[at] == EAP_MESSAGE:
            out += request[at + 2:at + request[at + 1]]
        at += request[at + 1]
    return out


def _answer(request, eap):
    code = {3: ACCEPT, 4: REJECT}.get(eap[0], CHALLENGE)
    attributes = b"".join(bytes([EAP_MESSAGE, 2 + len(eap[at:at + 253])]) + eap[at:at + 253] for at in range(0, len(eap), 253))
    attributes += bytes([STATE, 3, 1]) if code == CHALLENGE else b""
    size = 20 + len(attributes) + 18
    head = struct.pack(">BBH", code, request[1], size)
    mark = bytes([MESSAGE_AUTHENTICATOR, 18])
    attributes += mark + hmac.digest(SECRET, head + request[4:20] + attributes + mark + bytes(16), "md5")
    return head + hashlib.md5(head + request[4:20] + attributes + SECRET).digest() + attributes


def log_in(initiator, folder, network):
    """Logs the initiator in by what `network`, of wpa_supplicant.conf, says. True: the gateway said success, and its key is the initiator's."""
    initiator.negotiate()
    following = initiator.begin("peer")
    config, output = folder / "eapol.conf", folder / "eapol.txt"
    config.write_text("network={\n key_mgmt=WPA-EAP\n" + "".join(f" {line}\n" for line in network) + "}\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, open(output, "wb") as out:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        process = subprocess.Popen([EAPOL_TEST, "-n", "-c", config, "-a", "127.0.0.1", "-p", str(server.getsockname()[1]), "-s", SECRET.decode(), "-t", "30"],
                                   stdout=out, stderr=out, env={**os.environ, "LC_ALL": "C"})
        try:
            while following[0] == 1:
                request, peer = server.recvfrom(65535)
                said = _eap_of(request)
                following = initiator._eap(following, said[4:])
                server.sendto(_answer(request, following), peer)
            process.wait(20)
        finally:
            process.kill()
            process.wait()
    text = output.read_text(errors="replace")
    key = re.search(r"Derived key - hexdump\(len=64\): ((?:[0-9a-f]{2} ?){64})", text)
    initiator.msk = bytes.fromhex(key.group(1)) if key else b""
    return following[0] == 3 and bool(key)
