# SPDX-License-Identifier: Apache-2.0
"""A client of the management API as a script would write it: standard library only. docs/api.md is all it knows."""

import base64
import ctypes
import hashlib
import hmac
import http.client
import json
import ssl
import struct
import time
from contextlib import contextmanager

from .system import wait_until

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(namespace):
    """This thread's new sockets belong to a network namespace; None: to where it is already."""
    if namespace is None:
        yield
        return
    with open("/proc/thread-self/ns/net", "rb") as before, open(f"/var/run/netns/{namespace}", "rb") as there:
        if _libc.setns(there.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            _libc.setns(before.fileno(), _CLONE_NEWNET)


def totp(secret, at=None, step=0):
    """RFC 6238, of a base32 secret."""
    counter = struct.pack(">Q", int((time.time() if at is None else at) // 30) + step)
    mac = hmac.new(base64.b32decode(secret + "=" * (-len(secret) % 8)), counter, hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 1000000:06d}"


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status = status
        self.code = body.get("code") if isinstance(body, dict) else None
        self.body = body


class Api:
    """One browser: a connection, a cookie, a token against forged requests."""

    def __init__(self, address, port, certificate, namespace=None):
        self.address, self.port, self.certificate, self.namespace = address, port, certificate, namespace
        self.cookie = self.csrf = self.secret = None
        self.headers = {}
        self.last_step = 0

    def raw(self, verb, path, body=None, headers=None):
        """(status, headers, bytes), whatever they are."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        with inside(self.namespace):
            connection = http.client.HTTPSConnection(self.address, self.port, timeout=130, context=context)
            connection.connect()
        try:
            connection.request(verb, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def call(self, verb, path, body=None, **headers):
        """The reply; raises Refused. Keyword arguments are headers: If_Match=..."""
        sent = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        if self.cookie:
            sent["Cookie"] = f"__Host-sekisho={self.cookie}"
        if verb != "GET":
            sent["Content-Type"] = "application/json"
            if self.csrf:
                sent["X-Sekisho-Csrf"] = self.csrf
        status, self.headers, text = self.raw(verb, path, None if verb == "GET" else json.dumps(body or {}), sent)
        for cookie in self.headers.get_all("Set-Cookie") or []:
            self.cookie = cookie.split(";")[0].split("=", 1)[1] or None
        try:
            reply = json.loads(text)
        except ValueError:
            reply = text.decode("utf-8", "replace")
        if status >= 400:
            raise Refused(status, reply)
        return reply

    def get(self, path, **headers):
        return self.call("GET", "/api/v1" + path, **headers)

    def post(self, path, body=None, **headers):
        return self.call("POST", "/api/v1" + path, body, **headers)

    # --- signing in ----------------------------------------------------------------------------------------------------

    def welcome(self, link, password):
        """Uses a one-time link: sets password and second factor, as its session asks for them."""
        reply = self.post("/login/link", {"link": link})
        self.csrf = reply["csrf"]
        me = self.post("/me/password", {"new_password": password})
        if me["must"] == "totp":
            self.secret = self.post("/me/totp")["secret"]
            self.last_step = int(time.time() // 30)
            me = self.post("/me/totp/confirm", {"code": totp(self.secret)})
        return me

    def login(self, account, password, secret=None):
        """Waits for the next code where this one was used: none is taken twice."""
        self.secret = secret or self.secret
        while self.secret and int(time.time() // 30) + 1 <= self.last_step:
            time.sleep(0.2)
        step = max(int(time.time() // 30), self.last_step + 1)
        code = totp(self.secret, step * 30) if self.secret else ""
        reply = self.post("/login", {"account": account, "password": password, "code": code})
        self.last_step = step
        self.csrf = reply["csrf"]
        return reply["me"]

    def events(self, path):
        """Events of a stream, one after the other: (name, data)."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        with inside(self.namespace):
            connection = http.client.HTTPSConnection(self.address, self.port, timeout=60, context=context)
            connection.connect()
        connection.request("GET", "/api/v1" + path, headers={"Cookie": f"__Host-sekisho={self.cookie}"})
        response = connection.getresponse()
        if response.status != 200:
            raise Refused(response.status, json.loads(response.read()))
        name = None
        try:
            for line in response:
                text = line.decode().rstrip("\n")
                if text.startswith("event: "):
                    name = text[7:]
                elif text.startswith("data: "):
                    yield name, json.loads(text[6:])
        finally:
            connection.close()


class Patient(Api):
    """Asks again where it is too early: bounds of a key, a source, a tenant are some ten to forty a second, and whole tables are asked here."""

    def raw(self, verb, path, body=None, headers=None):
        ask = super().raw

        def heard():
            answer = ask(verb, path, body, headers)
            return answer if answer[0] != 429 else None
        return wait_until(heard, 60, "a turn, whatever others asked before", every=0.2)


def invite(appliance, name, role):
    """A new account's one-time link, as the machine's own administrator gets it."""
    return json.loads(appliance.ctl("--json", "account", "add", name, "--role", role).stdout)["link"]
