// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The engine that asks the kernel's own tables, through the module of kmod/. An object of its own:
 * whoever only reads one with a function of a module in it has libbpf read the kernel's whole BTF,
 * and that takes as long as everything else of a change.
 */
#include "decide.h"
#include "../kmod/ilm_lookup.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern int bpf_sk_lookup_assign_listener(struct bpf_sk_lookup *ctx, const void *query, __u32 query__sz) __ksym;

/*
 * The kernel's own search: nothing has to be registered, and MPTCP's listeners and UDP sockets are
 * selected here too.
 */
static __always_inline long ask_kernel(struct bpf_sk_lookup *ctx, const struct lookup *l,
				       const struct ilm_endpoint *endpoint, __u16 flags)
{
	struct ilm_listener_query query = {
		.netns_cookie = constants.netns_cookie,
		.port = endpoint->port,
		.flags = flags,
		.interface = l->interface,
	};

	address_copy(query.address, endpoint->address);
	return bpf_sk_lookup_assign_listener(ctx, &query, sizeof(query));
}

static __always_inline __u8 try_destination(struct bpf_sk_lookup *ctx, const struct lookup *l,
					    const struct ilm_endpoint *endpoint, __u32 slot)
{
	long err = ask_kernel(ctx, l, endpoint, ILM_LISTENER_EXACT | (l->dry ? ILM_LISTENER_NO_REUSEPORT : 0));

	if (!err)
		return ILM_ATTEMPT_SELECTED;
	if (err == -ENOENT)
		return ILM_ATTEMPT_ABSENT;
	return err == -EAFNOSUPPORT ? ILM_ATTEMPT_WRONG_FAMILY : ILM_ATTEMPT_FAILED;
}

static __always_inline bool listens(struct bpf_sk_lookup *ctx, const struct lookup *l, __u8 existing)
{
	__u16 kind = existing == ILM_EXISTING_ANY ? ILM_LISTENER_EITHER : ILM_LISTENER_EXACT;

	return !ask_kernel(ctx, l, &l->dialled, kind | ILM_LISTENER_TEST);
}

/* There is one way only. */
static __always_inline bool choose_first(struct bpf_sk_lookup *ctx, struct lookup *l, const struct ilm_rule *rule)
{
	return false;
}

#include "lookup.h"

SEC("?sk_lookup")
int ilm_lookup_kfunc(struct bpf_sk_lookup *ctx)
{
	return look_up(ctx);
}
