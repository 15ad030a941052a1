/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Draws a client's destination of a weighted rule: by weight, and the same one each time. The tests
 * compute the same for comparison (test/oracle/oracle.ts).
 */
#ifndef ILM_WEIGHTS_H
#define ILM_WEIGHTS_H

#include "generation.h"

/* Every bit of the result depends on every bit of h (the finaliser of MurmurHash3). */
static __always_inline __u32 mix(__u32 h)
{
	h = (h ^ (h >> 16)) * 0x85ebca6bU;
	h = (h ^ (h >> 13)) * 0xc2b2ae35U;
	return h ^ (h >> 16);
}

/* The coefficients of the cubic in negative_log2(), with 24 fractional bits; their sum is 1. */
#define ILM_LOG_Q0 0xb8aa3bULL	/* 1 / (2 ln 2) */
#define ILM_LOG_Q1 0x2f9db2ULL
#define ILM_LOG_Q2 0x07ced9ULL
#define ILM_LOG_Q3 0x0fe93aULL

/*
 * -log2(h / 2^32) with 24 fractional bits, for h > 0. Within an octave, with t from 0 at its upper
 * end to 1 at its lower, it is t * q(t); the cubic q is within 0.05 % of the true one, and exact at
 * both ends, so that octaves meet.
 */
__noinline __u64 negative_log2(__u32 h)
{
	__u32 octave = 0;
	__u64 t, q;

	if (!(h & 0xffff0000U)) { octave += 16; h <<= 16; }
	if (!(h & 0xff000000U)) { octave += 8; h <<= 8; }
	if (!(h & 0xf0000000U)) { octave += 4; h <<= 4; }
	if (!(h & 0xc0000000U)) { octave += 2; h <<= 2; }
	if (!(h & 0x80000000U)) { octave += 1; h <<= 1; }
	t = (0x100000000ULL - h) >> 7; /* 24 bits */
	q = ILM_LOG_Q3;
	q = ILM_LOG_Q2 + (q * t >> 24);
	q = ILM_LOG_Q1 + (q * t >> 24);
	q = ILM_LOG_Q0 + (q * t >> 24);
	return ((__u64)octave << 24) + (q * t >> 24);
}

struct draw {
	__u64 floor;
	__u64 best;
	__u32 client;
	__u32 first;
	__u16 port;
};

static long draw(__u32 i, struct draw *draw)
{
	__u32 index = draw->first + i;
	struct ilm_destination *d;
	__u32 weight, h;
	__u64 score;

	d = bpf_map_lookup_elem(&destinations, &index);
	if (!d)
		return 1;
	weight = d->weight & ~ILM_DRAINED;
	h = mix(draw->client ^ mix(address_hash(d->address, d->port ? d->port : draw->port)));
	/*
	 * The index tells equal scores apart. At most 32 * 2^24 * 2^20 * 2^4 = 2^53. Weight 0
	 * comes first, which is only for clients that the destination has.
	 */
	score = (weight ? (negative_log2(h ? h : 1) << 20) / weight : 0) << 4 | i;
	if (score >= draw->floor && score < draw->best)
		draw->best = score;
	return 0;
}

/*
 * Rendezvous hashing: each destination draws a number for the client, scaled by its weight, and the
 * lowest wins. So a client keeps its destination as long as that lives, and when one goes only its
 * own clients move. The client is the remote address and port, so the packets of a flow agree, and
 * a secret, so that no client can compute which ports all lead to one destination. Returns the
 * index of the lowest number at or above *floor, which it raises past that; n: none. bpf_loop,
 * because the verifier would walk every round of a plain loop, with each path through the rounds
 * before it.
 */
__noinline __u32 next_weighted(struct lookup *l, __u32 first, __u32 n, __u64 *floor)
{
	struct draw all = { .best = ~0ULL, .first = first };

	if (!l || !floor || n > ILM_DESTINATIONS_MAX)
		return n;
	all.floor = *floor;
	all.port = l->dialled.port;
	all.client = address_hash(l->remote, l->remote_port ^ constants.draw_seed);
	bpf_loop(n, draw, &all, 0);
	if (all.best == ~0ULL)
		return n;
	*floor = all.best + 1;
	return all.best & (ILM_DESTINATIONS_MAX - 1);
}

#endif
