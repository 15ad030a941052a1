/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decision. Runs for each new TCP connection, and for each datagram that no connected socket
 * takes, after the established table and before the kernel searches its listeners
 * (net/ipv4/inet_hashtables.c, __inet_lookup_listener; net/ipv4/udp.c, __udp4_lib_lookup), so
 * "already listening" has to be tested here. Datagrams and MPTCP connections come here when ingress
 * (bpf/steer.bpf.c) left them to us, for a socket in a sockmap; when it found no socket for them;
 * or when they lost their socket on the way. The kernel also runs sk_lookup without a packet: see
 * take_token().
 *
 * The including file is an engine. Before it includes this, it defines how listeners are found:
 *
 *	listens(ctx, l, existing, permit)
 *		does a socket that the permit permits already listen on what was dialled?
 *	find_heirs(ctx, l, permit)
 *		who would get the packet from the kernel
 *	try_destination(ctx, l, destination, rule_permit)
 *		gives the packet to a permitted listener on the destination: ILM_ATTEMPT_*
 *	choose_first(ctx, l, rule)
 *		the same for the first destination, where there is a short way; otherwise false
 */
#ifndef ILM_BPF_LOOKUP_H
#define ILM_BPF_LOOKUP_H

#include "decide.h"
#include "flow.h"
#include "refusal.h"
#include "softirq.h"

/* Fills in where the packet comes from; in a test run of `explain`, what `explain` asks about. */
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
			l->nat = q->nat;
		}
	}
}

/* Is this a look-up by the ingress program? It only asks what the kernel has without us. */
static __always_inline bool called_by_ingress(void)
{
	__u32 key = 0;
	struct ilm_steering *s = bpf_map_lookup_elem(&steering, &key);

	return s && s->looking;
}

/* Is this an answer to a client on this host? The kernel has that client's socket. */
static __always_inline bool is_answer(const struct lookup *l)
{
	return l->dialled.protocol == IPPROTO_UDP && !l->dry && was_asked(l->remote, l->remote_port, l->dialled.port);
}

/*
 * Did ingress just see this datagram, on this CPU? A look-up by nftables' `socket` on the way takes
 * the token too, for the packet that it is made for. Without ingress, nothing distinguishes these
 * look-ups.
 */
static __always_inline void take_token(struct lookup *l)
{
	__u32 hash = token_hash(l);
	struct ilm_token *token = token_at(hash);

	l->unproven = !token || token->hash != hash || !token->packets;
	if (l->unproven)
		return;
	token->packets--;
	l->existing = token->holder == ILM_HOLDER_EXISTING;
	l->strangers = token->holder == ILM_HOLDER_STRANGER;
	l->heir = token->holder == ILM_HOLDER_HEIR;
}

/*
 * Refuses a packet whose listener only ingress can select. Ingress could not: it did not see the
 * datagram whole, or NAT or reassembly took the socket away.
 */
static __noinline int refuse(struct lookup *l, const struct ilm_destination *d)
{
	struct ilm_endpoint endpoint;

	l->undeliverable = true;
	l->failed++;
	if (l->unproven || l->dry)
		return 0;
	count_fault(unsteered);
	endpoint_of_destination(&endpoint, l, d);
	want(&endpoint);
	return 0;
}

/*
 * Selects the first destination with a listener that can take the packet; returns 1 if there is
 * one. A global function, so the verifier walks it once; inlined, it would walk the loop for each
 * path that leads here.
 */
__noinline int choose(struct bpf_sk_lookup *ctx, struct lookup *l, const struct ilm_rule *rule)
{
	__u32 first, n;
	__u64 floor = 0;
	bool weighted;

	/* Never NULL; the verifier requires the check. */
	if (!l || !rule)
		return 0;
	n = l->family == AF_INET ? rule->count4 : rule->count6;
	first = l->family == AF_INET ? rule->first4 : rule->first6;
	weighted = rule->choice & ILM_CHOICE_WEIGHTED;
	for (__u32 round = 0; round < ILM_DESTINATIONS_MAX && round < n; round++) {
		__u32 i = weighted ? next_weighted(l, first, n, &floor) : round;
		struct ilm_destination *d;
		__u32 index = first + i;
		__u8 outcome;

		if (i >= n)
			break;

		d = bpf_map_lookup_elem(&destinations, &index);
		if (!d)
			break;
		if (passes_on(l, d)) {
			l->attempts[i & (ILM_DESTINATIONS_MAX - 1)] = ILM_ATTEMPT_DRAINED;
			continue;
		}
		outcome = try_destination(ctx, l, d, rule->permit);
		l->attempts[i & (ILM_DESTINATIONS_MAX - 1)] = outcome;
		if (outcome == ILM_ATTEMPT_FAILED)
			l->failed++;
		if (outcome == ILM_ATTEMPT_STEERED && (!l->dry || l->nat)) {
			if (l->dialled.protocol == IPPROTO_UDP)
				return refuse(l, d);
			if (!l->dry)
				count_fault(unsteered);
			continue;
		}
		if (outcome != ILM_ATTEMPT_SELECTED && outcome != ILM_ATTEMPT_STEERED)
			continue;
		l->verdict = ILM_VERDICT_SELECTED;
		l->selected = i;
		l->share = d->share;
		return 1;
	}
	return 0;
}

/* Records a packet that only strangers would get, for the log and for `audit`. */
static __always_inline void note_strangers(const struct lookup *l)
{
	struct ilm_identity identity = {};

	if (!l->dry && !l->unproven)
		note_refusal(&l->dialled, &identity, ILM_REASON_LOOKUP, false);
}

/* A service's own address was dialled: its daemon answers there, or nothing does. */
static __always_inline int leave_owned(struct bpf_sk_lookup *ctx, struct lookup *l)
{
	__u32 permit = permit_of_owned(&l->dialled);

	if (!permit || (!l->strangers && find_heirs(ctx, l, permit) != STRANGE_HEIRS)) {
		l->strangers = false;
		return SK_PASS;
	}
	l->strangers = true;
	note_strangers(l);
	return SK_DROP;
}

static __always_inline int decide(struct bpf_sk_lookup *ctx, struct lookup *l, __u32 class)
{
	struct ilm_counters *c;
	struct ilm_rule *rule;
	bool counted, held, reject, refuses = false;
	enum heirs heirs;
	__u32 number, permit;

	number = find_rule(class, l);
	if (!number)
		return l->matched == ILM_MATCHED_OWNED ? leave_owned(ctx, l) : SK_PASS;
	/*
	 * Never NULL, nor are the counters: rules and their maps are created together. The verifier
	 * requires the checks.
	 */
	rule = bpf_map_lookup_elem(&rules, &number);
	if (!rule)
		return SK_PASS;
	c = counters_of(l->counter);
	if (!c)
		return SK_PASS;

	permit = permit_of(rule, &l->dialled);
	counted = !l->dry && !l->unproven;
	/* Reported with the decision only if strangers are the reason for it. */
	held = l->strangers;
	l->strangers = false;
	if (l->existing || (rule->existing != ILM_EXISTING_NEVER && !held &&
			    (listens(ctx, l, rule->existing, permit) || is_answer(l)))) {
		l->verdict = ILM_VERDICT_EXISTING;
		if (counted)
			add_to(&c->existing, 1);
		return SK_PASS;
	}

	if (choose_first(ctx, l, rule)) {
		if (counted)
			count_selected(c, l->counter, l->share);
		return SK_PASS;
	}
	if (rule->choice & ILM_CHOICE_WEIGHTED && !(class & ILM_CLASS_ASKS))
		fill_remote(ctx, l);
	if (choose(ctx, l, rule)) {
		if (counted) {
			count_selected(c, l->counter, l->share);
			add_to(&c->errors, l->failed);
		}
		return SK_PASS;
	}

	/*
	 * Nor to a listener on the wildcard address: a listener that is not reached is not
	 * replaced.
	 */
	reject = rule->reject || l->undeliverable;
	if (!reject && permit) {
		heirs = held ? STRANGE_HEIRS : l->heir ? WELCOME_HEIRS : find_heirs(ctx, l, permit);
		l->strangers = heirs == STRANGE_HEIRS;
		/*
		 * Not all sockets are known: a listener is in the kernel's table a moment before
		 * its hook is called, and no hook is called when UDP gets a port without bind()
		 * (net/ipv4/af_inet.c, inet_autobind). To the client there is no difference.
		 */
		refuses = heirs != WELCOME_HEIRS;
	}
	if (l->strangers) {
		note_strangers(l);
		reject = true;
	}
	l->verdict = reject ? ILM_VERDICT_REJECTED : ILM_VERDICT_MISSED;
	if (counted) {
		add_to(&c->missed, 1);
		add_to(&c->errors, l->failed);
	}
	if (reject || refuses)
		return SK_DROP;
	return SK_PASS;
}

static __always_inline int look_up(struct bpf_sk_lookup *ctx)
{
	__u32 port = ctx->local_port;
	__u32 protocol = ctx->protocol;
	__u32 now = active_side();
	/* A test run of `explain` asks what would happen if ilm were on. */
	__u32 side = ctx->remote_port ? now : now & (ILM_SIDES - 1);
	__u32 *class = class_of(side, protocol, port);
	struct lookup l;
	int verdict = SK_PASS;

	/* All other traffic of the machine returns here. */
	if (!class || (!*class && ctx->remote_port))
		return SK_PASS;
	if (called_by_ingress())
		return SK_PASS;

	/* Clears all of it, padding too: functions that the verifier walks on their own get it. */
	__builtin_memset(&l, 0, sizeof(l));
	l.side = side;
	l.dialled.port = port;
	l.dialled.protocol = protocol;
	l.family = ctx->family;
	address_from_context(l.dialled.address, l.family, ctx->local_ip4, ctx->local_ip6);
	l.interface = ctx->ingress_ifindex;
	/* Port 0: no client's, or a test run's. */
	if (*class & ILM_CLASS_ASKS || !ctx->remote_port || protocol == IPPROTO_UDP)
		fill_remote(ctx, &l);
	if (now & ILM_OFF && !l.dry)
		return SK_PASS;
	if (*class && !l.dry) {
		if (protocol == IPPROTO_UDP && constants.steer_udp)
			take_token(&l);
		else
			/* Every packet came in on an interface; a process need not name one. */
			l.unproven = !l.interface || !receives();
	}
	if (*class)
		verdict = decide(ctx, &l, *class);
	if (l.dry) {
		report(&l, NULL);
	} else if (*class && !l.unproven && watched()) {
		fill_remote(ctx, &l);
		report(&l, NULL);
	}
	return verdict;
}

#endif
