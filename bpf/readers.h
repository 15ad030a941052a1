/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Readers of decisions (`monitor`): several at once, each with a filter, a sample, a pace and a
 * ring buffer of its own. All of it is decided here, so that what a reader does not want, or cannot
 * take, costs neither a copy nor a wake-up, and is counted.
 */
#ifndef ILM_READERS_H
#define ILM_READERS_H

#include "maps.h"

/* Does anything watch? */
static __always_inline bool watched(void)
{
	struct ilm_watch *w;
	__u64 until_ns;
	__u32 key = 0;

	w = bpf_map_lookup_elem(&watch, &key);
	until_ns = w ? w->until_ns : 0;
	if (!until_ns)
		return false;
	if (bpf_ktime_get_ns() < until_ns)
		return true;
	/* The last reader was killed: from now on this costs as if there had been none. */
	__sync_val_compare_and_swap(&w->until_ns, until_ns, 0);
	return false;
}

/* Counts for a reader, or with ILM_READERS for all: on each CPU, as `add_to` in bpf/report.h. */
static __always_inline struct ilm_reader_counts *counts_for(__u32 seat)
{
	return bpf_map_lookup_elem(&reader_counts, &seat);
}

static __always_inline bool is_within(const __be32 *address, const __be32 *prefix, const __be32 *mask)
{
	return !(((address[0] & mask[0]) ^ prefix[0]) | ((address[1] & mask[1]) ^ prefix[1]) |
		 ((address[2] & mask[2]) ^ prefix[2]) | ((address[3] & mask[3]) ^ prefix[3]));
}

/*
 * Of one of the mappings that the reader named? Their numbers are those of one generation: while
 * the rules change, the reader is given what others decide, and looks at the names.
 */
static __always_inline bool is_named(const struct ilm_reader *r, const struct ilm_decision *d)
{
	if (!r->generation || r->generation != d->generation)
		return true;
	for (__u32 i = 0; i < ILM_READER_MAPPINGS && i < r->mapping_count; i++) {
		if (r->mappings[i] == d->mapping)
			return true;
	}
	return false;
}

static __always_inline bool wants(const struct ilm_reader *r, const struct ilm_decision *d)
{
	return d->time_ns < r->until_ns && (!r->protocol || r->protocol == d->protocol) &&
	       (!r->family || r->family == d->family) && r->verdicts & 1 << (d->verdict & 7) &&
	       d->local_port >= r->first_port && d->local_port <= r->last_port &&
	       is_within(d->local, r->local, r->local_mask) && is_within(d->remote, r->remote, r->remote_mask) &&
	       is_named(r, d);
}

/* What a reader says of a decision. */
enum {
	READER_WANTS = 1,	/* it passes the filter; without it, the others are 0 */
	READER_SKIPS = 2,	/* its sample leaves it out */
	READER_HAS_ROOM = 4,	/* its pace may allow one more; only a look, which takes nothing */
};

/* Not static: the verifier walks it once, and not for each seat. */
__noinline int ask_reader(const struct ilm_decision *d, __u32 seat)
{
	struct ilm_reader *r = bpf_map_lookup_elem(&readers, &seat);
	struct ilm_reader_pace *p;

	/* Never NULL; the verifier requires the checks. */
	if (!d || !r || !wants(r, d))
		return 0;
	if (r->every > 1 && bpf_get_prandom_u32() % r->every)
		return READER_WANTS | READER_SKIPS;
	p = bpf_map_lookup_elem(&reader_pace, &seat);
	if (p && p->used >= r->burst && p->period == d->time_ns / r->pace_ns)
		return READER_WANTS;
	return READER_WANTS | READER_HAS_ROOM;
}

/* So many bits of the answers of all readers are those of one: READER_*. */
#define READER_BITS 3
/* Is there one that has room? */
#define READERS_WITH_ROOM 0x924924924924ULL

/*
 * Asks all readers; returns the answer of each seat, the first one's in the lowest bits. Not
 * static, as above: its callers are walked on many paths.
 */
__noinline __u64 ask_readers(const struct ilm_decision *d)
{
	__u32 key = 0;
	__u32 *seats_taken = bpf_map_lookup_elem(&seats, &key);
	__u32 taken = seats_taken ? *seats_taken : 0;
	__u64 answers = 0;

	if (!d)
		return 0;
	for (__u32 seat = 0; seat < ILM_READERS && taken; seat++, taken >>= 1) {
		if (taken & 1)
			answers |= (__u64)(ask_reader(d, seat) & 7) << READER_BITS * seat;
	}
	return answers;
}

/* May the reader be given one more? Writes only as often as the answer is yes. */
static __always_inline bool keeps_pace(__u32 seat, const struct ilm_reader *r, __u64 time_ns)
{
	struct ilm_reader_pace *p = bpf_map_lookup_elem(&reader_pace, &seat);
	__u64 period = time_ns / r->pace_ns;

	if (!p)
		return false;
	/* Two CPUs may both begin a period: then a few more get through. */
	if (p->period < period) {
		p->period = period;
		p->used = 0;
	}
	return p->used < r->burst && __sync_fetch_and_add(&p->used, 1) < r->burst;
}

/*
 * Gives the decision to a reader, unless its pace or its ring buffer forbids that; 1: given. It
 * looks by itself often enough, and is not woken: that costs more than all the rest. Except when
 * rules have changed: it has to read them before they change again. Not static, as above.
 */
__noinline int give_reader(const struct ilm_decision *d, __u32 seat)
{
	struct ilm_reader *r = bpf_map_lookup_elem(&readers, &seat);
	void *ring = bpf_map_lookup_elem(&reader_rings, &seat);
	__u64 flags;

	if (!d || !r || !ring || !keeps_pace(seat, r, d->time_ns))
		return 0;
	flags = r->known == d->generation ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP;
	return !bpf_ringbuf_output(ring, (void *)d, sizeof(*d), flags);
}

/*
 * Counts a decision for all readers, by what they answered, and gives it to those that wanted and
 * did not skip it. Without a decision: none of them had room. Not static, as above.
 */
__noinline int tell_readers(const struct ilm_decision *d, __u64 answers)
{
	struct ilm_reader_counts *counts = counts_for(ILM_READERS);

	if (counts)
		counts->matched++;
	for (__u32 seat = 0; seat < ILM_READERS && answers; seat++, answers >>= READER_BITS) {
		if (!(answers & READER_WANTS))
			continue;
		counts = counts_for(seat);
		if (!counts)
			continue;
		counts->matched++;
		if (answers & READER_SKIPS)
			counts->skipped++;
		else if (!d || !give_reader(d, seat))
			counts->dropped++;
	}
	return 0;
}

#endif
