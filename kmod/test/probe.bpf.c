// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Puts one question to the kfunc in each lookup, and keeps the answer. Loads without the module
 * too, with `ask` 0: the kfunc is weak, and the verifier removes a call that cannot be reached
 * before it asks what is called. (bpf_ksym_exists() would tell without a constant, but libbpf
 * before 1.2, as Debian 12 has it, cannot load it for a module's kfunc.)
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../ilm_lookup.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define NOT_ASKED 1

extern int bpf_sk_lookup_assign_listener(struct bpf_sk_lookup *ctx, const void *query, __u32 query__sz) __ksym __weak;

const volatile __u32 ask = 0;

struct question {
	struct ilm_listener_query query;
	__u16 port;		/* only lookups for this port are asked about; 0: all */
	__u16 twice;		/* ask once more after the first answer */
	__s32 result;		/* of the last call; NOT_ASKED */
	__u32 asked;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct question);
} questions SEC(".maps");

SEC("sk_lookup")
int probe(struct bpf_sk_lookup *ctx)
{
	struct ilm_listener_query query;
	struct question *q;
	__u32 key = 0;

	q = bpf_map_lookup_elem(&questions, &key);
	if (!q || (q->port && q->port != ctx->local_port))
		return SK_PASS;
	q->result = NOT_ASKED;
	if (!ask)
		return SK_PASS;
	query = q->query;
	q->result = bpf_sk_lookup_assign_listener(ctx, &query, sizeof(query));
	if (q->twice)
		q->result = bpf_sk_lookup_assign_listener(ctx, &query, sizeof(query));
	q->asked++;
	return SK_PASS;
}
