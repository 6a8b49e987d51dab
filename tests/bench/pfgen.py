# SPDX-License-Identifier: Apache-2.0
"""Starts programs on net_pfgen ports and reads what the generator measured."""

import json
import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass, field

WINDOWS_SKIPPED = 1
SECONDS_MAX = 60
STOP_SECONDS_MAX = 60  # a policy being compiled is finished first

# Where the flows of both sides live; tests/bench/bench_network.h binds and routes these.
ENDS = {4: "src=10.16.0.0,dst=172.20.0.0,sbits=20,dbits=16", 6: "src=fd00:a::1:0:0,dst=fd00:b::1:0:0,sbits=20,dbits=16"}
TRANSLATED = "100.64.0.0"  # kOutside of bench_network.h
INSIDE_MAC, OUTSIDE_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
GATEWAY_MAC = "02:00:00:00:fe:00"  # of net_pfgen0


def flow_arguments(family, protocol, flows, **more):
    """The part of a port's arguments both sides share."""
    words = [ENDS[family], f"flows={flows}", f"proto={6 if protocol == 'tcp' else 17}", f"ip6={int(family == 6)}", "size=64"]
    return ",".join(words + [f"{key}={value}" for key, value in more.items()])


def two_ports(shared, outside=None):
    """Both sides of a conversation, as --vdev arguments. `outside`: where the forward side's addresses begin to the other one's eyes."""
    back = shared if outside is None else shared.replace(ENDS[4].split(",")[0], f"src={outside}")
    return ["--vdev", f"net_pfgen0,side=forward,smac={INSIDE_MAC},{shared}", "--vdev", f"net_pfgen1,side=reverse,smac={OUTSIDE_MAC},{back}"]


def replay_port(path, **more):
    """A port that replays a capture, and a silent one, as --vdev arguments."""
    words = ",".join(f"{key}={value}" for key, value in more.items())
    return ["--vdev", f"net_pfgen0,side=forward,mac={GATEWAY_MAC},file={path},reply=0,{words}", "--vdev", "net_pfgen1,side=reverse,reply=0"]


@dataclass
class Run:
    """One start of one program."""
    windows: list = field(default_factory=list)  # of the steady phase
    ports: dict = field(default_factory=dict)    # port -> {"generated": n, "sent": n, "classes": [(generated, sent)]}
    output: str = ""
    json_lines: list = field(default_factory=list)
    status: int | None = None

    @property
    def cycles(self):
        """The least median of a window: the machine's best quarter of a second."""
        return min((window["app_p50"] for window in self.windows if window["app_p50"] > 0), default=None)

    @property
    def lost(self):
        """Share of the generated frames that did not come out again."""
        generated = sum(port["generated"] for port in self.ports.values())
        return 1 - sum(port["sent"] for port in self.ports.values()) / generated if generated else None

    def why_invalid(self, loss_max):
        if not self.windows:
            return f"no steady window, exit status {self.status}; its last words: " + " | ".join(self.output.strip().splitlines()[-3:])
        if self.lost is None or self.lost > loss_max:
            return f"{100 * (self.lost or 0):.2f} % of the packets did not come out again"
        return None


def _read_line(run, line):
    if line.startswith("PFGEN thread="):
        words = dict(re.findall(r"(\w+)=(\S+)", line))
        if words.pop("phase") == "steady":
            run.windows.append({key: float(value) for key, value in words.items()})
    elif line.startswith("PFGEN port="):
        words = dict(re.findall(r"(\w+)=(\S+)", line))
        classes = [tuple(map(int, value.split("/"))) for key, value in sorted(words.items()) if key.startswith("class")]
        run.ports[int(words["port"])] = {"generated": int(words["generated"]), "sent": int(words["sent"]), "classes": classes}
    elif line.startswith("{"):
        run.json_lines.append(json.loads(line))


def start(command, library, windows, seconds_max=SECONDS_MAX, keep_stdin=False):
    """Runs `command` with the generator loaded until `windows` steady windows were seen (None: until it ends itself)."""
    run = Run()
    command = ["env", f"LD_PRELOAD={library}", *command]
    process = subprocess.Popen(command, stdin=subprocess.PIPE if keep_stdin else subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    stop_once = threading.Event()

    def stop():
        if not stop_once.is_set():
            stop_once.set()
            os.killpg(process.pid, signal.SIGINT)
            killer.start()

    killer = threading.Timer(STOP_SECONDS_MAX, lambda: os.killpg(process.pid, signal.SIGKILL))
    limit = threading.Timer(seconds_max, stop)
    limit.start()
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            _read_line(run, line)
            if windows is not None and len(run.windows) >= windows + WINDOWS_SKIPPED:
                stop()
        process.wait()
    finally:
        limit.cancel()
        killer.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    run.status = process.returncode
    run.windows = run.windows[WINDOWS_SKIPPED:]
    run.output = "".join(lines[-60:])
    return run
