/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose sockets may be selected (bpf/abi.h, struct ilm_permit). */
#ifndef ILM_PERMIT_H
#define ILM_PERMIT_H

#include "identity.h"
#include "maps.h"

struct permit_search {
	const struct ilm_permit *permit;
	const struct ilm_identity *identity;
	bool found;
};

/*
 * Root counts as each user and group: daemons bind as root, and go on as somebody else. Units are
 * exact.
 */
static long match_owner(__u32 i, struct permit_search *search)
{
	const struct ilm_identity *id = search->identity;
	const struct ilm_owner *owner;

	if (i >= ILM_OWNERS_MAX)
		return 1;
	owner = &search->permit->owners[i];
	if (owner->unit && owner->unit != id->unit)
		return 0;
	if (id->uid && owner->uid != ILM_ANYONE && owner->uid != id->uid)
		return 0;
	if (id->uid && owner->gid != ILM_ANYONE && owner->gid != id->gid)
		return 0;
	search->found = true;
	return 1;
}

/*
 * May a socket of that identity be selected? A permit that is missing permits nobody. Not static:
 * the verifier looks at it once.
 */
__noinline int permits_identity(const struct ilm_identity *identity, __u32 number)
{
	struct permit_search search = { .identity = identity };
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
	bpf_loop(permit->count < ILM_OWNERS_MAX ? permit->count : ILM_OWNERS_MAX, match_owner, &search, 0);
	return search.found;
}

#endif
