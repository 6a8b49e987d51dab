# SPDX-License-Identifier: Apache-2.0
"""The log's disk fills up: each level is told once, to the provider and to every tenant, also over restarts; at the last one nothing new is configured
and nobody new comes in, traffic and sessions that stand go on."""

import os
import pwd
import subprocess

import pytest
from lab.lab import Lab
from lab.system import inside, run, wait_until

from ike_world import Pki
from sstp_client import SstpError
from sstp_test import GATEWAYS, WEB, Site

ACME, GLOBEX, PROVIDER = "acm00000001", "glx00000001", "prv00000000"
MEBIBYTES = 64


@pytest.fixture(scope="module")
def lab():
    with Lab(keying=("tunneld",)) as built:
        folder = built.root / "log"
        built.appliance.kill("logd")
        owner = pwd.getpwnam("sekisho-log")
        run(["mount", "-t", "tmpfs", "-o", f"size={MEBIBYTES}m,mode=0700,uid={owner.pw_uid},gid={owner.pw_gid}", "log", str(folder)])
        try:
            built.appliance.start_daemon("logd")
            yield built
        finally:
            print(f"--- controld\n{built.appliance.output('controld')[-3000:]}\n--- logd\n{built.appliance.output('logd')[-2000:]}")
            built.appliance.kill("logd")
            subprocess.run(["umount", str(folder)], check=True)


def leave(lab, percent):
    """So much of the log's disk is free, and no more."""
    filler = lab.root / "log" / "filler"
    filler.unlink(missing_ok=True)
    disk = os.statvfs(lab.root / "log")
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - disk.f_blocks * disk.f_frsize * percent // 100))


def told(lab, tenant):
    """What the operation log says of the disk: (level, result, all of it)."""
    return [(one["comment"].split("level ")[1].split(" ")[0], one["result"], one["comment"]) for one in lab.appliance.records(tenant)
            if one["type"] == "audit" and one.get("obj_name") == "CAP_LOGDISK"]


def wait_told(lab, *levels):
    for tenant in (PROVIDER, ACME, GLOBEX):
        wait_until(lambda tenant=tenant: [one[0] for one in told(lab, tenant)] == list(levels), 90, f"{tenant} told of {levels}", every=0.5)


def fetch(lab):
    """A page by a permitted connection."""
    with inside(lab.topology["acme-pc"].namespace):
        return run(["curl", "-s", "-m", "10", "-o", "/dev/null", "http://10.0.0.2/"], check=False).returncode == 0


def test_each_level_is_told_once_to_everybody_and_the_last_one_stops_commits_alone(lab):
    assert told(lab, ACME) == []
    leave(lab, 13)
    wait_told(lab, "warning")
    assert fetch(lab) and lab.appliance.commit(lab.config).returncode == 0
    assert all("MiB" not in one[2] and one[1] == "fail" for one in told(lab, ACME)), "how large the disk is, is the provider's own affair"
    assert "MiB are free" in told(lab, PROVIDER)[0][2]

    lab.appliance.kill("controld")  # neither has forgotten what was told
    lab.appliance.start_daemon("controld")
    lab.appliance.kill("logd")
    lab.appliance.start_daemon("logd")
    wait_until(lab.appliance.answers, 30, "controld answering")
    leave(lab, 1)
    wait_told(lab, "warning", "full")
    refused = lab.appliance.commit(lab.config, check=False)
    assert refused.returncode != 0 and "the log's disk is full" in refused.stdout + refused.stderr
    assert fetch(lab), "forwarding goes on"
    comm = [one for one in lab.appliance.records("acme") if one["type"] == "comm"]
    assert fetch(lab) and [one for one in lab.appliance.records("acme") if one["type"] == "comm"] == comm, "no comm record is kept"

    (lab.root / "log" / "filler").unlink()
    wait_told(lab, "warning", "full", "none")
    assert told(lab, GLOBEX)[-1][1] == "ok"
    assert lab.appliance.commit(lab.config).returncode == 0
    wait_until(lambda: any(one["type"] == "loss" and one["why"] == "disk_full" for one in lab.appliance.records("acme")), 60, "the losses on record", every=0.5)


@pytest.fixture(scope="module")
def site(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sstp")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    made = Site(lab, pki, folder)
    made.commit()
    return made


def test_at_the_last_level_nobody_new_comes_in_and_who_is_in_stays(site):
    lab, filler = site.lab, site.lab.root / "log" / "filler"
    leave(lab, 3)
    wait_until(lambda: told(lab, ACME)[-1][0] == "acl", 90, "the level before the last", every=0.5)
    with site.client("alice"):
        site.expect("up", user="alice")
        leave(lab, 1)
        wait_until(lambda: told(lab, ACME)[-1][0] == "full", 90, "the last level", every=0.5)

        def refused():
            try:
                site.client("carol", tun="sstp1").connect().login()
            except SstpError:
                return True
            return False

        wait_until(refused, 10, "carol refused", every=0.5)
        denied = site.expect("denied", user="carol")
        assert denied["cause"] == "internal" and "the log's disk is full" in denied["msg"]
        assert lab["outside"].curl(WEB, 3) == (0, "acme web1"), "alice is still in"
        filler.unlink()
        wait_until(lambda: told(lab, ACME)[-1][0] == "none", 90, "room again", every=0.5)

        def lets_in():
            try:
                with site.client("carol", tun="sstp1"):
                    return True
            except SstpError:
                return False

        wait_until(lets_in, 10, "carol let in", every=0.5)
        site.expect("up", user="carol")
