# SPDX-License-Identifier: Apache-2.0
"""Records reach collectors that nobody here wrote: each at least once, whoever is killed, and never another tenant's."""

import errno
import socket

import pytest
from confined import assert_confined
from export_world import ADDRESS, Exports, Https, Nfcapd, Rsyslog, Sink, decode_ipfix, target
from lab.lab import Lab
from lab.system import inside, run, wait_until

ACME, GLOBEX = "acm00000001", "glx00000001"
TOKEN = "a-token-of-sixteen-or-more"
_ports = iter(range(20000, 60000))


@pytest.fixture(scope="module")
def lab():
    with Lab() as built:
        built.appliance.start_daemon("exportd")
        yield built
        for name in ("exportd", "logd", "controld"):
            print(f"--- {name}\n{built.appliance.output(name)[-3000:]}")


@pytest.fixture(scope="module")
def exports(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    folder.chmod(0o755)
    return Exports(lab, folder)


@pytest.fixture
def running():
    """Collectors that end with the test."""
    started = []
    yield lambda one: started.append(one) or one
    for one in started:
        one.stop()


def test_exportd_keeps_no_privilege_no_file_and_few_system_calls(lab):
    assert_confined(lab.appliance.processes["exportd"].pid, "exportd")


def knock(lab, count, tenant="acme"):
    """So many TCP connections that a rule refuses, with a record each; their source ports."""
    used = []
    for _ in range(count):
        port = next(_ports)
        with inside(lab.topology[f"{tenant}-pc"].namespace):
            tcp = socket.socket()
        with tcp:
            tcp.settimeout(5)
            tcp.bind(("", port))
            assert tcp.connect_ex(("10.0.0.2", 22)) in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES), "the rule rejects"
        used.append(port)
    return used


def stored(lab, ports, tenant=ACME):
    """The comm records of those knocks, awaited; by number."""
    def found():
        records = {record["seq"]: record for record in lab.appliance.records(tenant)
                   if record["type"] == "comm" and record.get("src_port") in ports and record.get("dst_port") == 22}
        return records if {record["src_port"] for record in records.values()} >= set(ports) else None  # a SYN may come twice

    return wait_until(found, 40, f"{len(ports)} records stored", every=0.3)


def test_rsyslog_gets_each_record_over_tls_as_the_standard_says_and_no_other_tenants(lab, exports, running):
    rsyslog = running(Rsyslog(lab, exports.folder, 16514).start())
    exports.commit(acme=[target(exports.folder, "siem", "syslog", 16514)])
    exports.wait_up("siem")
    ports = knock(lab, 5)
    foreign = knock(lab, 3, "globex")
    records = stored(lab, ports)
    stored(lab, foreign, GLOBEX)

    def came():
        got = {int(params["seq"]): (head, params, body) for head, params, body in rsyslog.records() if head[3] == "comm"}
        return got if set(records) <= set(got) else None

    got = wait_until(came, 40, "the records at rsyslog", every=0.2)
    for number, record in records.items():
        head, params, body = got[number]
        assert head == (str(16 * 8 + record["sev"]), record["ts"], record["node"], "comm")
        assert params == {"v": "1", "svc": ACME, "seq": str(number), "eid": record["eid"], "rev": str(record["rev"])}
        assert body == {key: value for key, value in record.items() if key not in ("v", "type", "ts", "svc", "node", "seq", "eid", "rev", "sev")}
    assert {params["svc"] for _, params, _ in rsyslog.records()} == {ACME}
    assert not any(body.get("src_port") in foreign for _, _, body in rsyslog.records())
    wait_until(lambda: exports.state("siem")["waiting"] == 0, 40, "everything known to have come", every=0.2)


def test_nobody_loses_a_record_whoever_is_killed(lab, exports, running):
    rsyslog = running(Rsyslog(lab, exports.folder, 16515, output="killed.txt").start())
    exports.commit(acme=[target(exports.folder, "killed", "syslog", 16515)])
    exports.wait_up("killed")
    ports = []
    for victim in ("exportd", "logd", "rsyslog", "exportd", "rsyslog"):
        ports += knock(lab, 20)
        if victim == "rsyslog":
            rsyslog.kill()
            ports += knock(lab, 20)
            rsyslog.start()
        else:
            lab.appliance.kill(victim)
            ports += knock(lab, 20)
            lab.appliance.start_daemon(victim)
    records = stored(lab, ports)
    numbers = {record["seq"] for record in records.values()}
    wait_until(lambda: numbers <= {int(params["seq"]) for head, params, _ in rsyslog.records() if head[3] == "comm"}, 90, "all records at rsyslog", every=0.5)
    by_number = {}
    for head, params, body in rsyslog.records():
        assert by_number.setdefault((head[3], params["seq"]), (params["eid"], body)) == (params["eid"], body), "a number is one record, also when it comes twice"
    assert {record["src_port"] for record in records.values()} == set(ports)


@pytest.mark.parametrize("name, more, words", [
    ("stranger", {"cas": "other"}, "certificate"), ("elsewhere", {"server_name": "elsewhere.example"}, "mismatch")])
def test_a_collector_that_cannot_prove_itself_gets_nothing(lab, exports, running, name, more, words):
    port = 16516 if name == "stranger" else 16517
    rsyslog = running(Rsyslog(lab, exports.folder, port, output=f"{name}.txt").start())
    wrong = dict(more)
    if "cas" in wrong:
        wrong["cas"] = [(exports.folder / "other.pem").read_text()]
    exports.commit(acme=[target(exports.folder, name, "syslog", port, **wrong)])
    exports.wait_for_error(name, words)
    stored(lab, knock(lab, 2))
    assert rsyslog.lines() == []
    exports.commit(acme=[target(exports.folder, name, "syslog", port)])  # the nearest that is right
    exports.wait_up(name)
    wait_until(lambda: len(rsyslog.lines()) >= 2, 40, "what waited", every=0.2)


def test_https_gets_batches_and_again_what_it_did_not_take(lab, exports, running):
    server = running(Https(lab, exports.folder, 18443, TOKEN, answers=[503]))
    exports.commit(acme=[target(exports.folder, "web", "https", 18443, token=TOKEN, path="/in", types=["comm"])])
    exports.wait_up("web")
    ports = knock(lab, 10)
    records = stored(lab, ports)
    wait_until(lambda: set(records) <= {record["seq"] for record in server.records()}, 60, "the records at the server", every=0.2)
    assert server.requests[0][0] == 503 and server.requests[0][4]
    taken = {record["seq"]: record for record in server.records()}
    assert all(taken[number] == record for number, record in records.items())
    status, path, headers, size, _ = server.requests[-1]
    assert (status, path, headers["Content-Type"], headers["Content-Encoding"]) == (200, "/in", "application/x-ndjson", "gzip")
    assert size <= 1 << 20
    assert {record["type"] for record in server.records()} == {"comm"}
    wait_until(lambda: exports.state("web")["waiting"] == 0, 40, "everything acknowledged", every=0.2)


def test_a_wrong_token_is_told_and_nothing_is_lost_by_it(lab, exports, running):
    server = running(Https(lab, exports.folder, 18444, "another-token-altogether"))
    exports.commit(acme=[target(exports.folder, "web", "https", 18444, token=TOKEN)])
    records = stored(lab, knock(lab, 2))
    exports.wait_for_error("web", "401")
    assert server.records() == []
    server.token = TOKEN
    wait_until(lambda: set(records) <= {record["seq"] for record in server.records()}, 60, "the records at the server", every=0.2)


def test_nfdump_counts_the_flows(lab, exports, running):
    nfcapd = running(Nfcapd(lab, exports.folder, 14739))
    exports.commit(acme=[target(exports.folder, "flows", "ipfix", 14739, transport="udp")])
    exports.wait_up("flows")
    ports = knock(lab, 7)
    stored(lab, ports)
    wait_until(lambda: exports.state("flows")["sent"] >= 7 and exports.state("flows")["waiting"] == 0, 40, "flows sent", every=0.2)
    flows = nfcapd.flows()
    knocked = [flow for flow in flows if flow[3] == "22"]
    assert {int(flow[1]) for flow in knocked} == set(ports)
    assert {(flow[0], flow[2], flow[5]) for flow in knocked} == {("10.0.0.34", "10.0.0.2", "1")}


def test_tshark_decodes_every_flow(lab, exports, running):
    sink = running(Sink(lab, 14740))
    exports.commit(acme=[target(exports.folder, "wire", "ipfix", 14740, transport="udp")])
    exports.wait_up("wire")
    ports = knock(lab, 5)
    stored(lab, ports)
    wait_until(lambda: exports.state("wire")["sent"] >= 5, 40, "flows sent", every=0.2)
    layers = decode_ipfix(sink.datagrams, exports.folder / "wire.pcap", "cflow.srcport", "cflow.dstaddr", "cflow.template_frame")
    assert not any("_ws.malformed" in layer for layer in layers)
    seen = {int(port) for layer in layers for port in layer.get("cflow.srcport", [])}
    assert set(ports) <= seen


def test_the_provider_gets_every_tenants_records_with_the_box(lab, exports, running):
    server = running(Https(lab, exports.folder, 18445, TOKEN))
    exports.commit(provider=[target(exports.folder, "soc", "https", 18445, token=TOKEN, types=["comm"])])
    exports.wait_up("soc")
    ours, theirs = stored(lab, knock(lab, 2)), stored(lab, knock(lab, 2, "globex"), GLOBEX)
    wanted = {(ACME, number) for number in ours} | {(GLOBEX, number) for number in theirs}
    wait_until(lambda: wanted <= {(record["svc"], record["seq"]) for record in server.records()}, 60, "both tenants' records", every=0.2)


def test_a_dead_collector_holds_up_nobody(lab, exports, running):
    server = running(Https(lab, exports.folder, 18446, TOKEN))
    with inside(lab.topology.office):
        mute = socket.socket()  # takes connections, and says nothing
    mute.bind((ADDRESS, 18447))
    mute.listen(8)
    with mute:
        exports.commit(acme=[target(exports.folder, "mute", "https", 18447, token=TOKEN), target(exports.folder, "gone", "syslog", 18448)],
                       globex=[target(exports.folder, "well", "https", 18446, token=TOKEN)])
        exports.wait_up("well")
        records = stored(lab, knock(lab, 3, "globex"), GLOBEX)
        wait_until(lambda: set(records) <= {record["seq"] for record in server.records() if record["type"] == "comm"}, 40, "the other's records", every=0.2)
        exports.wait_for_error("gone", "onnect")
        stored(lab, knock(lab, 3))
        wait_until(lambda: exports.state("gone")["state"] == "down", 40, "gone is down", every=0.2)


def test_no_secret_of_a_collector_is_shown(lab, exports):
    exports.commit(acme=[target(exports.folder, "web", "https", 18444, token=TOKEN)])
    shown = lab.appliance.ctl("config", "show").stdout
    assert "log_exports" in shown
    assert TOKEN not in shown and "PRIVATE KEY" not in shown
    assert "sekisho-exp" in run(["ps", "-o", "user:32=", "-p", str(lab.appliance.processes["exportd"].pid)]).stdout
