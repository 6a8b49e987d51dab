# SPDX-License-Identifier: Apache-2.0
"""The rows of what stands beside the data plane: PPP and SSTP, the history of the log and its streams, the management API."""

import json
import subprocess
from pathlib import Path

import report

HERE = Path(__file__).resolve().parent
RECORDS = 3_000_000
SESSIONS = 10_000


def _json_of(words, seconds):
    """(what a program says as its last JSON object, why not)."""
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return None, f"took longer than {seconds} s"
    begin = done.stdout.find("{")
    if done.returncode or begin < 0:
        return None, f"exit status {done.returncode}: " + " | ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
    return json.loads(done.stdout[begin:]), None


def doors(bench):
    folder = bench.programs.folder
    ppp, why = _json_of([folder / "ppp_bench", SESSIONS], 120)
    if why:
        bench.invalid.append(f"ppp_bench: {why}")
    sstp, why = _json_of(["/usr/bin/python3", HERE / "sstp.py", "--binaries", folder.parent, "--sessions", SESSIONS, "--rounds", bench.rounds], 900)
    if why:
        bench.invalid.append(f"sstp.py: {why}")
    bench.results |= {"ppp": ppp, "sstp": sstp}
    if sstp:
        names = {"in": "in, a packet a record", "in_together": "in, 11 packets a record", "out": "out", "through": "in and out again, a packet a record"}
        rows = []
        for key, name in names.items():
            ours, limit = sstp[f"{key}_ours"], sstp[f"{key}_limit"]
            rows.append([name, f"{ours['gbit_per_core']:.2f}", f"{limit['gbit_per_core']:.2f}", f"{ours['gbit_per_core'] / limit['gbit_per_core']:.0%}",
                         f"{ours['record']:,}" if ours["record"] else "-"])
        report.section("SSTP: users' packets of 1400 bytes, TLS 1.3 AES-256-GCM over loopback; Gbit/s a core (of processor time), best of the rounds")
        report.table(["", "ours", "plain TLS", "of it", "bytes a record out"], rows)
        report.notes(["plain TLS: the same bytes by OpenSSL alone in records of the same sizes, and nothing done with them: the limit"])
    rows = []
    if ppp:
        rows.append([f"PPP engine alone, {ppp['up']:,} up", f"{ppp['bytes_per_session'] * ppp['up'] / 1e6:.0f} MB", f"{ppp['bytes_per_session'] / 1024:.1f}",
                     f"{ppp['logins_per_second']:,.0f}"])
    if sstp and "held" in sstp:
        held = sstp["held"]
        rows.append([f"whole tunneld, {held['sessions']:,} SSTP sessions", f"{held['rss_mb']:.0f} MB", f"{held['kb_per_session']:.1f}", f"{1000 / held['ms_per_login']:,.0f}"])
    if rows:
        report.section("PPP sessions held, and log-ins (MSCHAPv2; both ends' work for the engine, the daemon's own processor time for tunneld)")
        report.table(["", "memory", "kB a session", "log-ins a second of processor time"], rows)


def vault(bench):
    words = [bench.programs.folder / "vault_bench", bench.programs.scratch / "vault", RECORDS]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        bench.invalid.append(f"vault_bench: exit status {done.returncode}: {done.stderr.strip()[-200:]}")
        return
    report.section(f"The history of the log: {RECORDS:,} records of ten days, one thread")
    report.notes(done.stdout.strip().splitlines())
    bench.results["vault"] = done.stdout


def management(bench):
    out, why = _json_of(["/usr/bin/python3", HERE / "management.py", "--binaries", bench.programs.folder.parent / "bin"], 900)
    if why:
        bench.invalid.append(f"management.py: {why}")
        return
    report.section("The management API over TLS, connections kept: requests a second of processor time, and by the clock with one busy client")
    report.table(["GET", "bytes", "mgmtd alone", "mgmtd and controld", "by the clock"],
                 [[what, f"{one['bytes']:,}", f"{one['per_core_mgmtd']:,}", f"{one['per_core_both']:,}", f"{one['per_second']:,}"] for what, one in out["requests"].items()])
    report.notes([f"commit of {out['rules']:,} rules, sekishoctl to data plane: {out['commit']['all_new']} s; one of them changed: {out['commit']['one_changed']} s; "
                  f"by the API: {out['commit'].get('by_api', out['commit'].get('by_api_refused'))}"])
    bench.results["management"] = out


def exports(bench):
    out, why = _json_of(["/usr/bin/python3", HERE / "exports.py", "--binaries", bench.programs.folder.parent / "bin"], 600)
    if why:
        bench.invalid.append(f"exports.py: {why}")
        return
    report.section("Records handed to a collector over TLS: records a second of processor time, and by the clock with the collector on the same cores")
    report.table(["", "records", "bytes each", "exportd", "logd meanwhile", "by the clock"],
                 [[kind, f"{one['records']:,}", f"{one['bytes']:,}", f"{one['per_core']:,}", f"{one['per_core_logd']:,}", f"{one['per_second']:,}"] for kind, one in out.items()])
    bench.results["exports"] = out
