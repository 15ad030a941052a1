/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a decision leaves behind: a count in the mapping's counters, an event for `monitor` or the
 * answer for `explain`, and for `run` the name of a destination whose socket sk_lookup lacks.
 */
#ifndef ILM_REPORT_H
#define ILM_REPORT_H

#include "generation.h"
#include "readers.h"

/* The counters of a mapping, in the copy that this CPU counts in. */
static __always_inline struct ilm_counters *counters_of(__u32 counter)
{
	__u32 place = (bpf_get_smp_processor_id() & constants.counter_mask) * constants.counter_slots + counter;

	return bpf_map_lookup_elem(&counters, &place);
}

/*
 * Adds to a counter. Programs that count packets run in softirqs, one at a time on each CPU, so
 * nothing interferes in a copy that only one CPU uses. (A process that asks about sockets,
 * net/ipv4/inet_diag.c, also runs sk_lookup, and is counted only where it names an interface.) The
 * verifier drops the branch that the constant excludes.
 */
static __always_inline void add_to(__u64 *counter, __u64 more)
{
	if (constants.counter_shared)
		__sync_fetch_and_add(counter, more);
	else
		*counter += more;
}

/* Counts a packet that a destination got, the first of its mapping or another one. */
static __always_inline void count_selected(struct ilm_counters *c, __u32 counter, __u32 share)
{
	add_to(&c->selected, 1);
	if (share) {
		__u32 copy = (share - 1) * (constants.counter_mask + 1) + (bpf_get_smp_processor_id() & constants.counter_mask);
		__u32 place = copy * constants.counter_slots + counter;
		__u64 *selected = bpf_map_lookup_elem(&shares, &place);

		if (selected)
			add_to(selected, 1);
	}
}

/*
 * sk_lookup cannot give the socket, and should have it from now on: `run` takes care of that. Not
 * static: it happens rarely.
 */
__noinline int want(const struct ilm_endpoint *endpoint)
{
	struct ilm_endpoint copy;
	struct ilm_slot *slot;

	/* Never NULL; the verifier requires the check. */
	if (!endpoint)
		return 0;
	copy = *endpoint;
	slot = slot_of(&copy);
	if (!slot || slot->handover == ILM_HANDOVER_INGRESS || slot->wanted)
		return 0;
	slot->wanted = 1;
	bpf_ringbuf_output(&binds, &copy, sizeof(copy), 0);
	return 1;
}

/* The mapping that decided. */
static __always_inline __u32 mapping_of(const struct lookup *l)
{
	/* A look-up that has found a rule comes to a verdict. */
	if (l->verdict == ILM_VERDICT_UNMANAGED)
		return ILM_MAPPING_NONE;
	return l->counter - generation_of(l)->counters;
}

/*
 * Passes the decision to whatever waits for it: `explain` in a test run, otherwise the readers, at
 * once or, with a place in registry/handed, when the packet is counted. Not inlined, so that the
 * caller's hot path stays short.
 */
static __noinline void report(const struct lookup *l, struct ilm_handed *h)
{
	struct ilm_decision d = {};
	struct ilm_reader_counts *counts;
	__u64 answers;
	__u32 key = 0;

	d.time_ns = bpf_ktime_get_ns();
	address_copy(d.local, l->dialled.address);
	address_copy(d.remote, l->remote);
	d.local_port = l->dialled.port;
	d.remote_port = l->remote_port;
	d.protocol = l->dialled.protocol;
	d.family = l->family;
	d.mapping = mapping_of(l);
	d.generation = generation_of(l)->number;
	d.interface = l->interface;
	d.verdict = l->verdict;
	d.matched = l->matched;
	d.selected = l->selected;
	d.strangers = l->strangers;
	__builtin_memcpy(d.attempts, l->attempts, sizeof(d.attempts));

	if (l->dry) {
		bpf_map_update_elem(&explained, &key, &d, BPF_ANY);
		return;
	}
	answers = ask_readers(&d);
	if (!h) {
		tell_readers(&d, answers);
		return;
	}
	h->answers = answers;
	/* A flood beyond what readers may be given is only counted. */
	if (!(answers & READERS_WITH_ROOM))
		return;
	key = l->handed - 1;
	if (!bpf_map_update_elem(&handed_reports, &key, &d, BPF_ANY)) {
		h->watched = ILM_WATCHED_REPORT;
		return;
	}
	counts = counts_for(ILM_READERS);
	if (counts)
		counts->dropped++;
}

#endif
