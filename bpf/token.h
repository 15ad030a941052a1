/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tokens that ingress leaves for sk_lookup, one for each datagram: the kernel also runs
 * sk_lookup without a packet, and the token shows that there is one (bpf/abi.h, struct ilm_token).
 */
#ifndef ILM_TOKEN_H
#define ILM_TOKEN_H

#include "generation.h"

/*
 * The hash by which sk_lookup recognises the packet. The seed keeps attackers from making all
 * look-ups collide in one place.
 */
static __always_inline __u32 token_hash(const struct lookup *l)
{
	__u32 seed = constants.draw_seed ^ ((__u32)l->dialled.port << 16 | l->remote_port);

	return address_hash(l->remote, address_hash(l->dialled.address, seed));
}

static __always_inline struct ilm_token *token_at(__u32 hash)
{
	__u32 place = hash & (ILM_TOKENS - 1);

	return bpf_map_lookup_elem(&tokens, &place);
}

#endif
