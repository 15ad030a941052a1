/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two programs of a generation have in common: which rule, and is somebody listening already. */
#ifndef ILM_DECIDE_H
#define ILM_DECIDE_H

#include "flow.h"
#include "maps.h"
#include "tables.h"

const volatile struct ilm_lookup_constants constants = {};

struct lookup {
	struct ilm_endpoint dialled;
	__be32 remote[4];	/* only filled when somebody needs it */
	__u16 remote_port;	/* host byte order */
	__u32 mapping;
	__u8 family;
	__u8 verdict;
	__u8 matched;
	__u8 selected;
	__u8 dry;		/* a test run of `explain`: nothing is counted or remembered */
	__u8 failed;		/* destinations that could not be tried */
	__u8 attempts[ILM_DESTINATIONS_MAX];
};

/* tcp ports, then udp ports */
static __always_inline __u32 port_key(__u32 protocol, __u32 port)
{
	return port | (protocol == IPPROTO_UDP ? ILM_PORT_KEYS / 2 : 0);
}

static __always_inline bool watched(void)
{
	struct ilm_watch *w;
	__u32 key = 0;

	w = bpf_map_lookup_elem(&watch, &key);
	/* A watcher that was killed leaves a time that passes. */
	return w && w->until_ns && bpf_ktime_get_ns() < w->until_ns;
}

/* The most specific rule for the class and the dialled address; 0: none. */
static __always_inline __u32 find_rule(__u32 class, struct lookup *l)
{
	__u32 class_id = class & ILM_CLASS_MASK;
	__u32 bit = address_hash(l->dialled.address, 0) % (ILM_OWNED_WORDS * 64);
	struct ilm_class *fallback;
	__u32 *rule;

	if (class & ILM_CLASS_EXACT) {
		struct ilm_exact_key key = { .class_id = class_id };

		address_copy(key.address, l->dialled.address);
		rule = bpf_map_lookup_elem(&exact, &key);
		if (rule) {
			l->matched = ILM_MATCHED_EXACT;
			return *rule;
		}
	}
	/* A service's own address is never mapped away, unless a mapping names the very address (above). */
	if (constants.owned_filter[bit / 64] & 1ULL << (bit % 64) && bpf_map_lookup_elem(&owned, l->dialled.address)) {
		l->matched = ILM_MATCHED_OWNED;
		return 0;
	}
	if (class & ILM_CLASS_PREFIX) {
		struct ilm_prefix_key key = { .length = 32 + 128,
			.class_family = bpf_htonl(class_id << 1 | (l->family == AF_INET6)) };

		address_copy(key.address, l->dialled.address);
		rule = bpf_map_lookup_elem(&prefixes, &key);
		if (rule) {
			l->matched = ILM_MATCHED_PREFIX;
			return *rule;
		}
	}
	fallback = bpf_map_lookup_elem(&classes, &class_id);
	if (!fallback || !(l->family == AF_INET ? fallback->rule4 : fallback->rule6))
		return 0;
	l->matched = ILM_MATCHED_DEFAULT;
	return l->family == AF_INET ? fallback->rule4 : fallback->rule6;
}

/* Does a socket on a wildcard address of the dialled port take this family? */
static __always_inline bool wildcard_listens(const struct lookup *l)
{
	struct ilm_endpoint any = { .port = l->dialled.port, .protocol = l->dialled.protocol };
	struct ilm_presence *p;

	/* :: ; an IPv4 packet needs one that is not IPv6 only */
	p = bpf_map_lookup_elem(&presence, &any);
	if (p && (l->family == AF_INET ? p->sockets > p->v6only : p->sockets > 0))
		return true;
	if (l->family != AF_INET)
		return false;
	any.address[2] = bpf_htonl(0xffff);
	p = bpf_map_lookup_elem(&presence, &any);
	return p && p->sockets;
}

static __always_inline bool already_listening(const struct lookup *l, __u8 existing)
{
	__u32 bucket = endpoint_bucket(&l->dialled);
	struct ilm_presence *p;
	__u32 *count;

	count = bpf_map_lookup_elem(&filter, &bucket);
	if (count && *count) {
		p = bpf_map_lookup_elem(&presence, &l->dialled);
		if (p && p->sockets)
			return true;
	}
	return existing == ILM_EXISTING_ANY && wildcard_listens(l);
}

/* So that the reply can leave from what the client dialled. */
static __always_inline void remember(const struct lookup *l, const struct ilm_endpoint *to)
{
	struct ilm_flow_key key = { .local_port = to->port, .remote_port = l->remote_port };

	address_copy(key.local, to->address);
	address_copy(key.remote, l->remote);
	remember_flow(&key, &l->dialled);
}

/* Not inlined: the caller's hot path stays short. */
static __noinline void report(const struct lookup *l, __u32 interface)
{
	struct ilm_decision d = {};
	__u32 key = 0;

	d.time_ns = bpf_ktime_get_ns();
	address_copy(d.local, l->dialled.address);
	address_copy(d.remote, l->remote);
	d.local_port = l->dialled.port;
	d.remote_port = l->remote_port;
	d.protocol = l->dialled.protocol;
	d.family = l->family;
	d.mapping = l->mapping;
	d.generation = constants.generation;
	d.interface = interface;
	d.verdict = l->verdict;
	d.matched = l->matched;
	d.selected = l->selected;
	__builtin_memcpy(d.attempts, l->attempts, sizeof(d.attempts));

	if (l->dry) {
		struct ilm_question *q = bpf_map_lookup_elem(&question, &key);

		if (q) {
			d.interface = q->interface;
			d.remote_port = q->remote_port;
		}
		bpf_map_update_elem(&explained, &key, &d, BPF_ANY);
		return;
	}
	if (bpf_ringbuf_output(&decisions, &d, sizeof(d), 0)) {
		struct ilm_watch *w = bpf_map_lookup_elem(&watch, &key);

		if (w)
			__sync_fetch_and_add(&w->lost, 1);
	}
}

#endif
