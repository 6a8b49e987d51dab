# SPDX-License-Identifier: Apache-2.0
"""The end to end tests stand on the demonstration's world: board/lab. What hosts saw decides; see board/lab/topology.py."""

import os
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "board"))
sys.dont_write_bytecode = True

from lab.lab import Lab  # noqa: E402  (the path above comes first)


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root: network namespaces"))


@pytest.fixture(scope="module")
def lab():
    """One configured and serving world per test file."""
    with Lab() as built:
        yield built
        assert built.appliance.status()["conservation violations"] == "0"
        for name in ("dataplaned", "controld", "logd"):
            print(f"--- {name}\n{built.appliance.output(name)[-3000:]}")
