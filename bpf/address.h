/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses in their single form: 16 bytes, network byte order, IPv4 as ::ffff:a.b.c.d. */
#ifndef ILM_ADDRESS_H
#define ILM_ADDRESS_H

#include "abi.h"
#include "kernel.h"

/* The third word of every IPv4 address (RFC 4291, section 2.5.5.2: ::ffff:0:0/96). */
#define IP4_MAPPED bpf_htonl(0xffff)

static __always_inline void address_from_ip4(__be32 *address, __be32 ip4)
{
	address[0] = 0;
	address[1] = 0;
	address[2] = IP4_MAPPED;
	address[3] = ip4;
}

/*
 * Copies an IPv6 address from or to a context. A macro, because a context's fields may be accessed
 * through the context itself only.
 */
#define ip6_copy(to, from) do { \
	(to)[0] = (from)[0]; \
	(to)[1] = (from)[1]; \
	(to)[2] = (from)[2]; \
	(to)[3] = (from)[3]; \
} while (0)

static __always_inline void address_copy(__be32 *to, const __be32 *from)
{
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	to[3] = from[3];
}

static __always_inline bool address_equal(const __be32 *a, const __be32 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static __always_inline bool address_is_ip4(const __be32 *a)
{
	return a[2] == IP4_MAPPED && !a[0] && !a[1];
}

/* Is the address 0.0.0.0 or ::? */
static __always_inline bool address_is_wildcard(const __be32 *a)
{
	return !a[0] && !a[1] && (a[2] == 0 || a[2] == IP4_MAPPED) && !a[3];
}

/*
 * An address from a context, which has it as one field for IPv4 and four for IPv6. clang merges
 * reads of neighbouring fields in two branches into one read through a moved pointer, which the
 * verifier refuses ("dereference of modified ctx ptr"). A barrier after each read keeps them apart.
 * A macro, because each read has to be of the field itself.
 */
#define address_from_context(address, family, ip4, ip6) do { \
	if ((family) == AF_INET) { \
		__u32 word = (ip4); \
		barrier_var(word); \
		address_from_ip4(address, word); \
	} else { \
		__u32 word0 = (ip6)[0]; \
		barrier_var(word0); \
		__u32 word1 = (ip6)[1]; \
		barrier_var(word1); \
		__u32 word2 = (ip6)[2]; \
		barrier_var(word2); \
		__u32 word3 = (ip6)[3]; \
		barrier_var(word3); \
		(address)[0] = word0; \
		(address)[1] = word1; \
		(address)[2] = word2; \
		(address)[3] = word3; \
	} \
} while (0)

/* The address that a socket is bound to. */
static __always_inline void address_of_socket(__be32 *address, struct bpf_sock *sk)
{
	address_from_context(address, sk->family, sk->src_ip4, sk->src_ip6);
}

/*
 * 32 bits that depend on every bit of the address. Used for filters, so it needs no secret: a
 * collision costs one look.
 */
static __always_inline __u32 address_hash(const __be32 *a, __u32 seed)
{
	__u32 h = seed;

	h = (h ^ a[0]) * 0x9e3779b1U;
	h = (h ^ (h >> 15) ^ a[1]) * 0x85ebca77U;
	h = (h ^ (h >> 13) ^ a[2]) * 0xc2b2ae3dU;
	h = (h ^ (h >> 16) ^ a[3]) * 0x27d4eb2fU;
	return h ^ (h >> 15);
}

/*
 * The slot where a search for an entry of `prefixes` begins; the entry is there or in a slot after
 * it. Nothing waits for more than two multiplications, because a search comes here several times.
 * The number of slots is also a seed: if one number does not work, another does.
 */
static __always_inline __u32 prefix_slot(const __be32 *a, __u32 class_family, __u32 length, __u32 slots)
{
	__u32 seed = slots * 0x9e3779b1U;
	__u64 h = (__u64)(__u32)(a[0] + seed) * (__u32)(a[1] + (seed ^ 0x85ebca77U));

	h += (__u64)(__u32)(a[2] + (seed ^ 0xc2b2ae3dU)) * (__u32)(a[3] + (seed ^ 0x27d4eb2fU));
	h += (__u64)(__u32)(class_family + (seed ^ 0x165667b1U)) * (__u32)(length + (seed ^ 0x9fb21c65U));
	h = (h ^ h >> 32) * 0x85ebca6bU;
	return (h >> 32) * slots >> 32;
}

static __always_inline __u32 endpoint_bucket(const struct ilm_endpoint *e)
{
	__u32 seed = e->port | (__u32)e->protocol << 16;

	return address_hash(e->address, seed) & (ILM_FILTER_BUCKETS - 1);
}

/*
 * Identifies a packet that ingress gave (registry/handed): by where it comes from, and what the
 * socket is bound to.
 */
static __always_inline __u32 handed_ends(const __be32 *remote, const struct ilm_endpoint *bound)
{
	return remote[3] ^ bound->address[3] ^ (bound->port | (__u32)bound->protocol << 16);
}

#endif
