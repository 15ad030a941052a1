/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the registry knows about who listens on an endpoint (bpf/maps.h, `presence`). bpf/track.h
 * counts there; the programs that decide only read.
 */
#ifndef ILM_PRESENCE_H
#define ILM_PRESENCE_H

#include "generation.h"
#include "permit.h"

/* Are there TCP listeners that only ingress can select? */
static __always_inline bool any_steered_tcp(void)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&steered_tcp, &key);

	return n && *n;
}

/* Are there listeners that are bound to a device? */
static __always_inline bool any_on_device(void)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&on_device, &key);

	return n && *n;
}

/* Are there listeners on destinations that are bound to a device, or not permitted there? */
static __always_inline bool any_irregular(void)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&irregular, &key);

	return n && *n;
}

/*
 * Is the interface a VRF's, whose packets reach only sockets that are bound to it
 * (include/net/inet_sock.h, inet_bound_dev_eq)? sk_lookup sees the VRF's device as the interface.
 */
static __always_inline bool is_closed_vrf(__u32 protocol, __u32 interface)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&vrf_count, &key);
	__u32 *closed;

	if (!n || !*n || !interface)
		return false;
	closed = bpf_map_lookup_elem(&vrfs, &interface);
	return closed && *closed & (protocol == IPPROTO_UDP ? ILM_VRF_CLOSED_UDP : ILM_VRF_CLOSED_TCP);
}

/* Counts, as in struct ilm_presence. */
struct listeners {
	__u32 sockets;
	__u32 v6only;
	__u32 placed;
	__u32 connected;
};

/*
 * The listeners on the endpoint that take what arrives on the interface: those bound to no device,
 * or to this one.
 */
static __always_inline struct listeners listeners_at(const struct ilm_endpoint *endpoint, __u32 interface)
{
	struct ilm_place place = { .endpoint = *endpoint };
	struct listeners all = {};
	struct ilm_presence *p;

	p = bpf_map_lookup_elem(&presence, &place);
	if (p && !is_closed_vrf(endpoint->protocol, interface)) {
		all.sockets = p->sockets;
		all.v6only = p->v6only;
		all.placed = p->placed;
		all.connected = p->connected;
	}
	if (!any_on_device())
		return all;
	place.device = interface;
	p = interface ? bpf_map_lookup_elem(&presence, &place) : NULL;
	if (p) {
		all.sockets += p->sockets;
		all.v6only += p->v6only;
		all.placed += p->placed;
		all.connected += p->connected;
	}
	return all;
}

/* What judge_listeners() returns: there are sockets that the permit permits, and others. */
#define HAS_PERMITTED 1
#define HAS_STRANGERS 2

/*
 * Judges the sockets of one place. The memory of a removed entry is reused at once, perhaps for an
 * owner's place; so the entry is looked up again afterwards.
 */
static __always_inline __u32 judge_place(const struct ilm_endpoint *endpoint, __u32 device, __u32 permit)
{
	struct ilm_place place = { .endpoint = *endpoint, .device = device };
	struct ilm_presence *p = bpf_map_lookup_elem(&presence, &place);
	__u32 found = 0;
	__u64 epoch;

	if (!p || !p->sockets)
		return 0;
	epoch = p->epoch;
	if (p->others)
		found = HAS_STRANGERS;
	for (int i = 0; i < ILM_KINDS; i++) {
		__u32 sockets = p->kinds[i].sockets;

		if (!sockets)
			continue;
		/* The identity of a kind that is being claimed is not known yet. */
		found |= !(sockets & ILM_KIND_BUSY) && permits_identity(&p->kinds[i].identity, permit) ? HAS_PERMITTED :
												HAS_STRANGERS;
	}
	p = bpf_map_lookup_elem(&presence, &place);
	/* The identity of sockets that are just closing is no longer known. */
	return p && p->epoch == epoch && found ? found : HAS_STRANGERS;
}

/*
 * Judges the sockets that listen on the endpoint and take what arrives on the interface
 * (HAS_PERMITTED, HAS_STRANGERS; 0: there are none). Not static: the verifier walks it once.
 */
__noinline int judge_listeners(const struct ilm_endpoint *wanted, __u32 interface, __u32 permit)
{
	struct ilm_endpoint endpoint;
	int found = 0;

	/* Never NULL; the verifier requires the check. */
	if (!wanted)
		return 0;
	endpoint = *wanted;
	if (!is_closed_vrf(endpoint.protocol, interface))
		found = judge_place(&endpoint, 0, permit);
	if (interface && any_on_device())
		found |= judge_place(&endpoint, interface, permit);
	return found;
}

/*
 * Does the permit permit some of the sockets that listen on the endpoint, or all of them? A socket
 * that was counted a moment ago, and whose identity is no longer known, is about to close and not
 * permitted.
 */
static __always_inline bool permits_some(const struct ilm_endpoint *endpoint, __u32 interface, __u32 permit)
{
	return !permit || judge_listeners(endpoint, interface, permit) & HAS_PERMITTED;
}

static __always_inline bool permits_all(const struct ilm_endpoint *endpoint, __u32 interface, __u32 permit)
{
	return !permit || judge_listeners(endpoint, interface, permit) == HAS_PERMITTED;
}

/* May a socket be listening on the endpoint? Usually none is. */
static __always_inline bool may_listen(const struct ilm_endpoint *endpoint)
{
	__u32 bucket = endpoint_bucket(endpoint);
	__u32 *count = bpf_map_lookup_elem(&filter, &bucket);

	return count && *count;
}

/*
 * Who would get a packet from the kernel: no socket, only sockets that a permit permits, or others
 * too.
 */
enum heirs { NO_HEIRS, WELCOME_HEIRS, STRANGE_HEIRS };

/* Judges the sockets on the endpoint. */
static __always_inline enum heirs heirs_at(const struct ilm_endpoint *endpoint, const struct lookup *l, __u32 permit)
{
	int found;

	if (!permit)
		return listeners_at(endpoint, l->interface).sockets ? WELCOME_HEIRS : NO_HEIRS;
	found = judge_listeners(endpoint, l->interface, permit);
	if (!found)
		return NO_HEIRS;
	return found == HAS_PERMITTED ? WELCOME_HEIRS : STRANGE_HEIRS;
}

/*
 * Judges the sockets on a wildcard address of the dialled port, if one takes the packet's family.
 */
static __always_inline enum heirs wildcard_heirs(const struct lookup *l, __u32 permit)
{
	struct ilm_endpoint any = { .port = l->dialled.port, .protocol = l->dialled.protocol };
	enum heirs found = NO_HEIRS, others;
	struct listeners p;

	/* First ::, where an IPv4 packet needs a socket that is not IPv6 only. */
	if (may_listen(&any)) {
		p = listeners_at(&any, l->interface);
		if (l->family == AF_INET ? p.sockets > p.v6only : p.sockets > 0)
			found = heirs_at(&any, l, permit);
	}
	if (l->family != AF_INET)
		return found;
	any.address[2] = IP4_MAPPED;
	if (!may_listen(&any))
		return found;
	others = heirs_at(&any, l, permit);
	return others > found ? others : found;
}

/* Judges the sockets on exactly what was dialled. */
static __always_inline enum heirs exact_heirs(const struct lookup *l, __u32 permit)
{
	return may_listen(&l->dialled) ? heirs_at(&l->dialled, l, permit) : NO_HEIRS;
}

/*
 * Does a socket already listen that keeps what is dialled? Not if a stranger would get it: then it
 * is as if nothing listened. Not static: the verifier walks it once.
 */
__noinline int keeps_dialled(const struct lookup *l, __u8 existing, __u32 permit)
{
	enum heirs found;

	/* Never NULL; the verifier requires the check. */
	if (!l)
		return 0;
	found = exact_heirs(l, permit);
	if (found == NO_HEIRS && existing == ILM_EXISTING_ANY)
		found = wildcard_heirs(l, permit);
	return found == WELCOME_HEIRS;
}

static __always_inline bool already_listening(const struct lookup *l, __u8 existing, __u32 permit)
{
	return (existing == ILM_EXISTING_ANY || may_listen(&l->dialled)) && keeps_dialled(l, existing, permit);
}

#endif
