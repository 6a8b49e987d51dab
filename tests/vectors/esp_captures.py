#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes esp_captures.txt from captures of other people's IKE and ESP (strongSwan, libreswan, OpenIKED, xl2tpd) with the
keys their daemons wrote for Wireshark. Usage: esp_captures.py FOLDER, one capture a sub-folder: eth.pcap, wireshark/esp_sa.
A line: capture, cipher, integrity, cipher key, integrity key, the packet from SPI to ICV, what OpenSSL makes of its
encrypted part: payload, padding, trailer."""

import csv
import hashlib
import hmac
import logging
import sys
from pathlib import Path

logging.getLogger("scapy").setLevel(logging.ERROR)
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from scapy.all import IP, UDP, rdpcap  # noqa: E402

PACKETS_A_SA = 2
HASHES = {"HMAC-SHA-1-96": ("sha1-96", hashlib.sha1, 12), "HMAC-SHA-256-128": ("sha256-128", hashlib.sha256, 16)}


def esp_of(packet):
    if not packet.haslayer(IP):
        return None
    ip = packet[IP]
    if ip.proto == 50:
        return bytes(ip.payload)[: ip.len - 4 * ip.ihl]
    if packet.haslayer(UDP) and 4500 in (ip[UDP].sport, ip[UDP].dport):
        payload = bytes(ip[UDP].payload)
        return payload if len(payload) > 8 and payload[:4] != bytes(4) else None
    return None


def opened(esp, sa):
    key = bytes.fromhex(sa["key"][2:])
    if sa["cipher"].startswith("AES-GCM"):
        return f"aes{len(key) * 8 - 32}-gcm", "aead", b"", AESGCM(key[:-4]).decrypt(key[-4:] + esp[8:16], esp[16:], esp[:8])
    name, function, length = HASHES[sa["integrity"].split()[0]]
    secret = bytes.fromhex(sa["secret"][2:])
    assert hmac.new(secret, esp[:-length], function).digest()[:length] == esp[-length:]
    if sa["cipher"].startswith("TripleDES"):
        engine, iv, cipher = algorithms.TripleDES(key), 8, "3des-cbc"
    else:
        engine, iv, cipher = algorithms.AES(key), 16, f"aes{len(key) * 8}-cbc"
    context = Cipher(engine, modes.CBC(esp[8 : 8 + iv])).decryptor()
    return cipher, name, secret, context.update(esp[8 + iv : -length]) + context.finalize()


def main(folder):
    lines = []
    for capture in sorted(Path(folder).glob("*/eth.pcap")):
        table = capture.parent / "wireshark/esp_sa"
        if not table.exists():
            continue
        names = ("family", "source", "destination", "spi", "cipher", "key", "integrity", "secret")
        sas = {int(row[3], 16): dict(zip(names, row)) for row in csv.reader(table.open())}
        taken = {}
        for packet in rdpcap(str(capture)):
            esp = esp_of(packet)
            spi = int.from_bytes(esp[:4], "big") if esp else 0
            if spi not in sas or taken.get(spi, 0) == PACKETS_A_SA:
                continue
            taken[spi] = taken.get(spi, 0) + 1
            cipher, integrity, secret, plain = opened(esp, sas[spi])
            key = sas[spi]["key"][2:]
            lines.append(" ".join([capture.parent.name, cipher, integrity, key, secret.hex() or "-", esp.hex(), plain.hex()]))
    (Path(__file__).parent / "esp_captures.txt").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} packets")


main(sys.argv[1])
