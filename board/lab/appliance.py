# SPDX-License-Identifier: Apache-2.0
"""The appliance: daemons, each its own user with the least it needs, and the tool to speak with them."""

import grp
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from .system import LabError, run, wait_until
from .topology import SERVICE_WIRE, TREE, gateway_interfaces

_SOCKET_PATH_MAX = 107  # sun_path without its terminating zero
_USERS = {"dataplaned": "sekisho-dp", "controld": "sekisho-ctl", "logd": "sekisho-log", "iked": "sekisho-ike", "iked1": "sekisho-ike1", "tunneld": "sekisho-tun",
          "pptpd": "sekisho-pptp", "mgmtd": "sekisho-mgmt", "exportd": "sekisho-exp"}
_KINDS = {"iked": "ike", "iked1": "ikev1", "tunneld": "ppp", "pptpd": "pptp"}  # of tunnel.sock
_SOCKETS = {"dataplaned": ("dataplane.sock", "rings.sock"), "controld": ("control.sock",), "logd": ("export.sock", "event.sock"), "iked": (), "iked1": (), "tunneld": (),
            "pptpd": (), "mgmtd": (), "exportd": ()}


def default_binaries():
    return Path(os.environ.get("SEKISHO_BIN", TREE / "build" / "release" / "bin"))


def _reachable(path):
    """True when the data plane's user can come to `path`: a clone under /root is closed to it."""
    return run(["setpriv", "--reuid", "sekisho-dp", "--regid", "sekisho-dp", "--clear-groups", "test", "-x", str(path)], check=False).returncode == 0


def make_root(tag):
    """The folder of one run: in state/ where that works, else a temporary one (path too long, or closed to the daemons)."""
    root = TREE / "state" / f"lab-{tag}"
    root.mkdir(parents=True)
    if len(str(root / "run" / "dataplane.sock")) <= _SOCKET_PATH_MAX and _reachable(root):
        return root
    root.rmdir()
    root = Path(tempfile.mkdtemp(prefix="sekisho-"))
    root.chmod(0o755)
    return root


class Appliance:
    """Starts, ends and questions the daemons of one run. Folders: run/ sockets, state/ what survives, out/ what they say."""

    def __init__(self, root, topology, binaries=None, workers=1, driver="af_packet"):
        self.root = Path(root)
        self.topology = topology
        self.run_dir = self.root / "run"
        self.workers = workers
        self.driver = driver
        self.processes = {}
        self.keying = ()  # daemons that let people in
        self.portal = None  # (address, port) when mgmtd runs
        self._make_folders()
        self.binaries = self._reachable_binaries(Path(binaries or default_binaries()))

    def _make_folders(self):
        group = grp.getgrnam("sekisho").gr_gid
        for name, owner, mode in (("run", "root", 0o2770), ("config", "sekisho-ctl", 0o2750), ("dp", "sekisho-dp", 0o700),
                                  ("log", "sekisho-log", 0o700), ("out", "root", 0o755)):
            folder = self.root / name
            folder.mkdir()
            os.chown(folder, pwd.getpwnam(owner).pw_uid, group)
            folder.chmod(mode)

    def _reachable_binaries(self, folder):
        if not (folder / "dataplaned").exists():
            raise LabError(f"{folder}/dataplaned is not there: build first (make run does)")
        if _reachable(folder / "dataplaned"):
            return folder
        copies = self.root / "bin"
        copies.mkdir()
        for name in (*_USERS, "sekishoctl"):
            if (folder / name).exists():  # without strongSwan's headers there is no iked
                shutil.copy2(folder / name, copies / name)
        return copies

    # --- life of the daemons -------------------------------------------------------------------------------------------

    def start(self, keying=()):
        self.keying = tuple(keying)
        for name in ("dataplaned", "controld", "logd", *self.keying):
            self.start_daemon(name)

    def start_daemon(self, name):
        """Starts one daemon and waits until its sockets answer. dataplaned comes up with the last good snapshot, or with none."""
        arguments = getattr(self, f"_{name}_argv")()
        self._said = len(self.output(name))
        output = open(self.root / "out" / f"{name}.txt", "ab")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": str(self.root / "dp")}
        for sock in _SOCKETS[name]:
            (self.run_dir / sock).unlink(missing_ok=True)
        with output:
            self.processes[name] = subprocess.Popen(self._as_user(name) + arguments, stdin=subprocess.DEVNULL, stdout=output,
                                                    stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        wait_until(lambda: self._listens(name), 30, f"{name} listening", every=0.02)

    def start_management(self, portal_files, address="127.0.0.1", port=0, outside=False, options=()):
        """Starts mgmtd with a certificate made for this run; returns (address, port). outside: in the machine's own network, for a
        visitor's browser, else among the daemons."""
        certificate, key = self.root / "out" / "portal.crt", self.root / "out" / "portal.key"
        if not certificate.exists():
            run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-keyout", key, "-out",
                 certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"])
            os.chown(key, pwd.getpwnam(_USERS["mgmtd"]).pw_uid, 0)
            key.chmod(0o400)
        run(["ip", "-n", self.topology.office, "link", "set", "lo", "up"])
        self._management = ["--listen", address, "--port", port, "--certificate", certificate, "--key", key, "--portal", portal_files, *options]
        self._outside = outside
        self.start_daemon("mgmtd")
        self.portal = (address, int(self.output("mgmtd").rsplit("ready on port ", 1)[1].split()[0]))
        return self.portal

    def _mgmtd_argv(self):
        return [str(self.binaries / "mgmtd"), "--run-dir", str(self.run_dir), *map(str, self._management)]

    def _as_user(self, name):
        if name == "mgmtd" and self._outside:
            return self._as_user_in([], name)
        space = {"dataplaned": self.topology.gateway, "tunneld": self.topology.service, "pptpd": self.topology.service}.get(name, self.topology.office)
        return self._as_user_in(["ip", "netns", "exec", space], name)

    @staticmethod
    def _as_user_in(prefix, name):
        # The af_packet driver opens packet sockets and sets its interface's promiscuous flag, pptpd begins with a raw socket for GRE; nobody
        # else needs a thing.
        capabilities = {"dataplaned": "-all,+net_raw,+net_admin", "pptpd": "-all,+net_raw"}.get(name, "-all")
        return [*prefix, "setpriv", "--reuid", _USERS[name], "--regid", _USERS[name], "--init-groups",
                "--inh-caps", capabilities, "--ambient-caps", capabilities, "--bounding-set", capabilities, "--no-new-privs", "--"]

    def _listens(self, name):
        if self.processes[name].poll() is not None:
            raise LabError(f"{name} ended with {self.processes[name].returncode}:\n{self.output(name)[-2000:]}")
        if name in ("iked", "iked1", "tunneld", "pptpd", "mgmtd", "exportd"):  # they make no socket here
            return f"{name.rstrip('1')}: ready" in self.output(name)[self._said:]
        return all((self.run_dir / sock).is_socket() for sock in _SOCKETS[name])

    def _uid(self, daemon):
        return str(pwd.getpwnam(_USERS[daemon]).pw_uid)

    def _dataplaned_argv(self):
        cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        # af_packet asks the kernel to put IPv4 fragments together before it sees them; pcap shows the wire as it is.
        ends = "iface={0}" if self.driver == "af_packet" else "rx_iface_in={0},tx_iface={0}"
        wires = [*gateway_interfaces(), SERVICE_WIRE]
        devices = [f"--vdev=net_{self.driver}{number},{ends.format(name)}" for number, name in enumerate(wires)]
        service = ["--service-device", f"net_{self.driver}{len(wires) - 1}"] if {"tunneld", "pptpd"} & set(self.keying) else []
        return [str(self.binaries / "dataplaned"), "--run-dir", str(self.run_dir), "--state-dir", str(self.root / "config"),
                "--workers", str(self.workers), "--sessions", "65536", "--idle-sleep-us", "50",
                "--allow-uid", self._uid("controld"), "--log-uid", self._uid("logd"), *service,
                *[word for name in self.keying for word in ("--tunnel-uid", f"{_KINDS[name]}={self._uid(name)}")],
                *(["--tunnels", "1024"] if self.keying else []), "--",
                f"--lcores=0@({cpus})", "--no-huge", "-m", "256", "--no-pci", *devices]

    def _controld_argv(self):
        return [str(self.binaries / "controld"), "--run-dir", str(self.run_dir), "--state-dir", str(self.root / "config"),
                "--log-uid", self._uid("logd"), "--mgmt-uid", self._uid("mgmtd"), "--export-uid", self._uid("exportd"), *[word for name in self.keying for word in ("--vpn-uid", f"{_KINDS[name]}={self._uid(name)}")]]

    def _logd_argv(self):
        return [str(self.binaries / "logd"), "--run-dir", str(self.run_dir), "--state-dir", str(self.root),
                "--allow-uid", self._uid("controld"), "--control-uid", self._uid("controld"), "--exporter-uid", self._uid("exportd"), *self._for_keying("--event-uid")]

    def _exportd_argv(self):
        return [str(self.binaries / "exportd"), "--run-dir", str(self.run_dir), "--prove-after-ms", "2000"]

    def _iked_argv(self):
        return [str(self.binaries / "iked"), "--run-dir", str(self.run_dir)]

    def _iked1_argv(self):
        return [str(self.binaries / "iked"), "--ike-version", "1", "--run-dir", str(self.run_dir)]

    def _tunneld_argv(self):
        return [str(self.binaries / "tunneld"), "--run-dir", str(self.run_dir)]

    def _pptpd_argv(self):
        return [str(self.binaries / "pptpd"), "--run-dir", str(self.run_dir)]

    def _for_keying(self, option):
        return [word for name in self.keying for word in (option, self._uid(name))]

    def kill(self, name):
        """kill -9, and the end awaited."""
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self):
        """Ends all daemons the polite way, then the other way; returns the exit statuses of those that were running."""
        statuses = {}
        for name in ("exportd", "mgmtd", "pptpd", "tunneld", "iked1", "iked", "logd", "controld", "dataplaned"):
            process = self.processes.get(name)
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                statuses[name] = process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill(name)
                statuses[name] = process.returncode
        return statuses

    def output(self, name):
        path = self.root / "out" / f"{name}.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- the tool ------------------------------------------------------------------------------------------------------

    def ctl_argv(self, *arguments):
        return [str(self.binaries / "sekishoctl"), "--run-dir", str(self.run_dir), *map(str, arguments)]

    def ctl(self, *arguments, check=True, timeout=30):
        return run(self.ctl_argv(*arguments), check=check, timeout=timeout)

    def show(self, what, *arguments):
        """The rows of `sekishoctl show WHAT --json`."""
        return json.loads(self.ctl("--json", "show", what, *arguments).stdout)["rows"]

    def status(self):
        """`show status` as {item: value}."""
        return {row["item"]: row["value"] for row in self.show("status")}

    def generation(self):
        """Number of the configuration that is in force in the data plane; 0 when none is."""
        value = self.status()["generation in force"]
        return int(value) if value.isdigit() else 0

    def answers(self):
        """True when controld answers."""
        return self.ctl("show", "status", check=False).returncode == 0

    def commit(self, path, *arguments, check=True):
        return self.ctl("config", "commit", path, *arguments, check=check, timeout=60)

    def records(self, tenant):
        """All log records of `tenant` so far, oldest first."""
        return [json.loads(line) for line in self.ctl("log", "export", "--tenant", tenant, "--json").stdout.splitlines() if line.strip()]
