/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the module and a BPF program share. Both include it, so it declares types and nothing else;
 * __u64, __be32 and the others must already be declared (<linux/types.h> or vmlinux.h).
 *
 *	extern int bpf_sk_lookup_assign_listener(struct bpf_sk_lookup *ctx, const void *query,
 *						 __u32 query__sz) __ksym __weak;
 *
 * The protocol and the family of the packet are those of `ctx`. Returns 0 when a socket listens
 * there (which is now selected, unless ILM_LISTENER_TEST), or
 *
 *	-ENOENT		nothing listens there
 *	-EAFNOSUPPORT	a socket does, but cannot take packets of this family (IPV6_V6ONLY, or an IPv4 socket and IPv6)
 *	-EEXIST		a socket is already selected, and ILM_LISTENER_REPLACE is not given
 *	-ENONET		no network namespace has this cookie
 *	-EPROTONOSUPPORT neither TCP nor UDP
 *	-EINVAL		unknown flags, neither EXACT nor WILDCARD, or a query of another size
 */
#ifndef ILM_LOOKUP_H
#define ILM_LOOKUP_H

enum ilm_listener_flags {
	ILM_LISTENER_EXACT = 1,		/* a socket bound to this very address */
	ILM_LISTENER_WILDCARD = 2,	/* a socket bound to no address, that takes packets of this family */
	/* The exact one, or else the wildcard: as the kernel itself searches. */
	ILM_LISTENER_EITHER = 3,
	ILM_LISTENER_TEST = 4,		/* only ask; select nothing */
	ILM_LISTENER_REPLACE = 8,	/* replace a socket that was selected before */
	/* Exactly the socket found; otherwise the kernel selects in its SO_REUSEPORT group. */
	ILM_LISTENER_NO_REUSEPORT = 16,
};

struct ilm_listener_query {
	__u64 netns_cookie;	/* the namespace to look in: the context does not say which one it is */
	__be32 address[4];	/* network byte order, IPv4 as ::ffff:a.b.c.d; not read for WILDCARD alone */
	__u16 port;		/* host byte order */
	__u16 flags;		/* enum ilm_listener_flags */
	/* Index of the one the packet came in on; 0: as in the context (a test run has none). */
	__u32 interface;
};

#endif
