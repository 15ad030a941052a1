/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The guard refuses a bind() to an address that belongs to somebody else, so that the process
 * learns of it at once. This is a courtesy, not protection: sockets that get their port without
 * bind() pass no hook (net/ipv4/af_inet.c, inet_autobind, inet_listen), and others were bound
 * earlier. The look-up protects.
 *
 * Never refused: port 0, and ports that the kernel assigns to clients, which clients may also
 * choose, unless a mapping leads to just that address and port. An owner needs no privilege for a
 * low port on its own address (net/ipv4/af_inet.c, __inet_bind, BIND_NO_CAP_NET_BIND_SERVICE).
 *
 * Only the rules know whether a dialled address is of concern: a program of their set (bpf/bind.h),
 * which this one calls, asks them.
 */
#ifndef ILM_GUARD_H
#define ILM_GUARD_H

#include "hooks.h"
#include "permit.h"
#include "refusal.h"
#include "rewrite.h"

#define EACCES 13
/*
 * What a bind hook returns: bit 0 lets the call proceed, bit 1 even without CAP_NET_BIND_SERVICE.
 */
#define BIND_REFUSED 0
#define BIND_ALLOWED 1
#define BIND_PRIVILEGED 3

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Since Linux 6.8: the last port above the first. */
struct local_ports {
	__u32 range;
};

struct netns_ipv4 {
	struct local_ports ip_local_ports;
	int sysctl_ip_prot_sock;
};

struct net___ports {
	struct netns_ipv4 ipv4;
};

struct local_ports___6_7 {
	int range[2];
};

struct netns_ipv4___6_7 {
	struct local_ports___6_7 ip_local_ports;
};

struct net___6_7 {
	struct netns_ipv4___6_7 ipv4;
};

#pragma clang attribute pop

/*
 * Does the kernel assign the port to clients (net.ipv4.ip_local_port_range)? If the range cannot be
 * read, the default applies.
 */
static __always_inline bool is_ephemeral(const struct net *net, __u16 port)
{
	const struct net___6_7 *old = (const void *)net;
	const struct net___ports *now = (const void *)net;
	__u32 first = 32768, last = 60999;

	if (bpf_core_field_exists(now->ipv4.ip_local_ports.range)) {
		__u32 range = BPF_CORE_READ(now, ipv4.ip_local_ports.range);

		first = range & 0xffff;
		last = range >> 16;
	} else if (bpf_core_field_exists(old->ipv4.ip_local_ports.range)) {
		first = BPF_CORE_READ(old, ipv4.ip_local_ports.range[0]);
		last = BPF_CORE_READ(old, ipv4.ip_local_ports.range[1]);
	}
	return port >= first && port <= last;
}

/*
 * Notes that a port no longer requires privilege: from now on anybody may bind it. If it requires
 * privilege again, the next change of the rules notes that.
 */
static __always_inline void note_unprivileged(const struct net *net, __u16 port)
{
	const struct net___ports *now = (const void *)net;
	__u32 key = 0, start = 0;
	__u32 *first = bpf_map_lookup_elem(&unprivileged, &key);

	if (!first || port >= *first)
		return;
	if (bpf_core_field_exists(now->ipv4.sysctl_ip_prot_sock))
		start = BPF_CORE_READ(now, ipv4.sysctl_ip_prot_sock);
	if (start < *first)
		*first = start;
}

/* The policy for processes of a unit, a user or a group; 0: none. */
static __always_inline __u32 policy_of(__u32 kind, __u64 value)
{
	struct ilm_policy_key key = { .value = value, .kind = kind };
	__u32 *policy = bpf_map_lookup_elem(&policies, &key);

	return policy ? *policy : 0;
}

/*
 * The policy for the identity: that of its unit, user or group, in that order, or else that for
 * all.
 */
static __always_inline __u32 find_policy(const struct ilm_identity *identity, __u32 mask)
{
	__u32 policy = identity->unit ? policy_of(ILM_POLICY_UNIT, identity->unit) & mask : 0;

	if (!policy)
		policy = policy_of(ILM_POLICY_USER, identity->uid) & mask;
	if (!policy)
		policy = policy_of(ILM_POLICY_GROUP, identity->gid) & mask;
	if (!policy)
		policy = policy_of(ILM_POLICY_ALL, 0) & mask;
	return policy;
}

static __always_inline int refuse_bind(const struct ilm_endpoint *endpoint, const struct ilm_identity *identity,
				       __u32 reason)
{
	note_refusal(endpoint, identity, reason, true);
	bpf_set_retval(-EACCES);
	return BIND_REFUSED;
}

static __always_inline int guard_wildcard(const struct ilm_endpoint *endpoint, const struct ilm_identity *identity,
					  __u32 policy)
{
	switch (policy) {
	case ILM_WILDCARD_DENY:
		return refuse_bind(endpoint, identity, ILM_REASON_WILDCARD);
	case ILM_WILDCARD_REPORT:
	case ILM_WILDCARD_REWRITE:
		note_refusal(endpoint, identity, ILM_REASON_REPORTED, true);
	}
	return BIND_ALLOWED;
}

/* What a bind() is about, and what becomes of it. */
struct binding {
	struct ilm_endpoint endpoint;	/* as it was asked for, or rewritten */
	__u8 ipv6;
	__u8 v6only;
	__u8 judged;		/* the rules say what becomes of it */
	__u8 rewritten;
};

/*
 * Gives the bind() to a wildcard address another one: false where that cannot be. Of UDP only what
 * a mapping leads to: clients bind to ports of their choice, too, and receivers of groups need the
 * wildcard. Of TCP, clients get their ports from the kernel.
 */
static __always_inline bool rewrite_bind(struct bpf_sock_addr *ctx, struct binding *b,
					 const struct ilm_identity *identity, bool ephemeral)
{
	bool mapped = b->ipv6 && address_is_ip4(b->endpoint.address);
	struct ilm_endpoint to = b->endpoint;
	struct ilm_rewrite *rewrite = rewrite_of(identity);
	struct bpf_sock *sk = ctx->sk;
	struct ilm_slot *slot;
	__u32 permit;

	if (!rewrite || !sk)
		return false;
	address_copy(to.address, b->ipv6 && b->v6only ? rewrite->ip6 : rewrite->ip4);
	slot = slot_of(&to);
	if (!slot && (ephemeral || to.protocol == IPPROTO_UDP))
		return false;
	if (to.protocol == IPPROTO_UDP && receives_groups((const void *)address_of(sk), b->ipv6))
		return false;
	/* A service's unit has made the policy, and it may be that of its user only, too. */
	permit = permit_of_owned(&to);
	if (permit && !permits_identity(identity, permit))
		return false;
	remember_asked_for(sk, &to, mapped ? ILM_ASKED_MAPPED : ILM_ASKED_WILDCARD);
	b->endpoint = to;
	b->rewritten = true;
	return true;
}

/*
 * Decides a bind(), except for what the rules say about dialled addresses: if they have to be
 * asked, sets `judged`.
 */
static __always_inline int guard(struct bpf_sock_addr *ctx, struct binding *b)
{
	const struct sock *sk = (const void *)address_of(ctx->sk);
	const struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	bool ephemeral = is_ephemeral(net, b->endpoint.port);
	bool wildcard = address_is_wildcard(b->endpoint.address);
	struct ilm_slot *slot = wildcard ? NULL : slot_of(&b->endpoint);
	struct ilm_identity identity = {};
	__u32 permit, policy;

	note_unprivileged(net, b->endpoint.port);
	if (wildcard) {
		identify((__u64)sk, &identity);
		policy = find_policy(&identity, ILM_WILDCARD_MASK);
		if (policy == ILM_WILDCARD_REWRITE && rewrite_bind(ctx, b, &identity, ephemeral))
			return BIND_PRIVILEGED;
		return ephemeral ? BIND_ALLOWED : guard_wildcard(&b->endpoint, &identity, policy);
	}
	permit = permit_of_owned(&b->endpoint);
	if (permit) {
		identify((__u64)sk, &identity);
		if (permits_identity(&identity, permit))
			return BIND_PRIVILEGED;
		/* A client may send from here, but not where look-ups search for a listener. */
		if (!ephemeral || slot)
			return refuse_bind(&b->endpoint, &identity, ILM_REASON_ADDRESS);
		return BIND_ALLOWED;
	}
	/* A destination of no service, or of a service without an owner, is open to anyone. */
	if (!ephemeral && !slot)
		b->judged = is_mapped(b->endpoint.protocol, b->endpoint.port);
	return BIND_ALLOWED;
}

static __always_inline bool is_guarded(struct bpf_sock_addr *ctx)
{
	return (ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_UDP) && ctx->user_port &&
	       bpf_get_netns_cookie(ctx) == constants.netns_cookie && !is_denied();
}

SEC("cgroup/bind4")
int ilm_bind4(struct bpf_sock_addr *ctx)
{
	struct binding b = {};
	int answer;

	if (!is_guarded(ctx))
		return BIND_ALLOWED;
	b.endpoint.protocol = ctx->protocol;
	b.endpoint.port = bpf_ntohs(ctx->user_port);
	address_from_ip4(b.endpoint.address, ctx->user_ip4);
	answer = guard(ctx, &b);
	if (b.rewritten)
		ctx->user_ip4 = b.endpoint.address[3];
	if (b.judged)
		bpf_tail_call(ctx, &bind4_rules, 0);
	return answer;
}

SEC("cgroup/bind6")
int ilm_bind6(struct bpf_sock_addr *ctx)
{
	const struct sock *sk = (const void *)address_of(ctx->sk);
	struct binding b = {};
	int answer;

	if (!is_guarded(ctx))
		return BIND_ALLOWED;
	b.ipv6 = true;
	b.v6only = BPF_CORE_READ_BITFIELD_PROBED(&sk->__sk_common, skc_ipv6only);
	b.endpoint.protocol = ctx->protocol;
	b.endpoint.port = bpf_ntohs(ctx->user_port);
	ip6_copy(b.endpoint.address, ctx->user_ip6);
	answer = guard(ctx, &b);
	if (b.rewritten) {
		ip6_copy(ctx->user_ip6, b.endpoint.address);
	}
	if (b.judged)
		bpf_tail_call(ctx, &bind6_rules, 0);
	return answer;
}

/* What the socket asked for is what it is told that it has. */
static __always_inline __u8 asked_by(struct bpf_sock_addr *ctx, struct ilm_endpoint *endpoint)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk || bpf_get_netns_cookie(ctx) != constants.netns_cookie)
		return 0;
	endpoint->protocol = ctx->protocol == IPPROTO_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	endpoint->port = bpf_ntohs(ctx->user_port);
	return asked_for(sk, endpoint);
}

SEC("cgroup/getsockname4")
int ilm_getsockname4(struct bpf_sock_addr *ctx)
{
	struct ilm_endpoint endpoint = {};

	address_from_ip4(endpoint.address, ctx->user_ip4);
	if (asked_by(ctx, &endpoint))
		ctx->user_ip4 = 0;
	return 1;
}

SEC("cgroup/getsockname6")
int ilm_getsockname6(struct bpf_sock_addr *ctx)
{
	struct ilm_endpoint endpoint = {};
	__u8 asked;

	ip6_copy(endpoint.address, ctx->user_ip6);
	asked = asked_by(ctx, &endpoint);
	if (!asked)
		return 1;
	ctx->user_ip6[0] = 0;
	ctx->user_ip6[1] = 0;
	ctx->user_ip6[2] = asked == ILM_ASKED_MAPPED ? IP4_MAPPED : 0;
	ctx->user_ip6[3] = 0;
	return 1;
}

#endif
