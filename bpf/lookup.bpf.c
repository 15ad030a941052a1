// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The decision. Runs for each new TCP connection and each datagram that no connected socket takes, after the established
 * table and before the kernel's own look at its listeners (net/ipv4/inet_hashtables.c, __inet_lookup_listener;
 * net/ipv4/udp.c, __udp4_lib_lookup), so "already listening" has to be tested here.
 * Datagrams and MPTCP connections come here only when ingress (bpf/steer.bpf.c) found nobody to give them to, or did not
 * see them: reassembled fragments, ICMP errors, interfaces on which it is not.
 */
#include "decide.h"
#include "../kmod/ilm_lookup.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Of the module. Weak, so that this object can be read without it; only ilm_lookup_kfunc below calls it. A program of its own
 * and not a constant: a call that the verifier removes would hold the module all the same (kernel/bpf/verifier.c,
 * add_kfunc_call). Nor bpf_ksym_exists(), which libbpf before 1.2 cannot load for a module's function.
 */
extern int bpf_sk_lookup_assign_listener(struct bpf_sk_lookup *ctx, const void *query, __u32 query__sz) __ksym __weak;

/* Where the packet comes from; in a test run of `explain`, what it asks for. */
static __always_inline void fill_remote(struct bpf_sk_lookup *ctx, struct lookup *l)
{
	l->remote_port = bpf_ntohs(ctx->remote_port);
	address_from_context(l->remote, l->family, ctx->remote_ip4, ctx->remote_ip6);
	if (!l->remote_port) {
		__u32 key = 0;
		struct ilm_question *q = bpf_map_lookup_elem(&question, &key);

		if (q && q->asked) {
			l->dry = 1;
			l->interface = q->interface;
			l->remote_port = q->remote_port;
		}
	}
}

/* Is this a look-up that the ingress program makes? It only wants to know what the kernel has without us. */
static __always_inline bool called_by_ingress(void)
{
	__u32 key = 0;
	struct ilm_steering *s = bpf_map_lookup_elem(&steering, &key);

	return s && s->looking;
}

/* Somebody listens on the endpoint, and takes the packet, whom only ingress can select. */
static __always_inline bool is_steered(const struct lookup *l, const struct ilm_endpoint *endpoint)
{
	struct ilm_presence p = listeners_at(endpoint, l->interface);

	/* The IPv6 wildcard, with sockets that all take no IPv4. */
	if (l->family == AF_INET && !endpoint->address[2] && p.sockets <= p.v6only)
		return false;
	return endpoint->protocol == IPPROTO_UDP ? p.sockets : p.steered;
}

static __always_inline __u8 assign(struct bpf_sk_lookup *ctx, struct bpf_sock *sk, __u32 interface, bool dry)
{
	long err;

	/* The kernel does not look at that for us. Primary sockets are bound to no device, unless that came later. */
	if (sk->bound_dev_if && sk->bound_dev_if != interface) {
		bpf_sk_release(sk);
		return ILM_ATTEMPT_ABSENT;
	}
	/*
	 * Inside a SO_REUSEPORT group the kernel selects again, and asks the group's own program if it has one. Without a packet it
	 * cannot, and says EOPNOTSUPP (net/bpf/test_run.c).
	 */
	err = bpf_sk_assign(ctx, sk, dry ? BPF_SK_LOOKUP_F_NO_REUSEPORT : 0);
	bpf_sk_release(sk);
	if (!err)
		return ILM_ATTEMPT_SELECTED;
	/* net/core/filter.c, bpf_sk_lookup_assign: an IPv4 packet and an IPv6-only socket, or an IPv6 packet and IPv4. */
	return err == -EAFNOSUPPORT ? ILM_ATTEMPT_WRONG_FAMILY : ILM_ATTEMPT_FAILED;
}

/* The kernel's own search: nothing has to be registered, and MPTCP's listeners and UDP sockets are selected here too. */
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

static __always_inline __u8 assign_by_kernel(struct bpf_sk_lookup *ctx, const struct lookup *l,
					     const struct ilm_endpoint *endpoint)
{
	long err = ask_kernel(ctx, l, endpoint, ILM_LISTENER_EXACT | (l->dry ? ILM_LISTENER_NO_REUSEPORT : 0));

	if (!err)
		return ILM_ATTEMPT_SELECTED;
	if (err == -ENOENT)
		return ILM_ATTEMPT_ABSENT;
	return err == -EAFNOSUPPORT ? ILM_ATTEMPT_WRONG_FAMILY : ILM_ATTEMPT_FAILED;
}

static __always_inline bool listens(struct bpf_sk_lookup *ctx, const struct lookup *l, __u8 existing, const bool kfunc)
{
	__u16 kind = existing == ILM_EXISTING_ANY ? ILM_LISTENER_EITHER : ILM_LISTENER_EXACT;

	if (kfunc)
		return !ask_kernel(ctx, l, &l->dialled, kind | ILM_LISTENER_TEST);
	return already_listening(l, existing);
}

struct member_search {
	struct bpf_sk_lookup *ctx;
	struct ilm_member member;
	__u32 device;		/* only sockets that are bound to it; 0: to none */
	__u8 outcome;
	bool dry;
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
	search->outcome = assign(search->ctx, sk, search->device, search->dry);
	return search->outcome == ILM_ATTEMPT_SELECTED;
}

/*
 * A destination whose primary socket is gone, or that has none: whoever else listens there. bpf_loop, because the verifier
 * would walk every round of a plain loop.
 */
static __noinline __u8 try_members(struct bpf_sk_lookup *ctx, const struct ilm_endpoint *endpoint, __u32 device, bool dry)
{
	struct member_search search = { .ctx = ctx, .member.endpoint = *endpoint, .device = device,
		.outcome = ILM_ATTEMPT_ABSENT, .dry = dry };
	struct ilm_place place = { .endpoint = *endpoint, .device = device };
	struct ilm_presence *p = bpf_map_lookup_elem(&presence, &place);

	if (!p || !p->sockets)
		return ILM_ATTEMPT_ABSENT;
	bpf_loop(ILM_MEMBERS_MAX, try_member, &search, 0);
	return search.outcome;
}

/* A global function: the verifier looks at it once, and not once for each round of the caller's loop. */
__noinline int try_destination(struct bpf_sk_lookup *ctx, const struct lookup *l, const struct ilm_endpoint *wanted,
			       __u32 slot)
{
	__u8 outcome = ILM_ATTEMPT_ABSENT;
	struct ilm_endpoint endpoint;
	struct bpf_sock *sk;

	/* Never so; the verifier wants it said. */
	if (!l || !wanted)
		return ILM_ATTEMPT_FAILED;
	/* A copy: 6.1 takes a map's key from the stack only, and not from an argument. */
	endpoint = *wanted;
	if (constants.steer_udp && endpoint.protocol == IPPROTO_UDP)
		return is_steered(l, &endpoint) ? ILM_ATTEMPT_STEERED : ILM_ATTEMPT_ABSENT;
	/* As the kernel does: who is bound to the device goes before who is bound to none. */
	if (any_on_device() && l->interface &&
	    try_members(ctx, &endpoint, l->interface, l->dry) == ILM_ATTEMPT_SELECTED)
		return ILM_ATTEMPT_SELECTED;
	if (is_closed_vrf(endpoint.protocol, l->interface))
		return is_steered(l, &endpoint) ? ILM_ATTEMPT_STEERED : ILM_ATTEMPT_ABSENT;
	if (slot == ILM_SLOT_NONE) {
		/* A destination on every port; another mapping may have given this very port a place. */
		struct ilm_slot *own = bpf_map_lookup_elem(&slots, &endpoint);

		if (own)
			slot = own->index;
	}
	if (slot != ILM_SLOT_NONE) {
		sk = bpf_map_lookup_elem(&primary, &slot);
		if (sk)
			outcome = assign(ctx, sk, l->interface, l->dry);
	}
	if (outcome != ILM_ATTEMPT_SELECTED) {
		__u8 other = try_members(ctx, &endpoint, 0, l->dry);

		if (other != ILM_ATTEMPT_ABSENT)
			outcome = other;
		else if (outcome == ILM_ATTEMPT_ABSENT && is_steered(l, &endpoint))
			outcome = ILM_ATTEMPT_STEERED;
	}
	return outcome;
}

/* The first destination with a listener that can take the packet: 1 when there is one. */
static __always_inline int choose_by(struct bpf_sk_lookup *ctx, struct lookup *l, const struct ilm_rule *rule,
				     const bool kfunc)
{
	__u32 first, n;
	__u64 floor = 0;
	bool weighted;

	n = l->family == AF_INET ? rule->count4 : rule->count6;
	first = l->family == AF_INET ? rule->first4 : rule->first6;
	weighted = rule->weighted;
	for (__u32 round = 0; round < ILM_DESTINATIONS_MAX && round < n; round++) {
		struct ilm_endpoint endpoint = { .protocol = l->dialled.protocol };
		__u32 i = weighted ? next_weighted(l, first, n, &floor) : round;
		struct ilm_destination *d;
		__u32 index = first + i;
		__u8 outcome;

		if (i >= n)
			break;

		d = bpf_map_lookup_elem(&destinations, &index);
		if (!d)
			break;
		address_copy(endpoint.address, d->address);
		endpoint.port = d->port ? d->port : l->dialled.port;
		outcome = kfunc ? assign_by_kernel(ctx, l, &endpoint) :
			try_destination(ctx, l, &endpoint, d->slot);
		l->attempts[i & (ILM_DESTINATIONS_MAX - 1)] = outcome;
		if (outcome == ILM_ATTEMPT_FAILED)
			l->failed++;
		if (outcome == ILM_ATTEMPT_STEERED && !l->dry) {
			/*
			 * A look-up that cannot be given the socket. With UDP mostly no packet at all: GRO looks before ingress where
			 * the host has tunnels (net/ipv4/udp_offload.c, udp4_gro_receive), and fragments ingress has counted.
			 */
			if (endpoint.protocol == IPPROTO_UDP) {
				l->unanswerable = true;
				return 0;
			}
			count_fault(unsteered);
		}
		if (outcome != ILM_ATTEMPT_SELECTED && !(outcome == ILM_ATTEMPT_STEERED && l->dry))
			continue;
		l->verdict = ILM_VERDICT_SELECTED;
		l->selected = i;
		if (!l->dry && endpoint.protocol == IPPROTO_UDP) {
			fill_remote(ctx, l);
			remember(l, &endpoint);
		}
		return 1;
	}
	return 0;
}

/*
 * Global functions, which the verifier looks at once: inlined into each way that leads here, the loop would be walked for each
 * of them. Nothing is ever NULL; the verifier wants it said.
 */
__noinline int choose(struct bpf_sk_lookup *ctx, struct lookup *l, const struct ilm_rule *rule)
{
	return l && rule ? choose_by(ctx, l, rule, false) : 0;
}

__noinline int choose_kfunc(struct bpf_sk_lookup *ctx, struct lookup *l, const struct ilm_rule *rule)
{
	return l && rule ? choose_by(ctx, l, rule, true) : 0;
}

/*
 * Nearly every hit: TCP, the first destination is the one, it has a place in `primary`, and nobody is bound to a device.
 * What choose() does, without its calls and loops. False: choose() is to have a look.
 */
static __always_inline bool choose_first(struct bpf_sk_lookup *ctx, struct lookup *l, const struct ilm_rule *rule)
{
	__u32 first = l->family == AF_INET ? rule->first4 : rule->first6;
	__u32 n = l->family == AF_INET ? rule->count4 : rule->count6;
	struct ilm_destination *d;
	struct bpf_sock *sk;
	__u32 slot;

	if (!n || rule->weighted || l->dialled.protocol != IPPROTO_TCP || any_on_device())
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
	l->attempts[0] = ILM_ATTEMPT_SELECTED;
	return true;
}

static __always_inline int decide(struct bpf_sk_lookup *ctx, struct lookup *l, __u32 class, const bool kfunc)
{
	struct ilm_counters *c;
	struct ilm_rule *rule;
	__u32 number;

	number = find_rule(class, l);
	if (!number)
		return SK_PASS;
	/* Both are there: the rules and their maps are made together. The verifier wants it said. */
	rule = bpf_map_lookup_elem(&rules, &number);
	if (!rule)
		return SK_PASS;
	l->mapping = rule->mapping;
	c = bpf_map_lookup_elem(&counters, &rule->counter);
	if (!c)
		return SK_PASS;

	if (rule->existing != ILM_EXISTING_NEVER && listens(ctx, l, rule->existing, kfunc)) {
		l->verdict = ILM_VERDICT_EXISTING;
		if (!l->dry)
			c->existing++;
		return SK_PASS;
	}

	if (!kfunc && choose_first(ctx, l, rule)) {
		if (!l->dry)
			c->selected++;
		return SK_PASS;
	}
	if (rule->weighted && !(class & ILM_CLASS_ASKS))
		fill_remote(ctx, l);
	if (kfunc ? choose_kfunc(ctx, l, rule) : choose(ctx, l, rule)) {
		if (!l->dry) {
			c->selected++;
			c->errors += l->failed;
		}
		return SK_PASS;
	}

	if (l->unanswerable)
		return SK_PASS;
	l->verdict = rule->reject ? ILM_VERDICT_REJECTED : ILM_VERDICT_MISSED;
	if (!l->dry) {
		c->missed++;
		c->errors += l->failed;
	}
	return rule->reject ? SK_DROP : SK_PASS;
}

static __always_inline int look_up(struct bpf_sk_lookup *ctx, const bool kfunc)
{
	__u32 port = ctx->local_port;
	__u32 protocol = ctx->protocol;
	__u32 key = port_key(protocol, port);
	__u32 *class = bpf_map_lookup_elem(&ports, &key);
	struct lookup l;
	int verdict = SK_PASS;

	/* All other traffic of the machine leaves here. */
	if (!class || (!*class && ctx->remote_port))
		return SK_PASS;
	if (called_by_ingress())
		return SK_PASS;

	/* All of it, padding too: it is handed to functions that the verifier looks at by themselves. */
	__builtin_memset(&l, 0, sizeof(l));
	l.mapping = ILM_MAPPING_NONE;
	l.dialled.port = port;
	l.dialled.protocol = protocol;
	l.family = ctx->family;
	address_from_context(l.dialled.address, l.family, ctx->local_ip4, ctx->local_ip6);
	l.interface = ctx->ingress_ifindex;
	/* Port 0: nobody's, or a test run's. */
	if (*class & ILM_CLASS_ASKS || !ctx->remote_port)
		fill_remote(ctx, &l);
	if (*class)
		verdict = decide(ctx, &l, *class, kfunc);
	if (l.dry) {
		report(&l);
	} else if (*class && !l.unanswerable && watched()) {
		fill_remote(ctx, &l);
		report(&l);
	}
	return verdict;
}

/* One of the two is loaded. */
SEC("?sk_lookup")
int ilm_lookup(struct bpf_sk_lookup *ctx)
{
	return look_up(ctx, false);
}

SEC("?sk_lookup")
int ilm_lookup_kfunc(struct bpf_sk_lookup *ctx)
{
	return look_up(ctx, true);
}
