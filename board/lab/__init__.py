# SPDX-License-Identifier: Apache-2.0
"""A small world for the appliance: hosts in network namespaces, the three daemons, and eyes that see what the hosts saw."""
