/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose sockets may be selected (bpf/abi.h, struct ilm_permit). */
#ifndef ILM_PERMIT_H
#define ILM_PERMIT_H

#include "identity.h"
#include "maps.h"

/*
 * Root counts as each user and group: daemons bind as root, and continue as another user. Units are
 * exact.
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
 * May a socket of that identity be selected? A permit that is missing permits none. Not static: the
 * verifier looks at it once.
 */
__noinline int permits_identity(const struct ilm_identity *identity, __u32 number)
{
	struct owner_search search = { .identity = identity };
	struct ilm_permit *permit;

	if (!number)
		return 1;
	/* Never so; the verifier wants it said. */
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

#endif
