/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting a listener while it lives, and placing it where sk_lookup finds it. Shared by every program that sees sockets. */
#ifndef ILM_TRACK_H
#define ILM_TRACK_H

#include "address.h"
#include "maps.h"

/* Several CPUs may create the same entry: the loser finds the winner's at the second look. */
static __always_inline struct ilm_presence *presence_of(const struct ilm_endpoint *endpoint)
{
	struct ilm_presence *found = bpf_map_lookup_elem(&presence, endpoint);
	struct ilm_presence fresh = {};

	if (found)
		return found;
	fresh.epoch = bpf_ktime_get_ns();
	bpf_map_update_elem(&presence, endpoint, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&presence, endpoint);
}

static __always_inline void filter_add(const struct ilm_endpoint *endpoint, __s32 change)
{
	__u32 bucket = endpoint_bucket(endpoint);
	__u32 *count;

	if (address_is_wildcard(endpoint->address))
		return;
	count = bpf_map_lookup_elem(&filter, &bucket);
	if (count)
		__sync_fetch_and_add(count, change);
}

static __always_inline void uncount(struct ilm_tracked *t)
{
	struct ilm_presence *p;

	if (!t->counted)
		return;
	t->counted = 0;
	filter_add(&t->endpoint, -1);
	p = bpf_map_lookup_elem(&presence, &t->endpoint);
	/* Another epoch: the entry was removed and made anew meanwhile, and never counted this socket. */
	if (!p || p->epoch != t->epoch)
		return;
	if (t->v6only)
		__sync_fetch_and_add(&p->v6only, -1);
	if (t->steered)
		__sync_fetch_and_add(&p->steered, -1);
	__sync_fetch_and_add(&p->sockets, -1);
}

static __always_inline void count_steered_tcp(__s32 change)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&steered_tcp, &key);

	if (n)
		__sync_fetch_and_add(n, change);
}

/* A sockmap refused it, so it is left to ingress. */
static __always_inline void mark_steered(struct ilm_tracked *t)
{
	struct ilm_presence *p;

	if (t->steered || !t->counted)
		return;
	p = bpf_map_lookup_elem(&presence, &t->endpoint);
	if (!p || p->epoch != t->epoch)
		return;
	t->steered = 1;
	__sync_fetch_and_add(&p->steered, 1);
	count_steered_tcp(1);
}

/* The end of a listener. */
static __always_inline void forget(struct ilm_tracked *t)
{
	uncount(t);
	if (t->steered)
		count_steered_tcp(-1);
	t->steered = 0;
	t->serial = 0;
}

/* Idempotent, so that a scan may meet a socket that registered itself. */
static __always_inline void count(struct ilm_tracked *t, const struct ilm_endpoint *endpoint, bool v6only)
{
	struct ilm_presence *p;

	if (t->counted) {
		p = bpf_map_lookup_elem(&presence, &t->endpoint);
		if (p && p->epoch == t->epoch)
			return;
		/* The entry that counted it is gone (see `presence`). */
		uncount(t);
	}
	p = presence_of(endpoint);
	if (!p) {
		count_fault(untracked);
		return;
	}
	t->endpoint = *endpoint;
	t->v6only = v6only;
	t->epoch = p->epoch;
	t->counted = 1;
	if (v6only)
		__sync_fetch_and_add(&p->v6only, 1);
	if (t->steered)
		__sync_fetch_and_add(&p->steered, 1);
	__sync_fetch_and_add(&p->sockets, 1);
	filter_add(endpoint, 1);
}

/* The slot of a destination: of its very port, or else of every port of its address. */
static __always_inline struct ilm_slot *slot_of(const struct ilm_endpoint *endpoint)
{
	struct ilm_slot *slot = bpf_map_lookup_elem(&slots, endpoint);
	struct ilm_endpoint every = *endpoint;

	if (slot)
		return slot;
	every.port = 0;
	return bpf_map_lookup_elem(&slots, &every);
}

#endif
