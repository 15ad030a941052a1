/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a UDP client dialled, by the client and the private address that serves it. A client that talks from one socket to two
 * dialled addresses that lead to the same daemon has one flow: its replies come from what it dialled last. A flow lives while
 * either end sends.
 */
#ifndef ILM_FLOW_H
#define ILM_FLOW_H

#include "address.h"
#include "maps.h"

#define NANOSECONDS 1000000000LL

/* Signed: another CPU may have seen it after this one read its clock. */
static __always_inline __s64 flow_idle_ns(const struct ilm_flow *flow)
{
	return bpf_ktime_get_coarse_ns() - flow->seen_ns;
}

/* Not at each datagram: the CPUs that serve one client would fight for the cache line. */
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

/* The key of what the UDP socket sends to that remote end. */
static __always_inline void flow_key_of_socket(struct ilm_flow_key *key, struct bpf_sock *sk)
{
	address_of_socket(key->local, sk);
	key->local_port = sk->src_port;
}

/* NULL: none, or too old. */
static __always_inline struct ilm_flow *find_flow(const struct ilm_flow_key *key)
{
	struct ilm_flow *flow = bpf_map_lookup_elem(&flows, key);

	return flow && flow_idle_ns(flow) <= ILM_FLOW_IDLE_SECONDS * NANOSECONDS ? flow : NULL;
}

#endif
