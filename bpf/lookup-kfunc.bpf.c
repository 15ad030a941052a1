// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The engine that asks the kernel's own tables, through the module in kmod/. A separate object:
 * merely reading an object that refers to a module's function makes libbpf read the kernel's whole
 * BTF, which takes as long as the rest of a change.
 */
#include "bind.h"
#include "decide.h"
#include "permit.h"
#include "tunnel.h"
#include "../kmod/ilm_lookup.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern int bpf_sk_lookup_assign_listener(struct bpf_sk_lookup *ctx, const void *query, __u32 query__sz) __ksym;

/*
 * Runs the kernel's own search: nothing has to be registered, and MPTCP listeners and UDP sockets
 * are selected here too.
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

/* More sockets than a daemon has in a SO_REUSEPORT group; a larger group is not permitted. */
#define GROUP_MAX 1024

struct group_search {
	const void *socks;
	__u32 permit;
	__u32 strangers;	/* no bool: a callback may only return 0 or 1 */
};

static long judge_member(__u32 i, struct group_search *search)
{
	struct ilm_identity identity = {};
	__u64 member = 0;

	if (bpf_probe_read_kernel(&member, sizeof(member), search->socks + i * sizeof(member)))
		search->strangers = 1;
	if (!search->strangers && identify(member, &identity))
		search->strangers = !permits_identity(&identity, search->permit);
	return search->strangers != 0;
}

/*
 * May the selected socket get the packet, and any other that the kernel may select instead in its
 * SO_REUSEPORT group? Not static: the verifier walks it once.
 */
__noinline int permits_group(__u64 sock, __u32 permit)
{
	struct sock *sk = (void *)sock;
	struct sock_reuseport *group = BPF_CORE_READ(sk, sk_reuseport_cb);
	struct group_search search = { .permit = permit };
	struct ilm_identity identity = {};
	__u32 n;

	if (!identify(sock, &identity) || !permits_identity(&identity, permit))
		return 0;
	if (!group)
		return 1;
	n = BPF_CORE_READ(group, num_socks);
	if (n > GROUP_MAX)
		return 0;
	search.socks = (const void *)group + bpf_core_field_offset(struct sock_reuseport, socks);
	bpf_loop(n, judge_member, &search, 0);
	return !search.strangers;
}

/* Is the selected socket permitted? If not, none stays selected. */
static __always_inline bool keep_permitted(struct bpf_sk_lookup *ctx, __u32 permit)
{
	struct bpf_sock *sk;

	if (!permit)
		return true;
	sk = ctx->sk;
	if (sk && permits_group(address_of(sk), permit))
		return true;
	bpf_sk_assign(ctx, NULL, BPF_SK_LOOKUP_F_REPLACE);
	return false;
}

/*
 * The answers of a tunnel need the flow. A look-up that no packet came with leaves none
 * (bpf/token.h).
 */
static __noinline int note_tunnel(struct bpf_sk_lookup *ctx, const struct lookup *l, __u16 port)
{
	struct bpf_sock *sk = ctx->sk;

	if (l->dialled.protocol != IPPROTO_UDP || l->dry || l->unproven)
		return 0;
	if (sk && is_tunnel(sk))
		remember_tunnel(l, port, l->interface);
	return 0;
}

/*
 * Asks the kernel for the destination's listener. Not inlined: what it has on the stack is not to
 * be there while permits_group looks, as all frames together have 512 bytes.
 */
static __noinline long ask_destination(struct bpf_sk_lookup *ctx, const struct lookup *l,
				       const struct ilm_destination *d)
{
	struct ilm_endpoint endpoint;

	endpoint_of_destination(&endpoint, l, d);
	return ask_kernel(ctx, l, &endpoint, ILM_LISTENER_EXACT | (l->dry ? ILM_LISTENER_NO_REUSEPORT : 0));
}

static __always_inline __u8 try_destination(struct bpf_sk_lookup *ctx, const struct lookup *l,
					    const struct ilm_destination *d, __u32 rule_permit)
{
	long err = ask_destination(ctx, l, d);

	if (!err) {
		if (!keep_permitted(ctx, permit_there(d, rule_permit)))
			return ILM_ATTEMPT_ABSENT;
		note_tunnel(ctx, l, port_of_destination(l, d));
		return ILM_ATTEMPT_SELECTED;
	}
	if (err == -ENOENT)
		return ILM_ATTEMPT_ABSENT;
	return err == -EAFNOSUPPORT ? ILM_ATTEMPT_WRONG_FAMILY : ILM_ATTEMPT_FAILED;
}

/* Which sockets of that kind (ILM_LISTENER_*) would get the packet from the kernel. */
static __noinline enum heirs ask_heirs(struct bpf_sk_lookup *ctx, const struct lookup *l, __u16 kind, __u32 permit)
{
	if (!permit)
		return ask_kernel(ctx, l, &l->dialled, kind | ILM_LISTENER_TEST) ? NO_HEIRS : WELCOME_HEIRS;
	if (ask_kernel(ctx, l, &l->dialled, kind | ILM_LISTENER_NO_REUSEPORT))
		return NO_HEIRS;
	if (!keep_permitted(ctx, permit))
		return STRANGE_HEIRS;
	bpf_sk_assign(ctx, NULL, BPF_SK_LOOKUP_F_REPLACE);
	return WELCOME_HEIRS;
}

static __always_inline bool listens(struct bpf_sk_lookup *ctx, const struct lookup *l, __u8 existing, __u32 permit)
{
	__u16 kind = existing == ILM_EXISTING_ANY ? ILM_LISTENER_EITHER : ILM_LISTENER_EXACT;

	return ask_heirs(ctx, l, kind, permit) == WELCOME_HEIRS;
}

static __always_inline enum heirs find_heirs(struct bpf_sk_lookup *ctx, const struct lookup *l, __u32 permit)
{
	return ask_heirs(ctx, l, ILM_LISTENER_EITHER, permit);
}

/* This engine has only one way. */
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
