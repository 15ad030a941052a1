/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a UDP client dialled, keyed by the client and the private address that serves it. A client
 * that uses one socket to talk to two dialled addresses that lead to the same daemon has one flow:
 * its replies come from what it dialled last. A flow lives while either end sends.
 */
#ifndef ILM_FLOW_H
#define ILM_FLOW_H

#include "address.h"
#include "maps.h"

#define NANOSECONDS 1000000000LL

/*
 * How long both ends have been silent. Signed: another CPU may have updated it after this one read
 * its clock.
 */
static __always_inline __s64 flow_idle_ns(const struct ilm_flow *flow)
{
	return bpf_ktime_get_coarse_ns() - flow->seen_ns;
}

/*
 * Records whether the daemon chose the source. Written only when it changes: otherwise the CPUs
 * that serve one client would fight for the cache line.
 */
static __always_inline bool note_chosen(struct ilm_flow *flow, bool chosen)
{
	if (flow->chosen != chosen)
		flow->chosen = chosen;
	return chosen;
}

/*
 * Notes that one of the ends was heard, but not for each datagram: otherwise the CPUs that serve
 * one client would fight for the cache line.
 */
static __always_inline void keep_flow(struct ilm_flow *flow)
{
	if (flow_idle_ns(flow) > NANOSECONDS)
		flow->seen_ns = bpf_ktime_get_coarse_ns();
}

static __always_inline void remember_flow(const struct ilm_flow_key *key, const struct ilm_endpoint *dialled, __u32 interface)
{
	struct ilm_flow flow = { .seen_ns = bpf_ktime_get_coarse_ns(), .port = dialled->port, .interface = interface };
	struct ilm_flow *known = bpf_map_lookup_elem(&flows, key);

	address_copy(flow.dialled, dialled->address);
	if (known && known->port == flow.port && known->interface == interface &&
	    address_equal(known->dialled, flow.dialled)) {
		keep_flow(known);
		return;
	}
	if (bpf_map_update_elem(&flows, key, &flow, BPF_ANY))
		count_fault(flows);
}

/*
 * Fills in the local part of the key: what the UDP socket is bound to. The caller fills in the
 * remote end.
 */
static __always_inline void flow_key_of_socket(struct ilm_flow_key *key, struct bpf_sock *sk)
{
	address_of_socket(key->local, sk);
	key->local_port = sk->src_port;
}

/* The flow with that key. NULL: there is none, or it is too old. */
static __always_inline struct ilm_flow *find_flow(const struct ilm_flow_key *key)
{
	struct ilm_flow *flow = bpf_map_lookup_elem(&flows, key);

	return flow && flow_idle_ns(flow) <= ILM_FLOW_IDLE_SECONDS * NANOSECONDS ? flow : NULL;
}

static __always_inline void asked_key(struct ilm_asked_key *key, const __be32 *remote, __u16 remote_port, __u16 local_port)
{
	address_copy(key->remote, remote);
	key->remote_port = remote_port;
	key->local_port = local_port;
}

/*
 * A client on this host sends from its port, which a mapping covers: the answers are for the
 * client. Only for ports that the kernel assigned: otherwise somebody could choose a port and take
 * what is for the mapping.
 */
static __always_inline void remember_asked(const struct ilm_flow_key *flow)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct ilm_asked_key key = {};
	__u32 first = 0;
	__u32 *any;

	if (!is_mapped(IPPROTO_UDP, flow->local_port))
		return;
	asked_key(&key, flow->remote, flow->remote_port, flow->local_port);
	bpf_map_update_elem(&asked, &key, &now, BPF_ANY);
	any = bpf_map_lookup_elem(&any_asked, &first);
	if (any && !*any)
		*any = 1;
}

/* Did a client on this host send to the address and port that this comes from? */
static __always_inline bool was_asked(const __be32 *remote, __u16 remote_port, __u16 local_port)
{
	struct ilm_asked_key key = {};
	__u32 first = 0;
	__u32 *any = bpf_map_lookup_elem(&any_asked, &first);
	__u64 *when;

	if (!any || !*any)
		return false;
	asked_key(&key, remote, remote_port, local_port);
	when = bpf_map_lookup_elem(&asked, &key);
	return when && (__s64)(bpf_ktime_get_coarse_ns() - *when) <= ILM_FLOW_IDLE_SECONDS * NANOSECONDS;
}

#endif
