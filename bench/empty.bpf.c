// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a test run costs by itself: the yardstick for bpf/lookup.bpf.c. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("sk_lookup")
int ilm_empty(struct bpf_sk_lookup *ctx)
{
	return SK_PASS;
}
