/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who listens on an endpoint, as the registry knows it (bpf/maps.h, `presence`): bpf/track.h counts
 * there, and the programs that decide only read.
 */
#ifndef ILM_PRESENCE_H
#define ILM_PRESENCE_H

#include "generation.h"

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

/* Are there listeners on destinations that are bound to a device? */
static __always_inline bool any_destined_on_device(void)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&destined_on_device, &key);

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

/*
 * Who listens on the endpoint and takes what arrives on the interface: bound to no device, or to
 * this one.
 */
static __always_inline struct ilm_presence listeners_at(const struct ilm_endpoint *endpoint, __u32 interface)
{
	struct ilm_place place = { .endpoint = *endpoint };
	struct ilm_presence all = {};
	struct ilm_presence *p;

	p = bpf_map_lookup_elem(&presence, &place);
	if (p && !is_closed_vrf(endpoint->protocol, interface))
		all = *p;
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

/* Does a socket on a wildcard address of the dialled port take this family? */
static __always_inline bool wildcard_listens(const struct lookup *l)
{
	struct ilm_endpoint any = { .port = l->dialled.port, .protocol = l->dialled.protocol };
	struct ilm_presence p;

	/* First ::, of which an IPv4 packet needs a socket that is not IPv6 only. */
	p = listeners_at(&any, l->interface);
	if (l->family == AF_INET ? p.sockets > p.v6only : p.sockets > 0)
		return true;
	if (l->family != AF_INET)
		return false;
	any.address[2] = IP4_MAPPED;
	return listeners_at(&any, l->interface).sockets;
}

static __always_inline bool already_listening(const struct lookup *l, __u8 existing)
{
	__u32 bucket = endpoint_bucket(&l->dialled);
	__u32 *count;

	count = bpf_map_lookup_elem(&filter, &bucket);
	if (count && *count && listeners_at(&l->dialled, l->interface).sockets)
		return true;
	return existing == ILM_EXISTING_ANY && wildcard_listens(l);
}

#endif
