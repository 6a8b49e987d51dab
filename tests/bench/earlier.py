# SPDX-License-Identifier: Apache-2.0
"""Figures that are not measured in this run: VPP 26.10-rc0, built and measured once on a 2-core virtual machine of another
processor (AMD Zen 5, TSC 2596 MHz), 64-byte UDP over IPv4, one worker, frames of 256, generator excluded; and the floor
program on that same machine. TSC cycles a packet, best of several windows.

"In this run's terms" is VPP's figure times (the floor now / the floor then) for the same number of flows: it takes out the
difference between the machines as far as a memory-bound filter feels it. It is an estimate, and printed as one.
"""

VPP_STATEFUL_ACL = {1: 71, 10_000: 81, 64_000: 140, 1_000_000: 193}
VPP_NEW_SESSION = 1150
VPP_NAT44 = {10_000: 142, 64_000: 400, 1_000_000: 471}  # translation alone, without the stateful ACL
VPP_NAT44_NEW_SESSION = 3384
FLOOR_THEN = {1: 12.5, 10_000: 15, 64_000: 15, 1_000_000: 26.5}  # best of bursts 32, 64, 128
KERNEL_NEW_FLOW_1K_RULES = 36_000
# (suite, bytes of frame, direction) -> cycles of a forwarder with one SA; DPDK's sample with the same crypto library.
VPP_ESP = {("AES-128-GCM", 64, "encrypt"): 130, ("AES-128-GCM", 64, "decrypt"): 169,
           ("AES-128-GCM", 512, "encrypt"): 184, ("AES-128-GCM", 512, "decrypt"): 226,
           ("AES-128-GCM", 1400, "encrypt"): 290, ("AES-128-GCM", 1400, "decrypt"): 330}
SECGW_ESP = {("AES-128-GCM", 64, "encrypt"): 174, ("AES-128-GCM", 64, "decrypt"): 188,
             ("AES-128-GCM", 1400, "encrypt"): 306, ("AES-128-GCM", 1400, "decrypt"): 325}

# What ESP with the whole filter should cost (cycles of the other machine).
ESP_PATH_AIM = {("AES-128-GCM", 64): 160, ("AES-128-GCM", 1400): 330, ("AES-256-CBC + SHA256", 1400): 1150}


def vpp_in_terms_of(flows, floor_now):
    return VPP_STATEFUL_ACL[flows] * floor_now / FLOOR_THEN[flows] if floor_now else None
