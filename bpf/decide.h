/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two programs of a generation have in common: which rule, and is somebody listening already. */
#ifndef ILM_DECIDE_H
#define ILM_DECIDE_H

#include "flow.h"
#include "maps.h"
#include "tables.h"

const volatile struct ilm_lookup_constants constants = {};

/* Those of a mapping, in the copy that this CPU counts in. */
static __always_inline struct ilm_counters *counters_of(__u32 counter)
{
	__u32 place = (bpf_get_smp_processor_id() & constants.counter_mask) * constants.counter_slots + counter;

	return bpf_map_lookup_elem(&counters, &place);
}

/*
 * What counts packets runs in softirqs, one at a time on each CPU, so in a copy of the CPU's own nobody comes between. (A process that asks
 * about sockets, net/ipv4/inet_diag.c, runs sk_lookup too, and is counted only where it names an interface.) The verifier drops the
 * way that the constant excludes.
 */
static __always_inline void add_to(__u64 *counter, __u64 more)
{
	if (constants.counter_shared)
		__sync_fetch_and_add(counter, more);
	else
		*counter += more;
}

struct lookup {
	struct ilm_endpoint dialled;
	__be32 remote[4];	/* only filled when somebody needs it, as is the next */
	__u16 remote_port;	/* host byte order */
	__u16 handed;		/* its place in `handed`, + 1: it is reported when it is counted; 0: at once */
	__u32 interface;	/* index of the one that it came in on */
	__u32 counter;		/* of the mapping whose rule was found */
	__u32 side;		/* of the generation that decides, and perhaps ILM_OFF */
	__u8 family;
	__u8 verdict;
	__u8 matched;
	__u8 selected;
	__u8 dry;		/* a test run of `explain`: nothing is counted or remembered */
	__u8 failed;		/* destinations that could not be tried */
	__u8 attempts[ILM_DESTINATIONS_MAX];
	bool nat;		/* a test run, of a packet of a family with NAT */
	bool existing;		/* ingress found somebody who listens already */
	bool unproven;		/* no packet is known for this look-up: neither counted nor reported */
	bool undeliverable;	/* for a socket that sk_lookup cannot give: refused, and nobody else gets it */
};

/* tcp ports, then udp ports */
static __always_inline __u32 port_key(__u32 protocol, __u32 port)
{
	return port | (protocol == IPPROTO_UDP ? ILM_PORT_KEYS / 2 : 0);
}

/*
 * The side of the tables to decide by, and perhaps ILM_OFF. Read once for each packet: all that is looked up is of one generation
 * then.
 */
static __always_inline __u32 side_in_force(void)
{
	return sides.current;
}

/* NULL: ilm is off; there is no such place then. */
static __always_inline __u32 *class_of(__u32 side, __u32 protocol, __u32 port)
{
	__u32 place = port_key(protocol, port) + side * ILM_PORT_KEYS;
	__u32 key = place / ILM_PORT_LINE;
	struct ilm_port_line *line = bpf_map_lookup_elem(&ports, &key);

	return line ? &line->class[place % ILM_PORT_LINE] : NULL;
}

/* Never changed while it is in force, so it is no more volatile than the tables are. */
static __always_inline const struct ilm_generation *generation_of(const struct lookup *l)
{
	return (const struct ilm_generation *)&sides.generations[l->side & (ILM_SIDES - 1)];
}

static __always_inline bool watched(void)
{
	struct ilm_watch *w;
	__u32 key = 0;

	w = bpf_map_lookup_elem(&watch, &key);
	/* A watcher that was killed leaves a time that passes. */
	return w && w->until_ns && bpf_ktime_get_ns() < w->until_ns;
}

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
	w->rule = step->rule;
	w->counter = step->counter;
	w->matched = step->matched;
	return 1;
}

/*
 * The first rule of a chain whose condition the packet meets; 0: none. Needs l->remote and l->interface.
 * Not static: the verifier walks it once, and not again for each of its callers' states.
 */
__noinline __u32 walk_chain(struct lookup *l, __u32 first)
{
	struct walk w = { .source.length = 32 + 128, .step = first };

	if (!l)
		return 0;
	w.interface = l->interface;
	w.ipv6 = l->family == AF_INET6;
	address_copy(w.source.address, l->remote);
	/* Compile refuses chains that are longer. */
	bpf_loop(ILM_STEPS_MAX, take_step, &w, 0);
	l->matched = w.matched;
	l->counter = w.counter;
	return w.rule;
}

/* What a table gave, its counter in l->counter -> the rule, and its counter; 0: none. Without conditions the cost is a branch. */
static __always_inline __u32 resolve(__u32 found, struct lookup *l, __u8 matched)
{
	if (found & ILM_STEP)
		return walk_chain(l, found);
	l->matched = matched;
	return found;
}

/* A service's own address is never mapped away, unless a mapping names the very address. */
static __always_inline bool is_owned(const struct lookup *l, const __be32 *address)
{
	__u32 bit = address_hash(address, 0) % (ILM_OWNED_WORDS * 64);
	__u32 *on;

	if (!(generation_of(l)->owned_filter[bit / 64] & 1ULL << (bit % 64)))
		return false;
	on = bpf_map_lookup_elem(&owned, address);
	return on && *on & 1 << (l->side & (ILM_SIDES - 1));
}

/* What `prefixes` has at the very place; NULL: nothing. */
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
 * The longest prefix of the class around the dialled address: its target, and in the upper half its length; 0: there is none. Its
 * counter is in l->counter then. `at` is the root of the class's tree of lengths. Not static: the verifier walks its loops once.
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

/* What the class has for the very address, likewise; 0: nothing. Not static, likewise. */
__noinline __u32 find_exact(struct lookup *l, __u32 class_family)
{
	struct ilm_prefix *here = l ? prefix_at(generation_of(l), l->dialled.address, class_family, 128) : NULL;

	if (!here)
		return 0;
	l->counter = here->counter;
	return here->target;
}

/*
 * For ports on which the overlay has something. Where the tables below have conditions there is no overlay, so each table's
 * answer is final. Not static: few ports come here, and the verifier walks it once.
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
	prefix.length = 32 + 128;
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
	/* With a rule 0 the mapping below is there no more, and what is less specific decides. */
	if (!own && over->below & ILM_CLASS_EXACT) {
		__u32 target = find_exact(l, under);

		if (target)
			return target;
	}
	/* The copy: 6.1 takes a map's key from the stack only, and not from an argument. */
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

/* The most specific rule for the class and the packet, and in l->counter its mapping's counter; 0: none. */
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

/* Every bit of the result depends on every bit of h (the finaliser of MurmurHash3). */
static __always_inline __u32 mix(__u32 h)
{
	h = (h ^ (h >> 16)) * 0x85ebca6bU;
	h = (h ^ (h >> 13)) * 0xc2b2ae35U;
	return h ^ (h >> 16);
}

/* Of the cubic below, with 24 bits behind the point; their sum is 1. */
#define ILM_LOG_Q0 0xb8aa3bULL /* 1 / (2 ln 2) */
#define ILM_LOG_Q1 0x2f9db2ULL
#define ILM_LOG_Q2 0x07ced9ULL
#define ILM_LOG_Q3 0x0fe93aULL

/*
 * -log2(h / 2^32) with 24 bits behind the point, of h > 0. Within an octave, with t from 0 at its upper end to 1 at its
 * lower, it is t * q(t); the cubic q is within 0.05 % of the true one, and right at both ends, so that octaves meet.
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
	__u64 score;
	__u32 h;

	d = bpf_map_lookup_elem(&destinations, &index);
	if (!d || !d->weight)
		return 1;
	h = mix(draw->client ^ mix(address_hash(d->address, d->port ? d->port : draw->port)));
	/* The index makes equal ones different. At most 32 * 2^24 * 2^20 * 2^4 = 2^53. */
	score = ((negative_log2(h ? h : 1) << 20) / d->weight) << 4 | i;
	if (score >= draw->floor && score < draw->best)
		draw->best = score;
	return 0;
}

/*
 * Rendezvous hashing: each destination draws a number for the client, in which its weight counts, and the least wins. So a
 * client keeps its destination as long as that lives, and when one goes only its own clients move. The client is the remote address
 * and port: the packets of a flow agree; and a secret, so that nobody can compute which ports all lead to one of them. The result
 * is the index of the least number above *floor, which is raised to it; n: none.
 * bpf_loop, because the verifier would walk every round of a plain loop, with each way through those before it.
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

/* Are there TCP listeners that only ingress can select? */
static __always_inline bool any_steered_tcp(void)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&steered_tcp, &key);

	return n && *n;
}

/* Are there listeners that are bound to a device? */
static __always_inline bool any_on_device(void)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&on_device, &key);

	return n && *n;
}

/* Are there such on destinations? */
static __always_inline bool any_destined_on_device(void)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&destined_on_device, &key);

	return n && *n;
}

/*
 * Is the interface a VRF's, whose packets only come to sockets that are bound to it (include/net/inet_sock.h,
 * inet_bound_dev_eq)? sk_lookup sees the VRF's device as the interface.
 */
static __always_inline bool is_closed_vrf(__u32 protocol, __u32 interface)
{
	__u32 key = 0;
	__u32 *n = bpf_map_lookup_elem(&vrf_count, &key);
	__u32 *closed;

	if (!n || !*n || !interface)
		return false;
	closed = bpf_map_lookup_elem(&vrfs, &interface);
	return closed && *closed & (protocol == IPPROTO_UDP ? ILM_VRF_CLOSED_UDP : ILM_VRF_CLOSED_TCP);
}

/* Who listens on the endpoint and takes what arrives on the interface: bound to no device, or to this one. */
static __always_inline struct ilm_presence listeners_at(const struct ilm_endpoint *endpoint, __u32 interface)
{
	struct ilm_place place = { .endpoint = *endpoint };
	struct ilm_presence all = {};
	struct ilm_presence *p;

	p = bpf_map_lookup_elem(&presence, &place);
	if (p && !is_closed_vrf(endpoint->protocol, interface))
		all = *p;
	if (!any_on_device())
		return all;
	place.device = interface;
	p = interface ? bpf_map_lookup_elem(&presence, &place) : NULL;
	if (p) {
		all.sockets += p->sockets;
		all.v6only += p->v6only;
		all.placed += p->placed;
		all.connected += p->connected;
	}
	return all;
}

/* Does a socket on a wildcard address of the dialled port take this family? */
static __always_inline bool wildcard_listens(const struct lookup *l)
{
	struct ilm_endpoint any = { .port = l->dialled.port, .protocol = l->dialled.protocol };
	struct ilm_presence p;

	/* :: ; an IPv4 packet needs one that is not IPv6 only */
	p = listeners_at(&any, l->interface);
	if (l->family == AF_INET ? p.sockets > p.v6only : p.sockets > 0)
		return true;
	if (l->family != AF_INET)
		return false;
	any.address[2] = bpf_htonl(0xffff);
	return listeners_at(&any, l->interface).sockets;
}

static __always_inline bool already_listening(const struct lookup *l, __u8 existing)
{
	__u32 bucket = endpoint_bucket(&l->dialled);
	__u32 *count;

	count = bpf_map_lookup_elem(&filter, &bucket);
	if (count && *count && listeners_at(&l->dialled, l->interface).sockets)
		return true;
	return existing == ILM_EXISTING_ANY && wildcard_listens(l);
}

/* By what sk_lookup knows the packet again. The seed is for those who would have all look-ups meet in one place. */
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

/* sk_lookup cannot give the socket. It should have it from now on: `run` sees to that. Not static: it happens rarely. */
__noinline int want(const struct ilm_endpoint *endpoint)
{
	struct ilm_endpoint copy;
	struct ilm_slot *slot;

	/* Never so; the verifier wants it said. */
	if (!endpoint)
		return 0;
	copy = *endpoint;
	slot = slot_of(&copy);
	if (!slot || slot->handover == ILM_HANDOVER_INGRESS || slot->wanted)
		return 0;
	slot->wanted = 1;
	bpf_ringbuf_output(&binds, &copy, sizeof(copy), 0);
	return 1;
}

/* One that was found no room for. */
static __always_inline void lose_report(void)
{
	__u32 key = 0;
	struct ilm_watch *w = bpf_map_lookup_elem(&watch, &key);

	if (w)
		__sync_fetch_and_add(&w->lost, 1);
}

/* Which mapping decided. */
static __always_inline __u32 mapping_of(const struct lookup *l)
{
	/* Whoever has found a rule comes to a verdict. */
	if (l->verdict == ILM_VERDICT_UNMANAGED)
		return ILM_MAPPING_NONE;
	return l->counter - generation_of(l)->counters;
}

/* Not inlined: the caller's hot path stays short. */
static __noinline void report(const struct lookup *l)
{
	struct ilm_decision d = {};
	__u32 key = 0;

	d.time_ns = bpf_ktime_get_ns();
	address_copy(d.local, l->dialled.address);
	address_copy(d.remote, l->remote);
	d.local_port = l->dialled.port;
	d.remote_port = l->remote_port;
	d.protocol = l->dialled.protocol;
	d.family = l->family;
	d.mapping = mapping_of(l);
	d.generation = generation_of(l)->number;
	d.interface = l->interface;
	d.verdict = l->verdict;
	d.matched = l->matched;
	d.selected = l->selected;
	__builtin_memcpy(d.attempts, l->attempts, sizeof(d.attempts));

	if (l->dry) {
		bpf_map_update_elem(&explained, &key, &d, BPF_ANY);
		return;
	}
	if (l->handed) {
		key = l->handed - 1;
		if (bpf_map_update_elem(&handed_reports, &key, &d, BPF_ANY))
			lose_report();
		return;
	}
	if (bpf_ringbuf_output(&decisions, &d, sizeof(d), 0))
		lose_report();
}

#endif
