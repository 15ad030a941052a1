/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Decides whose sockets may be selected (bpf/abi.h, struct ilm_permit). */
#ifndef ILM_PERMIT_H
#define ILM_PERMIT_H

#include "identity.h"
#include "maps.h"

/*
 * Does the identity match the owner? Root counts as every user and group: daemons bind as root, and
 * continue as another user. Units have to match exactly.
 */
static __always_inline bool is_owner(const struct ilm_identity *id, const struct ilm_owner *owner)
{
	if (owner->unit && owner->unit != id->unit)
		return false;
	if (!id->uid)
		return true;
	return (owner->uid == ILM_ANYONE || owner->uid == id->uid) && (owner->gid == ILM_ANYONE || owner->gid == id->gid);
}

struct owner_search {
	const struct ilm_permit *permit;
	const struct ilm_identity *identity;
	bool found;
};

static long match_owner(__u32 i, struct owner_search *search)
{
	if (i < ILM_OWNERS_MAX)
		search->found = is_owner(search->identity, &search->permit->owners[i]);
	return search->found;
}

/*
 * May a socket with that identity be selected? A missing permit permits none. Not static: the
 * verifier walks it once.
 */
__noinline int permits_identity(const struct ilm_identity *identity, __u32 number)
{
	struct owner_search search = { .identity = identity };
	struct ilm_permit *permit;

	if (!number)
		return 1;
	/* Never NULL; the verifier requires the check. */
	if (!identity)
		return 0;
	permit = bpf_map_lookup_elem(&permits, &number);
	if (!permit)
		return 0;
	if (permit->root && !identity->uid)
		return 1;
	search.permit = permit;
	bpf_loop(permit->count, match_owner, &search, 0);
	return search.found;
}

/* 127.0.0.0/8 or ::1. */
static __always_inline bool is_loopback(const __be32 *address)
{
	if (address[0] || address[1])
		return false;
	return address_is_ip4(address) ? *(const __u8 *)&address[3] == 127 :
					 !address[2] && address[3] == bpf_htonl(1);
}

/*
 * The permit of a service's own address: who may listen on the endpoint; 0: anyone. Not static: the
 * verifier walks it once.
 */
__noinline int permit_of_owned(const struct ilm_endpoint *endpoint)
{
	__be32 address[4];
	__u32 *permit;

	/* Never NULL; the verifier requires the check. */
	if (!endpoint)
		return 0;
	address_copy(address, endpoint->address);
	permit = bpf_map_lookup_elem(&owners, address);
	return permit ? *permit : 0;
}

/*
 * Does the endpoint, on a loopback address, belong to the host itself? Only the host dials such an
 * address, and on a port that requires privilege to bind, root has allowed the listener:
 * systemd-resolved on 127.0.0.53. The addresses of services with an owner belong to that owner. Not
 * static: the verifier walks it once.
 */
__noinline int is_of_host(const struct ilm_endpoint *endpoint)
{
	__u32 key = 0;
	__u32 *first;

	/* Never NULL; the verifier requires the check. */
	if (!endpoint)
		return false;
	first = bpf_map_lookup_elem(&unprivileged, &key);
	return first && endpoint->port < *first && !permit_of_owned(endpoint);
}

/* The permit that a rule has at a destination; 0: anyone's sockets are selected. */
static __always_inline __u32 permit_there(const struct ilm_destination *d, __u32 rule_permit)
{
	return address_is_wildcard(d->address) ? rule_permit : d->permit;
}

/* The permit for what is dialled, by the rule that decides; 0: anyone's sockets may get it. */
static __always_inline __u32 permit_of(const struct ilm_rule *rule, const struct ilm_endpoint *dialled)
{
	/* Nearly every packet is for another address: no call for those. */
	if (is_loopback(dialled->address) && is_of_host(dialled))
		return 0;
	return rule->permit;
}

#endif
