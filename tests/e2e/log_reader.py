# SPDX-License-Identifier: Apache-2.0
"""Reads records as controld does: export.sock, for worlds that have no controld."""

import array
import json
import os
import socket

DATAGRAM_BYTES = 65536


def _field(number, payload):
    return bytes([number << 3 | 2, len(payload)]) + payload


def read_log(run_dir, service_code):
    """All stored records of a tenant, in order of time; none when logd is not there."""
    question = _field(1, _field(1, service_code.encode()) + b"\x30\x01")  # ToLog.open_stream: service_code, provider_fields
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(10)
        try:
            connection.connect(str(run_dir / "export.sock"))
        except (FileNotFoundError, ConnectionRefusedError):
            return []
        connection.send(question)
        _, ancillary, _, _ = connection.recvmsg(DATAGRAM_BYTES, socket.CMSG_SPACE(array.array("i").itemsize))
    fds = array.array("i")
    for _, _, data in ancillary:
        fds.frombytes(data)
    if not fds:
        return []
    with os.fdopen(fds[0], "rb") as stream:
        return [json.loads(line) for line in stream]
