# SPDX-License-Identifier: Apache-2.0
"""The demonstration comes true, row by row, and leaves nothing behind. Two packet threads tell the same story as one."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import story
from lab.api import Api, Refused
from lab.lab import NOTES, Lab
from lab.portal import portal_files
from lab.system import run, wait_until
from lab.topology import sweep

TREE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def rows(request):
    with Lab(workers=request.param, keying=("tunneld",)) as lab:
        told = story.tell(lab)
        print("\n".join(story.table(told)))
        yield told


def test_every_row_of_the_story_is_true(rows):
    assert [f"{row.who} -> {row.whom}, {row.what}: {row.seen}; log: {row.says}" for row in rows if not row.true] == []


def test_the_story_tells_what_it_is_for(rows):
    told = {(row.expected, row.what.split(",")[0].split(" ")[0]) for row in rows}

    assert {("passed", "curl"), ("refused", "curl"), ("no answer", "curl"), ("passed", "ping"), ("passed", "nc"),
            ("no answer", "forged"), ("passed", "behind"), ("not believed", "forged"), ("nothing crossed", "all"), ("in", "SSTP"), ("refused", "SSTP")} <= told


def _namespaces():
    return {name for name in os.listdir("/run/netns") if name.startswith("sekisho-")} if os.path.isdir("/run/netns") else set()


def _demo(*arguments):
    """As a shell starts it in the background: SIGINT is ignored where it does not say otherwise."""
    return subprocess.Popen([sys.executable, str(TREE / "board/demo"), *arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "ONCE": ""},
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))


def _mine(process):
    return {name for name in _namespaces() if f"-{process.pid}-" in name}


def _folders(process):
    """The folders the demo noted as its own; in state/, or elsewhere when the tree is closed to the daemons' users."""
    try:
        return [Path(folder) for folder in json.loads((NOTES / f"{process.pid}.json").read_text())["folders"]]
    except (OSError, ValueError):
        return []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_ended_half_way_leaves_nothing_behind(sign):
    demo = _demo()
    wait_until(lambda: _mine(demo), 20, "namespaces of the demo")
    folders = _folders(demo)
    demo.send_signal(sign)
    demo.wait(120)

    assert folders and not any(folder.exists() for folder in folders)
    assert not _mine(demo)


def test_a_killed_demo_is_swept_by_the_next_run():
    demo = _demo()
    wait_until(lambda: [sock for folder in _folders(demo) for sock in folder.glob("run/*.sock")], 30, "daemons of the demo")
    folders = _folders(demo)
    demo.kill()
    demo.wait()
    assert _mine(demo)

    sweep(NOTES)

    assert not _mine(demo)
    assert not any(folder.exists() for folder in folders)
    assert not any(f"{folder}/" in words for folder in folders for words in _command_lines())


def _command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text(errors="replace")
        except OSError:
            continue  # ended meanwhile


@pytest.fixture
def own_network():
    """A network of its own for the demo's portal, which is for this machine's browser."""
    name = f"sekisho-story-{os.getpid()}"
    run(["ip", "netns", "add", name])
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    yield name
    run(["ip", "netns", "del", name])


def test_what_the_demo_prints_is_a_portal_one_can_sign_in_to(own_network, tmp_path):
    if not portal_files():
        pytest.skip("the portal is not built")
    said = tmp_path / "said.txt"
    with said.open("wb") as out:
        demo = subprocess.Popen(["nsenter", f"--net=/run/netns/{own_network}", sys.executable, str(TREE / "board/demo"), "--port", "0"],
                                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "ONCE": ""})
    try:
        text = wait_until(lambda: demo.poll() is not None or ("Each link works once" in (now := said.read_text()) and now), 180, "the portal's links", every=0.5)
        assert demo.poll() is None, said.read_text()[-2000:]
        assert re.search(r"^\d+ things happened; \d+ as they should, 0 not\.$", text, re.M)
        address, port = re.search(r"The portal is open: https://([\d.]+):(\d+) ", text).groups()
        (link,) = re.findall(rf"https://{address}:{port}/#/welcome/(\S+)   acme's owner", text)
        certificate, = {folder / "out" / "portal.crt" for folder in _folders(demo) if (folder / "out" / "portal.crt").exists()}
        api = Api(address, int(port), certificate, own_network)
        status, headers, page = api.raw("GET", "/")
        assert status == 200 and headers["Content-Type"].startswith("text/html") and page == (portal_files() / "index.html").read_bytes()

        assert api.welcome(link, "correct horse battery 7")["must"] == ""
        assert api.get("/me")["account"] == "owner@acm00000001"
        with pytest.raises(Refused, match="unauthenticated"):
            Api(address, int(port), certificate, own_network).post("/login/link", {"link": link})

        def matched():  # of the rule that the office's pages pass by
            rows = api.get("/tenants/acm00000001/rules")["rows"]
            return next(int(row["cells"]["packets"]) for row in rows if row["cells"]["name"] == "web for the office")

        before = matched()
        wait_until(lambda: matched() > before, 30, "the rule's counter moving: the hosts keep talking", every=0.5)
        api.post("/logout")
        with pytest.raises(Refused, match="unauthenticated"):
            api.get("/me")
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(120)
    assert not _mine(demo)
