/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Finds the rule for a packet: that of the most specific mapping on its port whose condition the
 * packet meets. The search goes through the tables (bpf/tables.h) from whole addresses to prefixes,
 * and then to what the port has for all other addresses.
 */
#ifndef ILM_MATCH_H
#define ILM_MATCH_H

#include "generation.h"

/*
 * What the length in the key of a prefix counts (bpf/abi.h, struct ilm_prefix_key): class and
 * family, and the whole address.
 */
#define CLASS_BITS 32
#define ADDRESS_BITS 128

struct walk {
	struct ilm_prefix_key source;	/* of the packet; class_family is filled with each group */
	__u32 interface;
	__u32 step;
	__u32 rule;
	__u32 counter;
	__u8 ipv6;
	__u8 matched;
};

/* One step of a chain; 1 ends the walk. */
static long take_step(__u32 taken, struct walk *w)
{
	__u32 number = w->step & ~ILM_STEP;
	struct ilm_step *step;
	__u32 *inner, *index;

	step = bpf_map_lookup_elem(&steps, &number);
	if (!step || !number)
		return 1;
	if (step->group) {
		w->source.class_family = bpf_htonl(step->group << 1 | w->ipv6);
		inner = bpf_map_lookup_elem(&sources, &w->source);
		w->step = inner ? *inner : step->next;
		return 0;
	}
	if (step->interface) {
		number = step->interface;
		index = bpf_map_lookup_elem(&interfaces, &number);
		if (!index || !*index || *index != w->interface) {
			w->step = step->next;
			return 0;
		}
	}
	if (step->until_s && has_passed(step->until_s)) {
		w->step = step->next;
		return 0;
	}
	w->rule = step->rule;
	w->counter = step->counter;
	w->matched = step->matched;
	return 1;
}

/*
 * The first rule of a chain whose condition the packet meets; 0: none. Needs l->remote and
 * l->interface. Not static: the verifier walks it once, and not again for each state of its
 * callers.
 */
__noinline __u32 walk_chain(struct lookup *l, __u32 first)
{
	struct walk w = { .source.length = CLASS_BITS + ADDRESS_BITS, .step = first };

	if (!l)
		return 0;
	w.interface = l->interface;
	w.ipv6 = l->family == AF_INET6;
	address_copy(w.source.address, l->remote);
	/* The compiler refuses longer chains. */
	bpf_loop(ILM_STEPS_MAX, take_step, &w, 0);
	l->matched = w.matched;
	l->counter = w.counter;
	return w.rule;
}

/*
 * Resolves what a table gave, with its counter in l->counter, to the rule and its counter; 0: none.
 * Without conditions this costs one branch.
 */
static __always_inline __u32 resolve(__u32 found, struct lookup *l, __u8 matched)
{
	if (found & ILM_STEP)
		return walk_chain(l, found);
	l->matched = matched;
	return found;
}

/* A service's own address is never mapped away, unless a mapping names exactly that address. */
static __always_inline bool is_owned(const struct lookup *l, const __be32 *address)
{
	__u32 bit = address_hash(address, 0) % (ILM_OWNED_WORDS * 64);
	__u32 *on;

	if (!(generation_of(l)->owned_filter[bit / 64] & 1ULL << (bit % 64)))
		return false;
	on = bpf_map_lookup_elem(&owned, address);
	return on && *on & 1 << (l->side & (ILM_SIDES - 1));
}

/* The entry of `prefixes` for exactly this address and length; NULL: none. */
static __always_inline struct ilm_prefix *prefix_at(const struct ilm_generation *g, const __be32 *address, __u32 class_family,
						    __u32 length)
{
	__u32 slot = g->prefixes + prefix_slot(address, class_family, length, g->prefix_slots);

	for (__u32 taken = 0; taken < ILM_PREFIX_SLOTS; taken++, slot++) {
		struct ilm_prefix *here = bpf_map_lookup_elem(&prefixes, &slot);

		if (!here || !here->class_family)
			return NULL;
		/* One branch: the verifier walks each. */
		if (!((here->class_family ^ class_family) | (here->length ^ length) | (here->address[0] ^ address[0]) |
		      (here->address[1] ^ address[1]) | (here->address[2] ^ address[2]) | (here->address[3] ^ address[3])))
			return here;
	}
	return NULL;
}

/*
 * The longest prefix of the class around the dialled address: its target, and its length in the
 * upper half; 0: none. Leaves its counter in l->counter. `at` is the root of the class's tree of
 * lengths. Not static: the verifier walks its loops once.
 */
__noinline __u64 find_prefix(struct lookup *l, __u32 class_family, __u32 at)
{
	const struct ilm_generation *g;
	__u64 found = 0;

	if (!l)
		return 0;
	g = generation_of(l);
	for (__u32 taken = 0; taken < ILM_LENGTHS_MAX && at; taken++) {
		struct ilm_length *node = bpf_map_lookup_elem(&lengths, &at);
		struct ilm_prefix *here;
		__be32 cut[4];

		if (!node)
			break;
		for (int i = 0; i < 4; i++)
			cut[i] = l->dialled.address[i] & node->mask[i];
		here = prefix_at(g, cut, class_family, node->length);
		if (here) {
			found = (__u64)here->around << 32 | here->target;
			l->counter = here->counter;
		}
		at = here ? node->longer : node->shorter;
	}
	return found;
}

/*
 * What the class has for exactly the dialled address; 0: nothing. Leaves its counter in l->counter.
 * Not static: the verifier walks its loop once.
 */
__noinline __u32 find_exact(struct lookup *l, __u32 class_family)
{
	struct ilm_prefix *here = l ? prefix_at(generation_of(l), l->dialled.address, class_family, ADDRESS_BITS) : NULL;

	if (!here)
		return 0;
	l->counter = here->counter;
	return here->target;
}

/*
 * For ports on which the overlay has something. If the tables below have conditions there is no
 * overlay, so each table's answer is final. Not static: few ports come here, and the verifier walks
 * it once.
 */
__noinline __u32 find_overlaid(struct lookup *l, __u32 class)
{
	__u32 id = class & ILM_CLASS_MASK;
	struct ilm_prefix_target *mine;
	__u64 below = 0;
	struct ilm_overlay_class *over;
	struct ilm_exact_key key = {};
	struct ilm_prefix_key prefix = {};
	struct ilm_exact_target *own;
	__u32 under;

	if (!l)
		return 0;
	prefix.length = CLASS_BITS + ADDRESS_BITS;
	over = bpf_map_lookup_elem(&overlay_classes, &id);
	if (!over)
		return 0;
	address_copy(key.address, l->dialled.address);
	l->matched = ILM_MATCHED_EXACT;
	key.class_id = id;
	own = bpf_map_lookup_elem(&overlay_exact, &key);
	if (own && own->rule) {
		l->counter = own->counter;
		return own->rule;
	}
	under = (over->below & ILM_CLASS_MASK) << 1 | (l->family == AF_INET6);
	/* Rule 0: the mapping below is gone, and what is less specific decides. */
	if (!own && over->below & ILM_CLASS_EXACT) {
		__u32 target = find_exact(l, under);

		if (target)
			return target;
	}
	/* A copy: 6.1 takes a map's key only from the stack, not from an argument. */
	if (is_owned(l, key.address)) {
		l->matched = ILM_MATCHED_OWNED;
		return 0;
	}
	address_copy(prefix.address, l->dialled.address);
	l->matched = ILM_MATCHED_PREFIX;
	prefix.class_family = bpf_htonl(id << 1 | (l->family == AF_INET6));
	mine = bpf_map_lookup_elem(&overlay_prefixes, &prefix);
	if (over->below & ILM_CLASS_PREFIX) {
		struct ilm_class *rest;

		id = over->below & ILM_CLASS_MASK;
		rest = bpf_map_lookup_elem(&classes, &id);
		if (rest)
			below = find_prefix(l, under, l->family == AF_INET ? rest->lengths4 : rest->lengths6);
	}
	if (mine && mine->length >= below >> 32) {
		l->matched = mine->matched;
		l->counter = mine->counter;
		return mine->rule;
	}
	if (below)
		return below;
	l->matched = ILM_MATCHED_DEFAULT;
	l->counter = l->family == AF_INET ? over->counter4 : over->counter6;
	return l->family == AF_INET ? over->rule4 : over->rule6;
}

/*
 * The most specific rule for the class and the packet, with its mapping's counter in l->counter; 0:
 * none.
 */
static __always_inline __u32 find_rule(__u32 class, struct lookup *l)
{
	__u32 class_id = class & ILM_CLASS_MASK;
	__u32 class_family = class_id << 1 | (l->family == AF_INET6);
	struct ilm_class *rest;
	bool passed_over = false;

	if (class & ILM_CLASS_OVERLAY)
		return find_overlaid(l, class);
	if (class & ILM_CLASS_EXACT) {
		__u32 target = find_exact(l, class_family);

		if (target) {
			__u32 number = resolve(target, l, ILM_MATCHED_EXACT);

			if (number)
				return number;
			/* A chain ends with whatever is less specific. */
			passed_over = true;
		}
	}
	if (is_owned(l, l->dialled.address)) {
		l->matched = ILM_MATCHED_OWNED;
		return 0;
	}
	if (passed_over)
		return 0;
	rest = bpf_map_lookup_elem(&classes, &class_id);
	if (!rest)
		return 0;
	if (class & ILM_CLASS_PREFIX) {
		__u32 target = find_prefix(l, class_family, l->family == AF_INET ? rest->lengths4 : rest->lengths6);

		if (target)
			return resolve(target, l, ILM_MATCHED_PREFIX);
	}
	if (!(l->family == AF_INET ? rest->rule4 : rest->rule6))
		return 0;
	l->counter = l->family == AF_INET ? rest->counter4 : rest->counter6;
	return resolve(l->family == AF_INET ? rest->rule4 : rest->rule6, l, ILM_MATCHED_DEFAULT);
}

#endif
