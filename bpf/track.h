/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts a listener while it lives, and places it where sk_lookup finds it. Shared by every program
 * that sees sockets.
 */
#ifndef ILM_TRACK_H
#define ILM_TRACK_H

#include "address.h"
#include "permit.h"

/*
 * The entry of a place, created if there is none. Several CPUs may create the same one: the loser
 * finds the winner's with the second look-up.
 */
static __always_inline struct ilm_presence *presence_of(const struct ilm_place *place)
{
	struct ilm_presence *found = bpf_map_lookup_elem(&presence, place);
	struct ilm_presence fresh = {};

	if (found)
		return found;
	fresh.epoch = bpf_ktime_get_ns();
	bpf_map_update_elem(&presence, place, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&presence, place);
}

/* Enough for a CPU that looks up an entry while another one removes it. */
#define HOLD_ATTEMPTS 4

static __always_inline void let_go(struct ilm_presence *p, const struct ilm_place *place)
{
	if (__sync_fetch_and_add(&p->holders, -1) != 1)
		return;
	/* From here on, others find it dead and create a new one. */
	if (__sync_val_compare_and_swap(&p->holders, 0, ILM_PRESENCE_DEAD) == 0)
		bpf_map_delete_elem(&presence, place);
}

/*
 * The entry of a place, held. The memory of a removed entry is reused at once, so the entry is
 * looked up again once it is held.
 */
static __always_inline struct ilm_presence *hold(const struct ilm_place *place)
{
	for (int i = 0; i < HOLD_ATTEMPTS; i++) {
		struct ilm_presence *p = presence_of(place);
		struct ilm_presence *again;

		if (!p)
			return NULL;
		if (!(__sync_fetch_and_add(&p->holders, 1) & ILM_PRESENCE_DEAD)) {
			again = bpf_map_lookup_elem(&presence, place);
			if (again && again->epoch == p->epoch)
				return again;
		}
		__sync_fetch_and_add(&p->holders, -1);
	}
	return NULL;
}

/*
 * The entry that counts the socket. NULL: it was removed, and perhaps created again without the
 * socket.
 */
static __always_inline struct ilm_presence *counting(const struct ilm_tracked *t)
{
	struct ilm_presence *p = t->counted ? bpf_map_lookup_elem(&presence, &t->place) : NULL;

	return p && p->epoch == t->epoch ? p : NULL;
}

static __always_inline void filter_add(const struct ilm_endpoint *endpoint, __s32 change)
{
	__u32 bucket = endpoint_bucket(endpoint);
	__u32 *count = bpf_map_lookup_elem(&filter, &bucket);

	if (count)
		__sync_fetch_and_add(count, change);
}

#define add_to_single(map, change) do { \
	__u32 single_key = 0; \
	__u32 *single = bpf_map_lookup_elem(&map, &single_key); \
	if (single) \
		__sync_fetch_and_add(single, change); \
} while (0)

static __always_inline bool identity_equal(const struct ilm_identity *a, const struct ilm_identity *b)
{
	return a->unit == b->unit && a->uid == b->uid && a->gid == b->gid;
}

/*
 * Counts a socket with that identity in the entry, and returns its kind; ILM_KINDS: it is one of
 * `others`, whose identities are not known. Not static: the verifier walks it once.
 */
__noinline int join_kind(struct ilm_presence *p, const struct ilm_identity *identity)
{
	/* Never NULL; the verifier requires the check. */
	if (!p || !identity)
		return ILM_KINDS;
	for (int i = 0; i < ILM_KINDS; i++) {
		struct ilm_kind *kind = &p->kinds[i];
		__u32 sockets = kind->sockets;

		if (sockets && !(sockets & ILM_KIND_BUSY) && identity_equal(&kind->identity, identity) &&
		    __sync_val_compare_and_swap(&kind->sockets, sockets, sockets + 1) == sockets)
			return i;
	}
	for (int i = 0; i < ILM_KINDS; i++) {
		struct ilm_kind *kind = &p->kinds[i];

		if (__sync_val_compare_and_swap(&kind->sockets, 0, ILM_KIND_BUSY))
			continue;
		kind->identity = *identity;
		/* Turns busy into one. */
		__sync_fetch_and_add(&kind->sockets, 1 - ILM_KIND_BUSY);
		return i;
	}
	__sync_fetch_and_add(&p->others, 1);
	return ILM_KINDS;
}

/* Undoes join_kind(). Not static: the verifier walks it once. */
__noinline int leave_kind(struct ilm_presence *p, __u32 kind)
{
	/* Never NULL; the verifier requires the check. */
	if (!p)
		return 0;
	if (kind >= ILM_KINDS) {
		__sync_fetch_and_add(&p->others, -1);
		return 0;
	}
	/* The verifier has lost track of this bound. */
	kind &= ILM_KINDS - 1;
	barrier_var(kind);
	__sync_fetch_and_add(&p->kinds[kind & (ILM_KINDS - 1)].sockets, -1);
	return 0;
}

static __always_inline void add_to_presence(struct ilm_presence *p, struct ilm_tracked *t, __s32 change)
{
	if (t->connected) {
		__sync_fetch_and_add(&p->connected, change);
		return;
	}
	if (change > 0)
		t->kind = join_kind(p, &t->identity);
	else
		leave_kind(p, t->kind);
	if (t->v6only)
		__sync_fetch_and_add(&p->v6only, change);
	if (t->serial)
		__sync_fetch_and_add(&p->placed, change);
	__sync_fetch_and_add(&p->sockets, change);
}

/*
 * Notes whether the socket listens on a destination and is bound to a device, or is not permitted
 * there.
 */
static __always_inline void mark_irregular(struct ilm_tracked *t, __u8 is)
{
	if (t->irregular == is)
		return;
	t->irregular = is;
	add_to_single(irregular, is ? 1 : -1);
}

/* Finds the socket's identity, once. */
static __always_inline void identify_tracked(struct ilm_tracked *t, const void *sk)
{
	struct ilm_identity identity = {};

	if (t->seal)
		return;
	identify(address_of(sk), &identity);
	t->identity = identity;
	t->seal = seal_of(&identity);
}

/* Is the socket permitted at the destination? */
static __always_inline bool is_permitted(const struct ilm_tracked *t, const struct ilm_slot *slot)
{
	struct ilm_identity identity = t->identity;

	return permits_identity(&identity, slot->permit);
}

/*
 * Notes that somebody who is permitted listens at the destination, by its own slot and by that of
 * every port of its address. Not static: the verifier walks it once.
 */
__noinline int mark_heard(const struct ilm_endpoint *endpoint)
{
	struct ilm_endpoint place;
	struct ilm_slot *slot;

	/* Never NULL; the verifier requires the check. */
	if (!endpoint)
		return 0;
	place = *endpoint;
	slot = bpf_map_lookup_elem(&slots, &place);
	if (slot && !slot->heard)
		slot->heard = 1;
	place.port = 0;
	slot = bpf_map_lookup_elem(&slots, &place);
	if (slot && !slot->heard)
		slot->heard = 1;
	return 0;
}

/* A separate function puts struct ilm_turn into the BTF, from which its layout is generated. */
static __noinline void tell_turn(struct ilm_turn *turn)
{
	bpf_ringbuf_output(&turns, turn, sizeof(*turn), 0);
}

/*
 * Notes that a destination has its first listener, or that its last one ended. Not static: the
 * verifier walks it once.
 */
__noinline int note_turn(const struct ilm_endpoint *endpoint, const struct ilm_identity *identity, bool listens)
{
	struct ilm_ending ending = {};
	struct ilm_turn turn = {};

	/* Never NULL; the verifier requires the check. */
	if (!endpoint || !identity)
		return 0;
	turn.endpoint = *endpoint;
	turn.identity = *identity;
	turn.listens = listens;
	if (!slot_of(&turn.endpoint))
		return 0;
	if (!listens) {
		ending.ended_ns = bpf_ktime_get_ns();
		ending.identity = *identity;
		bpf_map_update_elem(&endings, &turn.endpoint, &ending, BPF_ANY);
	}
	tell_turn(&turn);
	return 1;
}

/* A listener has joined the entry. */
static __always_inline void join(const struct ilm_presence *p, const struct ilm_tracked *t)
{
	if (p->sockets == 1 && !t->irregular)
		note_turn(&t->place.endpoint, &t->identity, true);
}

/*
 * A listener has left the entry. Not worth a note if others are left; where strangers may be among
 * these, only the reader can tell.
 */
static __always_inline void leave(const struct ilm_presence *p, const struct ilm_tracked *t)
{
	__u32 key = 0;
	__u32 *strange = bpf_map_lookup_elem(&irregular, &key);

	if (!p->sockets || (strange && *strange))
		note_turn(&t->place.endpoint, &t->identity, false);
}

static __always_inline void uncount(struct ilm_tracked *t)
{
	struct ilm_presence *p = counting(t);
	bool listened = !t->connected && !t->irregular;

	if (!t->counted)
		return;
	t->counted = 0;
	filter_add(&t->place.endpoint, -1);
	if (t->place.device)
		add_to_single(on_device, -1);
	mark_irregular(t, 0);
	if (!p)
		return;
	add_to_presence(p, t, -1);
	if (listened)
		leave(p, t);
	let_go(p, &t->place);
}

/* Notes the serial of the slot under which sk_lookup finds the socket; 0: it no longer does. */
static __always_inline void mark_placed(struct ilm_tracked *t, __u32 serial)
{
	struct ilm_presence *p = counting(t);
	__s32 change = (serial != 0) - (t->serial != 0);

	t->serial = serial;
	if (p && change && !t->connected)
		__sync_fetch_and_add(&p->placed, change);
}

/* Notes whether a TCP listener is left to ingress. */
static __always_inline void mark_steered(struct ilm_tracked *t, __u8 steered)
{
	if (t->steered == steered)
		return;
	t->steered = steered;
	add_to_single(steered_tcp, steered ? 1 : -1);
}

/*
 * A UDP socket that connects is no longer a listener; when a scan finds it unconnected, it is one
 * again.
 */
static __always_inline void mark_connected(struct ilm_tracked *t, __u8 connected)
{
	struct ilm_presence *p = counting(t);

	if (t->connected == connected || !p)
		return;
	add_to_presence(p, t, -1);
	t->connected = connected;
	add_to_presence(p, t, 1);
	if (!connected)
		join(p, t);
	else if (!t->irregular)
		leave(p, t);
}

/* Ends the tracking of a listener. */
static __always_inline void forget(struct ilm_tracked *t)
{
	uncount(t);
	mark_steered(t, 0);
	t->answers = 0;
	t->connected = 0;
	t->serial = 0;
}

static __always_inline bool place_equal(const struct ilm_place *a, const struct ilm_place *b)
{
	return address_equal(a->endpoint.address, b->endpoint.address) && a->endpoint.port == b->endpoint.port &&
	       a->endpoint.protocol == b->endpoint.protocol && a->device == b->device;
}

/*
 * Counts a listener, already identified, where it listens now. Idempotent, so a scan may meet a
 * socket that registered itself.
 */
static __always_inline void count(struct ilm_tracked *t, const struct ilm_endpoint *endpoint, __u32 device, bool v6only,
				  bool is_irregular)
{
	struct ilm_place place = { .endpoint = *endpoint, .device = device };
	struct ilm_presence *p;

	if (t->counted) {
		if (counting(t) && place_equal(&t->place, &place)) {
			mark_irregular(t, is_irregular);
			return;
		}
		/*
		 * The entry that counted it was removed (see `presence`), or the socket was bound
		 * to a device in the meantime.
		 */
		uncount(t);
	}
	p = hold(&place);
	if (!p) {
		count_fault(untracked);
		return;
	}
	t->place = place;
	t->v6only = v6only;
	t->epoch = p->epoch;
	t->counted = 1;
	add_to_presence(p, t, 1);
	filter_add(endpoint, 1);
	if (device)
		add_to_single(on_device, 1);
	mark_irregular(t, is_irregular);
	join(p, t);
}

#endif
