/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The registry's maps: what the kernel side knows about listeners. They outlive generations of
 * rules; every object that includes this file gets the same pinned maps.
 */
#ifndef ILM_MAPS_H
#define ILM_MAPS_H

#include "abi.h"
#include "kernel.h"

/* One entry. Writer: control plane. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_meta);
} meta SEC(".maps");

/*
 * Place -> how many listen there: every TCP listener and bound UDP socket of the namespace that a
 * look-up may ask for, that is, those on a mapped port and those of destinations. So nobody can
 * fill it with sockets of no concern to us. Writers: sock_ops, post_bind, connect, sock_release,
 * iterators. Readers: sk_lookup, ingress. The last to leave an entry removes it. Sized for every
 * port of a few addresses; sockets beyond that are counted in `faults`.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ilm_place);
	__type(value, struct ilm_presence);
} presence SEC(".maps");

/*
 * Destination -> when its last listener ended. Writers: as of `presence`. Readers: `status`,
 * `mappings`. LRU: of many destinations, the ones that ended first are forgotten.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct ilm_endpoint);
	__type(value, struct ilm_ending);
} endings SEC(".maps");

/*
 * struct ilm_turn. Writers: as of `presence`. Reader: `run`, which then looks who listens: what
 * finds the buffer full is missing in its log only.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} turns SEC(".maps");

/*
 * Counting filter over the endpoints: 0 means that nothing listens exactly there, without the cost
 * of the hash look-up. Writers: sock_ops, post_bind, sock_release, iterators. Readers: sk_lookup,
 * ingress.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ILM_FILTER_BUCKETS);
	__type(key, __u32);
	__type(value, __u32);
} filter SEC(".maps");

/*
 * Destination -> where its sockets are kept. Writers: control plane; sk_lookup, ingress, post_bind
 * and the UDP iterator (`wanted`); sock_ops, post_bind and the iterators (`heard`). Readers:
 * sock_ops, post_bind, iterators, sk_lookup, ingress, `deliver`, sendmsg. Resized.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ilm_endpoint);
	__type(value, struct ilm_slot);
} slots SEC(".maps");

/*
 * Number -> whose sockets may be selected. Few: mappings that permit the same owners share one.
 * Writer: control plane. Readers: the programs that place sockets, sk_lookup, ingress, bind.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct ilm_permit);
} permits SEC(".maps");

/*
 * A service's own address (16 bytes) -> who may listen there, a number of `permits`. Only for
 * services that name an owner. Writer: control plane. Readers: sk_lookup, ingress, bind.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, 16);
	__uint(value_size, 4);
} owners SEC(".maps");

/*
 * One entry: the first port that requires no privilege to bind
 * (net.ipv4.ip_unprivileged_port_start). Writers: control plane, at each change; bind, when it has
 * become lower. Readers: sk_lookup, ingress, bind.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} unprivileged SEC(".maps");

/*
 * The policies for processes. Writer: control plane. Readers: bind, sock_create. Sized for every
 * unit and user of a host.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ilm_policy_key);
	__type(value, __u32);
} policies SEC(".maps");

/*
 * struct ilm_policy_key -> struct ilm_rewrite, where the policy is ILM_WILDCARD_REWRITE. Writer:
 * control plane. Reader: bind.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ilm_policy_key);
	__type(value, struct ilm_rewrite);
} rewrites SEC(".maps");

/*
 * Where TCP sockets are bound that asked for another address -> ILM_ASKED_*. For MPTCP, whose
 * sockets are not those that bind. Writer: bind. Reader: getsockname.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct ilm_endpoint);
	__type(value, __u8);
} rewritten SEC(".maps");

/* What was refused. Writers: bind, sk_lookup. Reader: `audit`. LRU: a flood evicts the oldest. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ilm_refusal_key);
	__type(value, struct ilm_refusal);
} refusals SEC(".maps");

/* struct ilm_refused. Writers: bind, sk_lookup. Reader: `run`, for its log. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} refused SEC(".maps");

/*
 * The programs that bind4 and bind6 call to ask the rules (bpf/bind.h); of different types, because
 * the kernel lets programs call only programs of the same hook. Writer: control plane.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bind4_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bind6_rules SEC(".maps");

/*
 * Slot -> a listening socket of that destination. Writers: sock_ops, iterators; the kernel empties
 * it at close. Reader: sk_lookup. Resized.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} primary SEC(".maps");

/*
 * The further sockets of a destination (a SO_REUSEPORT group, or an old and a new daemon at
 * hand-over), and all of them for destinations that take every port. When the primary one closes,
 * the others still serve. Elements are allocated when used, buckets (24 bytes each) at once: room
 * for every port of a few addresses. Same writers and reader as `primary`.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 262144);
	__type(key, struct ilm_member);
	__type(value, __u64);
} members SEC(".maps");

/*
 * What we did with a socket; the kernel frees it with the socket. Writers and readers: sock_ops,
 * iterators, and the programs on the cgroup except sock_create.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ilm_tracked);
} tracked SEC(".maps");

/*
 * TCP listener of a destination -> that destination. The kernel gives each connection a copy when
 * it clones the listener (net/core/bpf_sk_storage.c, bpf_sk_storage_clone), and frees it with the
 * socket. Writers: sock_ops, the TCP iterator. Reader: the listing of connections.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct ilm_endpoint);
} accepted SEC(".maps");

/*
 * Destinations with a UDP socket that sk_lookup should have but lacks (struct ilm_endpoint): just
 * bound, or just missed. `run` reads it and scans. Writers: post_bind, the UDP iterator, sk_lookup,
 * ingress.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} binds SEC(".maps");

/*
 * UDP client -> what it dialled, for the source address of replies. LRU: a flood evicts the oldest.
 * Writers: `deliver`, sendmsg, egress (when it was last seen); ingress, for tunnels. Readers:
 * these, and the program that gives ICMP errors back.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct ilm_flow_key);
	__type(value, struct ilm_flow);
} flows SEC(".maps");

/*
 * One bit for each port that a mapping covers. Writer: control plane. Readers: sock_ops, post_bind,
 * iterators, sendmsg, `deliver`.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ILM_PORT_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} mapped_ports SEC(".maps");

/*
 * The remote end that a client on this host asked, from a port that the kernel assigned and that a
 * mapping covers -> when (CLOCK_MONOTONIC, ns). Writer: sendmsg. Readers: ingress, sk_lookup.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct ilm_asked_key);
	__type(value, __u64);
} asked SEC(".maps");

/*
 * One entry: not 0 once a client on this host has asked. Hosts without such clients pay only for
 * this look-up. Writer: sendmsg. Readers: ingress, sk_lookup.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} any_asked SEC(".maps");

/* One entry. Writers: readers of decisions (`monitor`). Readers: sk_lookup, ingress. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_watch);
} watch SEC(".maps");

/*
 * Seat -> who watches, and what. Writers: readers of decisions, each its own seat. Readers:
 * sk_lookup, ingress, the counting programs.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ILM_READERS);
	__type(key, __u32);
	__type(value, struct ilm_reader);
} readers SEC(".maps");

/*
 * One entry: a bit for each seat that is taken, so that the others cost nothing. Writer: who takes
 * a seat or frees it, under a lock. Readers: as above.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} seats SEC(".maps");

/*
 * Seat -> the ring buffer of that reader, for struct ilm_decision. Made by the reader, so that its
 * memory is used only while it watches. The one here is a pattern. Writers: readers of decisions.
 * Readers: sk_lookup, ingress, the counting programs.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ILM_READERS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_RINGBUF);
		__uint(max_entries, 65536);
	});
} reader_rings SEC(".maps");

/*
 * Seat -> counts, which only grow; the last seat is for all. Per CPU, so that a flood on several
 * CPUs writes to no common line. Writers: sk_lookup, ingress, the counting programs. Readers:
 * readers of decisions.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ILM_READERS + 1);
	__type(key, __u32);
	__type(value, struct ilm_reader_counts);
} reader_counts SEC(".maps");

/*
 * Seat -> how much the reader was given lately. Writers: who takes the seat; sk_lookup, ingress,
 * the counting programs, no more often than decisions are given.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ILM_READERS);
	__type(key, __u32);
	__type(value, struct ilm_reader_pace);
} reader_pace SEC(".maps");

/* One entry. Writer: `explain`, under its lock. Reader: sk_lookup. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_question);
} question SEC(".maps");

/* One entry: the answer. Writer: sk_lookup in a test run. Reader: `explain`, under its lock. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_decision);
} explained SEC(".maps");

/*
 * The ingress programs of the active program set; the program on the interfaces calls the first,
 * which calls the other (ILM_INGRESS_*). Writer: control plane.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} ingress SEC(".maps");

/*
 * The programs that count what `deliver` met (bpf/count.h), by the parity of their program set:
 * `deliver` calls that of the set that decided. Writer: control plane.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, ILM_COUNTING);
	__type(key, __u32);
	__type(value, __u32);
} counted_by SEC(".maps");

/*
 * Place -> packet. Not per CPU: a netfilter queue may pass the packet on from another one. Writers:
 * ingress, the counting programs. Reader: `deliver`.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ILM_HANDED);
	__type(key, __u32);
	__type(value, struct ilm_handed);
} handed SEC(".maps");

/*
 * Place -> what to report of the packet, while a reader wants it. Writer: ingress; the counting
 * programs remove what they report, and the report of a dropped packet is overwritten when its
 * place is taken again, or never looked at.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ILM_HANDED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct ilm_decision);
} handed_reports SEC(".maps");

/* One entry. Writer: the ingress program. Readers: it, and sk_lookup. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_steering);
} steering SEC(".maps");

/*
 * Hash -> token. Writers: the ingress program; sk_lookup, which takes what it meets, on the same
 * CPU.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ILM_TOKENS);
	__type(key, __u32);
	__type(value, struct ilm_token);
} tokens SEC(".maps");

/*
 * One entry: the number of TCP listeners of destinations that only ingress can select (MPTCP,
 * `handover: ingress`). Writers: sock_ops, sock_release, iterators. Readers: sk_lookup, ingress.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} steered_tcp SEC(".maps");

/*
 * One entry: not 0 once a socket of the kernel's own (VXLAN, WireGuard) has been a destination.
 * Writer: ingress. Readers: egress, ingress.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} tunnels SEC(".maps");

/*
 * One entry: the number of listeners that are bound to a device. Writers: sock_ops, post_bind,
 * sock_release, iterators. Readers: sk_lookup, ingress.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} on_device SEC(".maps");

/*
 * One entry: the number of listeners on a destination that are bound to a device, or that its
 * permit does not permit. While there is one, look-ups take the long way; beside a daemon that
 * already listens there, only its own user can create one. Same writers as `on_device`. Readers:
 * sk_lookup, ingress.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} irregular SEC(".maps");

/*
 * Index of a VRF's device -> ILM_VRF_CLOSED_*. Writer: control plane. Readers: sk_lookup, ingress,
 * egress.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} vrfs SEC(".maps");

/* One entry: the number of VRFs. Hosts without any pay only for this look-up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} vrf_count SEC(".maps");

/* One entry. Writers: all programs. Reader: `status`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_faults);
} faults SEC(".maps");

#define count_fault(member) do { \
	__u32 fault_key = 0; \
	struct ilm_faults *fault = bpf_map_lookup_elem(&faults, &fault_key); \
	if (fault) \
		__sync_fetch_and_add(&fault->member, 1); \
} while (0)

static __always_inline bool is_mapped(__u8 protocol, __u16 port)
{
	__u32 place = port | (protocol == IPPROTO_UDP ? ILM_PORT_KEYS / 2 : 0);
	__u32 word = place / 64;
	__u64 *bits = bpf_map_lookup_elem(&mapped_ports, &word);

	return bits && *bits & 1ULL << (place % 64);
}

/* The slot of a destination: for exactly its port, or else for every port of its address. */
static __always_inline struct ilm_slot *slot_of(const struct ilm_endpoint *endpoint)
{
	/* A copy: 6.1 accepts a map's key only on the stack, not through an argument. */
	struct ilm_endpoint every = *endpoint;
	struct ilm_slot *slot = bpf_map_lookup_elem(&slots, &every);

	if (slot)
		return slot;
	every.port = 0;
	return bpf_map_lookup_elem(&slots, &every);
}

#endif
