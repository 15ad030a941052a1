/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who listens on an endpoint, as the registry knows it (bpf/maps.h, `presence`): bpf/track.h counts
 * there, and the programs that decide only read.
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
 * Is the interface a VRF's, whose packets only come to sockets that are bound to it
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

/* As in struct ilm_presence. */
struct listeners {
	__u32 sockets;
	__u32 v6only;
	__u32 placed;
	__u32 connected;
};

/*
 * Who listens on the endpoint and takes what arrives on the interface: bound to no device, or to
 * this one.
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

/* What somebody asks of a place: are there sockets that a permit permits, and others? */
#define HAS_PERMITTED 1
#define HAS_STRANGERS 2

struct kind_search {
	struct ilm_presence *presence;
	__u32 permit;
	__u32 found;
};

static long judge_kind(__u32 i, struct kind_search *search)
{
	struct ilm_identity identity;
	struct ilm_kind *kind;
	__u32 sockets;

	if (i >= ILM_KINDS)
		return 1;
	kind = &search->presence->kinds[i];
	sockets = kind->sockets;
	if (!sockets)
		return 0;
	identity = kind->identity;
	/* One that is being taken is nobody's yet. */
	search->found |= !(sockets & ILM_KIND_BUSY) && permits_identity(&identity, search->permit) ? HAS_PERMITTED :
											       HAS_STRANGERS;
	return 0;
}

/*
 * The memory of an entry that was removed is used again at once, perhaps for an owner's place; so
 * what was found is looked for once more.
 */
static __noinline __u32 judge_place(const struct ilm_endpoint *endpoint, __u32 device, __u32 permit)
{
	struct ilm_place place = { .endpoint = *endpoint, .device = device };
	struct ilm_presence *p = bpf_map_lookup_elem(&presence, &place);
	struct kind_search search = { .presence = p, .permit = permit };
	__u64 epoch;

	if (!p || !p->sockets)
		return 0;
	epoch = p->epoch;
	if (p->others)
		search.found = HAS_STRANGERS;
	bpf_loop(ILM_KINDS, judge_kind, &search, 0);
	p = bpf_map_lookup_elem(&presence, &place);
	return p && p->epoch == epoch ? search.found : 0;
}

/*
 * Whose the sockets are that listen on the endpoint and take what arrives on the interface
 * (HAS_PERMITTED, HAS_STRANGERS; 0: there are none). Not static: the verifier looks at it once.
 */
__noinline int judge_listeners(const struct ilm_endpoint *wanted, __u32 interface, __u32 permit)
{
	struct ilm_endpoint endpoint;
	int found = 0;

	/* Never so; the verifier wants it said. */
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
 * Do sockets listen on the endpoint of which the permit permits some, or all? Who was counted a
 * moment ago, and whose it is that is known no more, is on his way to close() and not permitted.
 */
static __always_inline bool permits_some(const struct ilm_endpoint *endpoint, __u32 interface, __u32 permit)
{
	return !permit || judge_listeners(endpoint, interface, permit) & HAS_PERMITTED;
}

static __always_inline bool permits_all(const struct ilm_endpoint *endpoint, __u32 interface, __u32 permit)
{
	return !permit || judge_listeners(endpoint, interface, permit) == HAS_PERMITTED;
}

/*
 * Does a socket on a wildcard address of the dialled port take this family? `permit`: not where
 * one does that it does not permit.
 */
static __always_inline bool wildcard_listens(const struct lookup *l, __u32 permit)
{
	struct ilm_endpoint any = { .port = l->dialled.port, .protocol = l->dialled.protocol };
	bool listens, all = true;
	struct listeners p;

	/* First ::, of which an IPv4 packet needs a socket that is not IPv6 only. */
	p = listeners_at(&any, l->interface);
	listens = l->family == AF_INET ? p.sockets > p.v6only : p.sockets > 0;
	if (listens)
		all = permits_all(&any, l->interface, permit);
	if (l->family != AF_INET)
		return listens && all;
	any.address[2] = IP4_MAPPED;
	if (!listeners_at(&any, l->interface).sockets)
		return listens && all;
	return all && permits_all(&any, l->interface, permit);
}

/* Does a socket listen on just what was dialled? */
static __always_inline bool exact_listens(const struct lookup *l)
{
	__u32 bucket = endpoint_bucket(&l->dialled);
	__u32 *count;

	count = bpf_map_lookup_elem(&filter, &bucket);
	return count && *count && listeners_at(&l->dialled, l->interface).sockets;
}

/*
 * Does somebody listen already who keeps what is dialled? Not where a stranger would get it: then
 * it is as if nobody listened.
 */
static __always_inline bool already_listening(const struct lookup *l, __u8 existing, __u32 permit)
{
	if (exact_listens(l))
		return permits_all(&l->dialled, l->interface, permit);
	return existing == ILM_EXISTING_ANY && wildcard_listens(l, permit);
}

#endif
