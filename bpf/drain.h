/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Destinations that get nobody new: those with weight 0, and those that `ilm drain` names. Their
 * connections go on by themselves. Datagrams have none, so a client that a destination has served
 * lately stays with it, as long as either end goes on sending.
 */
#ifndef ILM_DRAIN_H
#define ILM_DRAIN_H

#include "flow.h"
#include "generation.h"

/* Is the packet for nobody whom the destination has? Not static: the verifier walks it once. */
__noinline int is_closed_to(const struct lookup *l, const struct ilm_destination *d)
{
	struct ilm_flow_key key = {};

	/* Never NULL; the verifier requires the check. */
	if (!l || !d)
		return true;
	if (l->dialled.protocol != IPPROTO_UDP)
		return true;
	address_copy(key.remote, l->remote);
	address_copy(key.local, d->address);
	key.remote_port = l->remote_port;
	key.local_port = port_of_destination(l, d);
	return !find_flow(&key);
}

/* Does the destination pass the packet on to the next, because it is being drained? */
static __always_inline bool passes_on(const struct lookup *l, const struct ilm_destination *d)
{
	return d->weight & ILM_DRAINED && is_closed_to(l, d);
}

#endif
