/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `wildcard: rewrite`: a bind() to 0.0.0.0 or :: becomes one to the service's own address, so
 * daemons that can only listen on every address share a port. A dual-stack socket gets the IPv4
 * address as a v4-mapped one: any other IPv6 address makes it IPv6 only (net/ipv6/af_inet6.c,
 * __inet6_bind), and sk_lookup gives it both families this way (net/core/filter.c,
 * bpf_sk_lookup_assign, compares the family and not the address).
 *
 * getsockname() answers what was asked for, until a connection has another answer: nginx compares
 * the sockets that it inherits with its configuration.
 */
#ifndef ILM_REWRITE_H
#define ILM_REWRITE_H

#include "address.h"
#include "maps.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

enum sock_flags { SOCK_BROADCAST };

struct sock_common___flags {
	unsigned char skc_reuse : 4;
	unsigned long skc_flags;
};

struct sock___flags {
	struct sock_common___flags __sk_common;
};

struct ipv6_pinfo {
	void *ipv6_mc_list;
};

struct inet_sock___groups {
	struct ipv6_pinfo *pinet6;
	void *mc_list;
};

#pragma clang attribute pop

/*
 * Does a UDP socket take broadcasts, or what is for a multicast group? SO_BROADCAST alone does not
 * tell: Go sets it on each of its UDP sockets (setDefaultSockopts). A receiver that lets others
 * receive the same broadcasts has SO_REUSEADDR as well, which Go sets for multicast only.
 */
static __always_inline bool receives_groups(const void *sk, bool ipv6)
{
	const struct inet_sock___groups *inet = sk;
	const struct sock___flags *flags = sk;
	__u64 broadcast = 1UL << bpf_core_enum_value(enum sock_flags, SOCK_BROADCAST);

	if (BPF_CORE_READ(flags, __sk_common.skc_flags) & broadcast &&
	    BPF_CORE_READ_BITFIELD_PROBED(&flags->__sk_common, skc_reuse))
		return true;
	return BPF_CORE_READ(inet, mc_list) || (ipv6 && BPF_CORE_READ(inet, pinet6, ipv6_mc_list));
}

/* The addresses that wildcard binds of that identity get; NULL: none. In the order of policies. */
static __always_inline struct ilm_rewrite *rewrite_of(const struct ilm_identity *identity)
{
	struct ilm_policy_key key = { .value = identity->unit, .kind = ILM_POLICY_UNIT };
	struct ilm_rewrite *found = identity->unit ? bpf_map_lookup_elem(&rewrites, &key) : NULL;

	if (!found) {
		key.value = identity->uid;
		key.kind = ILM_POLICY_USER;
		found = bpf_map_lookup_elem(&rewrites, &key);
	}
	if (!found) {
		key.value = identity->gid;
		key.kind = ILM_POLICY_GROUP;
		found = bpf_map_lookup_elem(&rewrites, &key);
	}
	return found;
}

/*
 * Remembers what the socket asked for. What binds for MPTCP is the subflow's socket, and what
 * getsockname() asks for is the connection's: that one finds the endpoint.
 */
static __always_inline void remember_asked_for(struct bpf_sock *sk, const struct ilm_endpoint *endpoint, __u8 asked)
{
	struct ilm_tracked *t = bpf_sk_storage_get(&tracked, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (t)
		t->asked = asked;
	else
		count_fault(untracked);
	if (endpoint->protocol == IPPROTO_TCP)
		bpf_map_update_elem(&rewritten, endpoint, &asked, BPF_ANY);
}

/*
 * What the socket asked for, if it is bound to another address: ILM_ASKED_*, or 0. `endpoint`:
 * where it is bound, with TCP as the protocol for MPTCP.
 */
static __always_inline __u8 asked_for(struct bpf_sock *sk, const struct ilm_endpoint *endpoint)
{
	struct ilm_tracked *t;
	__u8 *asked;

	/* A connection tells its own address. */
	if (sk->state != TCP_LISTEN && sk->state != TCP_CLOSE)
		return 0;
	t = bpf_sk_storage_get(&tracked, sk, NULL, 0);
	if (t)
		return t->asked;
	if (sk->protocol != IPPROTO_MPTCP)
		return 0;
	asked = bpf_map_lookup_elem(&rewritten, endpoint);
	return asked ? *asked : 0;
}

#endif
