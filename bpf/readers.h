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

/* Counts for a reader, or with ILM_READERS for all. */
#define count_for(seat, member) do { \
	__u32 count_key = (seat); \
	struct ilm_reader_counts *count = bpf_map_lookup_elem(&reader_counts, &count_key); \
	if (count) \
		__sync_fetch_and_add(&count->member, 1); \
} while (0)

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

/* May the reader be given one more? Writes only as often as the answer is yes. */
static __always_inline bool keeps_pace(__u32 seat, const struct ilm_reader *r)
{
	struct ilm_reader_pace *p = bpf_map_lookup_elem(&reader_pace, &seat);
	__u64 period = bpf_ktime_get_ns() / r->pace_ns;

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
 * Gives the decision to the reader of that seat, if there is one that wants it. It looks by itself
 * often enough, and is not woken: that costs more than all the rest. Except when rules have
 * changed: it has to read them before they change again. Not static: the verifier walks it once.
 */
__noinline int tell_reader(const struct ilm_decision *d, __u32 seat)
{
	struct ilm_reader *r = bpf_map_lookup_elem(&readers, &seat);
	__u64 flags;
	void *ring;

	/* Never NULL; the verifier requires the checks. */
	if (!d || !r || !wants(r, d))
		return 0;
	count_for(seat, matched);
	if (r->every > 1 && bpf_get_prandom_u32() % r->every) {
		count_for(seat, skipped);
		return 0;
	}
	ring = bpf_map_lookup_elem(&reader_rings, &seat);
	flags = r->known == d->generation ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP;
	if (!ring || !keeps_pace(seat, r) || bpf_ringbuf_output(ring, (void *)d, sizeof(*d), flags))
		count_for(seat, dropped);
	return 0;
}

/* Not static, as above. */
__noinline int reader_wants(const struct ilm_decision *d, __u32 seat)
{
	struct ilm_reader *r = bpf_map_lookup_elem(&readers, &seat);

	return d && r && wants(r, d);
}

/* One bit for each seat that is taken. */
static __always_inline __u32 taken_seats(void)
{
	__u32 key = 0;
	__u32 *taken = bpf_map_lookup_elem(&seats, &key);

	return taken ? *taken : 0;
}

/* Gives the decision to all readers that want it. */
static __always_inline void tell_readers(const struct ilm_decision *d)
{
	__u32 taken = taken_seats();

	count_for(ILM_READERS, matched);
	for (__u32 seat = 0; seat < ILM_READERS && taken; seat++, taken >>= 1) {
		if (taken & 1)
			tell_reader(d, seat);
	}
}

/* Does any reader want it? */
static __always_inline bool is_wanted(const struct ilm_decision *d)
{
	__u32 taken = taken_seats();

	for (__u32 seat = 0; seat < ILM_READERS && taken; seat++, taken >>= 1) {
		if (taken & 1 && reader_wants(d, seat))
			return true;
	}
	return false;
}

#endif
