/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `mptcp: off`, for one service or for all: opening an MPTCP socket in this network namespace fails
 * as on a kernel without MPTCP (net/ipv4/af_inet.c, inet_create), and the process opens a TCP
 * socket instead, as Go, systemd and nginx do. Attached to the root cgroup while the rules ask for
 * it. Existing sockets stay as they are; the kernel's own are not judged.
 */
#ifndef ILM_MPTCP_H
#define ILM_MPTCP_H

#include "guard.h"

#define SOCK_STREAM 1
#define EPROTONOSUPPORT 93

SEC("cgroup/sock_create")
int ilm_sock_create(struct bpf_sock *sk)
{
	struct ilm_identity identity = {};

	if (sk->protocol != IPPROTO_MPTCP || sk->type != SOCK_STREAM || bpf_get_netns_cookie(sk) != constants.netns_cookie)
		return 1;
	identify(address_of(sk), &identity);
	if (!find_policy(&identity, ILM_MPTCP_OFF))
		return 1;
	bpf_set_retval(-EPROTONOSUPPORT);
	return 0;
}

#endif
