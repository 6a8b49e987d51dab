// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

/* What Debian's strongSwan 5.9.8 was configured with, as far as its headers ask: forced into each C file of this folder.
 * ME decides the layout of daemon_t, peer_cfg_t and ike_sa_t; abi_guard.c proves that it is right. */
#define CONFIG_H_INCLUDED
#define ME
#define USE_IKEV1
#define USE_IKEV2
#define VERSION "5.9.8"
#define HAVE_PRINTF_SPECIFIER
#define HAVE_STDBOOL_H
#define HAVE_INT128
#define HAVE_ALLOCA_H 1
#define HAVE_SYS_PARAM_H
#define HAVE_CLOSEFROM
#define HAVE_EXPLICIT_BZERO
#define HAVE_MEMRCHR
#define HAVE_FMEMOPEN
#define HAVE_CLOCK_GETTIME
#define HAVE_CONDATTR_CLOCK_MONOTONIC
#define HAVE_GCC_SYNC_OPERATIONS
#define HAVE_GETTID
#define HAVE_SIGWAITINFO 1
