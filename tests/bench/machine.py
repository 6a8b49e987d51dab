# SPDX-License-Identifier: Apache-2.0
"""What the measuring run needs of the machine: 2 MiB pages, cores, the TSC, and which SIMD width DPDK may use."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

PAGES_WANTED = 2048  # 4 GiB: four million sessions, a 10,000-rule policy twice, mbufs
PAGES_USEFUL = 1024
NR_HUGEPAGES = Path("/proc/sys/vm/nr_hugepages")
HELPER_CORE, MEASURED_CORE = 0, 1


def _pages():
    return int(NR_HUGEPAGES.read_text())


@contextlib.contextmanager
def huge_pages():
    """Yields (granted: bool, sentence). The former number of pages comes back at the end, whatever happens."""
    try:
        before = _pages()
    except (OSError, ValueError):
        yield False, "the kernel has no 2 MiB pages: every figure of ours and of the DPDK peers is 2-3 times too high"
        return
    try:
        if before < PAGES_WANTED:
            with contextlib.suppress(OSError):
                NR_HUGEPAGES.write_text(str(PAGES_WANTED))
        got = _pages()
        if got >= PAGES_USEFUL:
            yield True, f"{got} pages of 2 MiB" + ("" if got == before else f" (for this run; {before} before)")
        else:
            yield False, (f"only {got} of {PAGES_WANTED} pages of 2 MiB granted, so 4 KiB pages are used: "
                          "every figure of ours and of the DPDK peers is 2-3 times too high")
    finally:
        with contextlib.suppress(OSError):
            if _pages() != before:
                NR_HUGEPAGES.write_text(str(before))


def cores():
    return len(os.sched_getaffinity(0))


def simd_bits():
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    words = set(flags.group(1).split()) if flags else set()
    return 512 if {"avx512f", "avx512bw", "avx512vl"} <= words else 256


def describe():
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", info, re.M)
    load = Path("/proc/loadavg").read_text().split()[0]
    return f"{model.group(1) if model else 'unknown processor'}, {cores()} cores, Linux {os.uname().release}, load {load} at the start"


def tsc_hz():
    """TSC ticks a second as the kernel calibrated them; falls back to the model's MHz."""
    log = subprocess.run(["dmesg"], capture_output=True, text=True).stdout
    found = re.search(r"tsc: (?:Detected|Refined TSC clocksource calibration:) ([\d.]+) MHz", log)
    if not found:
        found = re.search(r"cpu MHz\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text())
    return float(found.group(1)) * 1e6


def real_time_prefix():
    """chrt, where it is allowed: the measured thread is then only disturbed by the hypervisor."""
    allowed = subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0
    return ["chrt", "-f", "1"] if allowed else []


def eal_arguments(granted, cores_wanted, name):
    """EAL arguments of a program that may run beside others; `cores_wanted` as for -l, None when the caller says it."""
    memory = ["--in-memory"] if granted else ["--no-shconf", "--no-huge", "-m", "3072"]
    return [*(["-l", cores_wanted] if cores_wanted else []), "--no-pci", "--no-telemetry", "--file-prefix", name, f"--force-max-simd-bitwidth={simd_bits()}", *memory]
