/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records what was refused to whom, or would have been: in `refused` for the log, and in `refusals`
 * for `audit`.
 */
#ifndef ILM_REFUSAL_H
#define ILM_REFUSAL_H

#include "address.h"
#include "identity.h"
#include "maps.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct {
	int tgid;
	char comm[16];
};

#pragma clang attribute pop

/*
 * The first refusal is reported at once, the same again at most once in this time: a process that
 * retries in a loop causes one line in the log each time.
 */
#define REFUSAL_QUIET_NS 10000000000ULL

/* A separate function puts struct ilm_refused into the BTF, from which its layout is generated. */
static __noinline void tell_refused(struct ilm_refused *event)
{
	bpf_ringbuf_output(&refused, event, sizeof(*event), 0);
}

/*
 * Records a refusal. `process`: the current process is the one that tried; a packet arrives while
 * any process may be running. Not static: the verifier walks it once.
 */
__noinline int note_refusal(const struct ilm_endpoint *endpoint, const struct ilm_identity *identity, __u32 reason,
			    bool process)
{
	struct ilm_refusal_key key = { .reason = reason };
	struct ilm_refusal *known;
	struct ilm_refusal fresh = {};
	struct ilm_refused event = {};
	__u64 now = bpf_ktime_get_ns();

	/* Never NULL; the verifier requires the check. */
	if (!endpoint || !identity)
		return 0;
	key.endpoint = *endpoint;
	key.identity = *identity;
	known = bpf_map_lookup_elem(&refusals, &key);
	if (known) {
		__u64 told = known->told_ns;

		__sync_fetch_and_add(&known->count, 1);
		known->last_ns = now;
		if (now - told < REFUSAL_QUIET_NS || __sync_val_compare_and_swap(&known->told_ns, told, now) != told)
			return 0;
	}
	if (process) {
		struct task_struct *task = (void *)bpf_get_current_task();

		fresh.pid = BPF_CORE_READ(task, tgid);
		BPF_CORE_READ_INTO(&fresh.command, task, comm);
	}
	if (!known) {
		fresh.count = 1;
		fresh.last_ns = now;
		fresh.told_ns = now;
		bpf_map_update_elem(&refusals, &key, &fresh, BPF_ANY);
	}
	event.key = key;
	event.pid = fresh.pid;
	__builtin_memcpy(event.command, fresh.command, sizeof(event.command));
	tell_refused(&event);
	return 1;
}

#endif
