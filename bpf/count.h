/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts what ingress gave to a process's socket, when the packet reaches that socket: by then the
 * firewall and routing have decided. `deliver` (bpf/deliver.h) calls it for packets that it has
 * identified. It belongs to the program set, as the counters do.
 */
#ifndef ILM_COUNT_H
#define ILM_COUNT_H

#include "report.h"

/*
 * Is the generation that decided still in the tables? A side is rewritten only when nothing that it
 * decided can be on its way, except for what waited in a netfilter queue.
 */
static __always_inline bool is_there(__u32 generation)
{
	return sides.generations[0].number == generation || sides.generations[1].number == generation;
}

SEC("cgroup_skb/ingress")
int ilm_count(struct __sk_buff *ctx)
{
	__u32 place = ctx->tc_index - 1;
	struct ilm_handed *h = bpf_map_lookup_elem(&handed, &place);
	struct ilm_decision *decision;
	struct ilm_counters *c;

	if (!h)
		return 1;
	/* Of a train of segments the first counts: ingress saw one packet. */
	h->port = 0;
	if (!is_there(h->generation))
		return 1;
	c = counters_of(h->counter);
	if (c)
		count_selected(c, h->counter, h->share);
	if (!h->watched)
		return 1;
	decision = h->watched == ILM_WATCHED_REPORT ? bpf_map_lookup_elem(&handed_reports, &place) : NULL;
	tell_readers(decision, h->answers);
	if (decision)
		bpf_map_delete_elem(&handed_reports, &place);
	return 1;
}

#endif
