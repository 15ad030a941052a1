// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Must not load: the kfunc is for sk_lookup programs only. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../ilm_lookup.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern int bpf_sk_lookup_assign_listener(struct bpf_sk_lookup *ctx, const void *query, __u32 query__sz) __ksym;

SEC("tc")
int stranger(struct __sk_buff *skb)
{
	struct ilm_listener_query query = { .flags = ILM_LISTENER_EITHER };

	return bpf_sk_lookup_assign_listener((void *)skb, &query, sizeof(query));
}
