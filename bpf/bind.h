/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decides, by the rules, a bind() to an address that clients may dial, on a port that a mapping
 * covers: a process that would be a stranger there is refused (bpf/guard.h calls these programs).
 * Where mappings have conditions, the one without any decides, because there is no packet.
 */
#ifndef ILM_BIND_H
#define ILM_BIND_H

#include "match.h"
#include "permit.h"
#include "refusal.h"

#define EACCES 13

static __always_inline int judge_bind(struct lookup *l, const void *sk)
{
	struct ilm_identity identity = {};
	struct ilm_rule *rule;
	__u32 number, permit;
	__u32 *class;

	l->side = active_side();
	class = class_of(l->side, l->dialled.protocol, l->dialled.port);
	if (!class || !*class)
		return 1;
	number = find_rule(*class, l);
	rule = number ? bpf_map_lookup_elem(&rules, &number) : NULL;
	permit = rule ? permit_of(rule, &l->dialled) : 0;
	if (!permit)
		return 1;
	identify(address_of(sk), &identity);
	if (permits_identity(&identity, permit))
		return 1;
	note_refusal(&l->dialled, &identity, ILM_REASON_MAPPED, true);
	bpf_set_retval(-EACCES);
	return 0;
}

SEC("?cgroup/bind4")
int ilm_bind4_rules(struct bpf_sock_addr *ctx)
{
	struct lookup l;

	__builtin_memset(&l, 0, sizeof(l));
	l.family = AF_INET;
	l.dialled.protocol = ctx->protocol;
	l.dialled.port = bpf_ntohs(ctx->user_port);
	address_from_ip4(l.dialled.address, ctx->user_ip4);
	return judge_bind(&l, ctx->sk);
}

SEC("?cgroup/bind6")
int ilm_bind6_rules(struct bpf_sock_addr *ctx)
{
	struct lookup l;

	__builtin_memset(&l, 0, sizeof(l));
	l.dialled.protocol = ctx->protocol;
	l.dialled.port = bpf_ntohs(ctx->user_port);
	ip6_copy(l.dialled.address, ctx->user_ip6);
	/* A v4-mapped address is dialled over IPv4. */
	l.family = address_is_ip4(l.dialled.address) ? AF_INET : AF_INET6;
	return judge_bind(&l, ctx->sk);
}

#endif
