// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The engine that finds listeners in the registry (bpf/maps.h), as sock_ops, post_bind and the
 * iterators have recorded them.
 */
#include "bind.h"
#include "decide.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline bool listens(struct bpf_sk_lookup *ctx, const struct lookup *l, __u8 existing, __u32 permit)
{
	return already_listening(l, existing, permit);
}

/* Who gets the packet if we leave it to the kernel. Not static: the verifier walks it once. */
__noinline int counted_heirs(const struct lookup *l, __u32 permit)
{
	enum heirs found;

	/* Never NULL; the verifier requires the check. */
	if (!l)
		return NO_HEIRS;
	found = exact_heirs(l, permit);
	return found ? found : wildcard_heirs(l, permit);
}

static __always_inline enum heirs find_heirs(struct bpf_sk_lookup *ctx, const struct lookup *l, __u32 permit)
{
	return counted_heirs(l, permit);
}

/* Is there a listener on the endpoint that takes the packet and that only ingress can select? */
static __always_inline bool is_steered(const struct lookup *l, const struct ilm_endpoint *endpoint, __u32 permit)
{
	struct listeners p = listeners_at(endpoint, l->interface);

	/* The IPv6 wildcard, with sockets none of which takes IPv4. */
	if (l->family == AF_INET && !endpoint->address[2] && p.sockets <= p.v6only)
		return false;
	/*
	 * A socket that is counted but was not found may just have been put into the map, after we
	 * looked there. Its datagrams go to no other socket; a connection may, because there is no
	 * listener until listen() returns.
	 */
	if (endpoint->protocol == IPPROTO_UDP)
		return p.sockets && permits_some(endpoint, l->interface, permit);
	return p.sockets > p.placed && any_steered_tcp() && permits_some(endpoint, l->interface, permit);
}

/* Selects the socket. `alone`: not another one of its SO_REUSEPORT group. */
static __always_inline __u8 assign(struct bpf_sk_lookup *ctx, struct bpf_sock *sk, __u32 interface, bool alone)
{
	long err;

	/*
	 * The kernel does not check this for us. Primary sockets are bound to no device, unless
	 * they were bound to one later.
	 */
	if (sk->bound_dev_if && sk->bound_dev_if != interface) {
		bpf_sk_release(sk);
		return ILM_ATTEMPT_ABSENT;
	}
	/*
	 * Inside a SO_REUSEPORT group the kernel selects again, and asks the group's own program if
	 * it has one. Without a packet it cannot, and returns EOPNOTSUPP (net/bpf/test_run.c).
	 */
	err = bpf_sk_assign(ctx, sk, alone ? BPF_SK_LOOKUP_F_NO_REUSEPORT : 0);
	bpf_sk_release(sk);
	if (!err)
		return ILM_ATTEMPT_SELECTED;
	/* A UDP socket that has connected meanwhile (net/core/filter.c, bpf_sk_lookup_assign). */
	if (err == -ESOCKTNOSUPPORT)
		return ILM_ATTEMPT_ABSENT;
	/*
	 * The same for families: an IPv4 packet and an IPv6-only socket, or an IPv6 packet and an
	 * IPv4 socket.
	 */
	return err == -EAFNOSUPPORT ? ILM_ATTEMPT_WRONG_FAMILY : ILM_ATTEMPT_FAILED;
}

struct member_search {
	struct bpf_sk_lookup *ctx;
	struct ilm_member member;
	__u32 device;		/* only sockets that are bound to it; 0: to none */
	__u8 outcome;
	bool alone;		/* as in assign() */
};

static long try_member(__u32 number, struct member_search *search)
{
	struct bpf_sock *sk;

	search->member.number = number;
	sk = bpf_map_lookup_elem(&members, &search->member);
	if (!sk)
		return 0;
	if (sk->bound_dev_if != search->device) {
		bpf_sk_release(sk);
		return 0;
	}
	search->outcome = assign(search->ctx, sk, search->device, search->alone);
	return search->outcome == ILM_ATTEMPT_SELECTED;
}

/*
 * Tries the other listeners of a destination that has no primary socket, or whose primary socket
 * has closed. bpf_loop, because the verifier would walk every round of a plain loop.
 */
static __noinline __u8 try_members(struct bpf_sk_lookup *ctx, const struct ilm_endpoint *endpoint, __u32 device, bool alone)
{
	struct member_search search = { .ctx = ctx, .member.endpoint = *endpoint, .device = device,
		.outcome = ILM_ATTEMPT_ABSENT, .alone = alone };
	struct ilm_place place = { .endpoint = *endpoint, .device = device };
	struct ilm_presence *p = bpf_map_lookup_elem(&presence, &place);

	if (!p || !p->sockets)
		return ILM_ATTEMPT_ABSENT;
	bpf_loop(ILM_MEMBERS_MAX, try_member, &search, 0);
	return search.outcome;
}

/* A global function: the verifier walks it once, not once for each round of the caller's loop. */
__noinline int try_destination(struct bpf_sk_lookup *ctx, const struct lookup *l, const struct ilm_destination *d,
			       __u32 rule_permit)
{
	__u8 outcome = ILM_ATTEMPT_ABSENT;
	struct ilm_endpoint endpoint;
	struct bpf_sock *sk;
	__u32 slot, permit;
	bool alone;

	/* Never NULL; the verifier requires the check. */
	if (!l || !d)
		return ILM_ATTEMPT_FAILED;
	slot = d->slot;
	permit = permit_there(d, rule_permit);
	endpoint_of_destination(&endpoint, l, d);
	/*
	 * A SO_REUSEPORT group may contain other sockets of the same user; those in our maps are
	 * permitted.
	 */
	alone = l->dry || (any_irregular() && !permits_all(&endpoint, l->interface, permit));
	/*
	 * Our maps have every listener on a wildcard address: there, each rule has its own permit.
	 */
	if (permit && address_is_wildcard(endpoint.address) &&
	    !permits_all(&endpoint, l->interface, permit))
		return ILM_ATTEMPT_ABSENT;
	/*
	 * As in the kernel, a socket bound to the device takes precedence over one bound to none.
	 */
	if (any_irregular() && l->interface &&
	    try_members(ctx, &endpoint, l->interface, alone) == ILM_ATTEMPT_SELECTED)
		return ILM_ATTEMPT_SELECTED;
	if (is_closed_vrf(endpoint.protocol, l->interface))
		return is_steered(l, &endpoint, permit) ? ILM_ATTEMPT_STEERED : ILM_ATTEMPT_ABSENT;
	if (slot == ILM_SLOT_NONE) {
		/*
		 * A destination on every port; another mapping may have given this very port a
		 * place.
		 */
		struct ilm_slot *own = bpf_map_lookup_elem(&slots, &endpoint);

		if (own)
			slot = own->index;
	}
	if (slot != ILM_SLOT_NONE) {
		sk = bpf_map_lookup_elem(&primary, &slot);
		if (sk)
			outcome = assign(ctx, sk, l->interface, alone);
	}
	if (outcome != ILM_ATTEMPT_SELECTED) {
		__u8 other = try_members(ctx, &endpoint, 0, alone);

		if (other != ILM_ATTEMPT_ABSENT)
			outcome = other;
		else if (outcome == ILM_ATTEMPT_ABSENT && is_steered(l, &endpoint, permit))
			outcome = ILM_ATTEMPT_STEERED;
	}
	return outcome;
}

/*
 * Handles nearly every hit: TCP, the first destination is the one, it has a place in `primary`, and
 * no socket there is bound to a device or may be a stranger's. Does what choose() does, without its
 * calls and loops. False: choose() has to look.
 */
static __always_inline bool choose_first(struct bpf_sk_lookup *ctx, struct lookup *l, const struct ilm_rule *rule)
{
	__u32 first = l->family == AF_INET ? rule->first4 : rule->first6;
	__u32 n = l->family == AF_INET ? rule->count4 : rule->count6;
	struct ilm_destination *d;
	struct bpf_sock *sk;
	__u32 slot;

	if (!n || rule->choice || l->dialled.protocol != IPPROTO_TCP || any_irregular())
		return false;
	/* Each rule has its own permit there. */
	if (rule->wildcard && rule->permit)
		return false;
	if (is_closed_vrf(IPPROTO_TCP, l->interface))
		return false;
	d = bpf_map_lookup_elem(&destinations, &first);
	if (!d)
		return false;
	slot = d->slot;
	sk = bpf_map_lookup_elem(&primary, &slot);
	if (!sk || assign(ctx, sk, l->interface, l->dry) != ILM_ATTEMPT_SELECTED)
		return false;
	l->verdict = ILM_VERDICT_SELECTED;
	l->selected = 0;
	l->share = d->share;
	l->attempts[0] = ILM_ATTEMPT_SELECTED;
	return true;
}

#include "lookup.h"

/* Not loaded where only the tables are needed. */
SEC("?sk_lookup")
int ilm_lookup(struct bpf_sk_lookup *ctx)
{
	return look_up(ctx);
}
