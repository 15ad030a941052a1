/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tables of rules of one program set. All its programs include this file and get the same maps.
 * The tables have two sides. The active generation is on one; the next is written on the other,
 * which nothing reads, and `sides.current` activates it. What a generation uses never changes while
 * it is active (except counters and interface indexes). The places of a side are contiguous, so
 * numbers of classes, rules, steps and so on belong to one side only; 0 is none on both.
 *
 * For 10,000 mappings or more the tables have one part for the file's mappings, which stays as it
 * is, and two sides for what is added at run time: `ports`, the overlay, and its rules,
 * destinations and counters after those of the file.
 */
#ifndef ILM_TABLES_H
#define ILM_TABLES_H

#include "abi.h"
#include "kernel.h"

/*
 * Both sides, and which one is active: that word is all that a change writes to activate itself. A
 * variable, because it is read without a call. Writer: control plane; a program that reads the word
 * once sees one generation.
 */
volatile struct ilm_sides sides SEC(".data.sides");

/* The classes of ports; on each side TCP's, then UDP's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ILM_SIDES * ILM_PORT_KEYS / ILM_PORT_LINE);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ilm_port_line);
} ports SEC(".maps");

/*
 * Class -> the rule for addresses that nothing more specific names, and where the search for
 * prefixes begins. Resized.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ilm_class);
} classes SEC(".maps");

/*
 * Class and whole address or prefix -> rule or step. Not a BPF hash but a hash table of our own: a
 * search looks up several times, and what the kernel calls for each costs more than the rest.
 * Resized.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ilm_prefix);
} prefixes SEC(".maps");

/*
 * The order in which lengths of prefixes are searched, as trees that classes share. [0] is the end.
 * Resized.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ilm_length);
} lengths SEC(".maps");

/*
 * The overlay: what has changed since the tables above were filled, and what was added at run time,
 * on ports with ILM_CLASS_OVERLAY. It has an entry only where that comes before what the other
 * table has for the same prefix, or where what that has is a mapping that is gone. No conditions:
 * entries lead to rules, the overlay's own or those of the tables above. Resized.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_overlay_class);
} overlay_classes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ilm_exact_key);
	__type(value, struct ilm_exact_target);
} overlay_exact SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ilm_prefix_key);
	__type(value, struct ilm_prefix_target);
} overlay_prefixes SEC(".maps");

/* Group and prefix of the packet's source -> step. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ilm_prefix_key);
	__type(value, __u32);
} sources SEC(".maps");

/* The steps of chains. [0] is the end. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ilm_step);
} steps SEC(".maps");

/*
 * Interfaces that mappings name -> the index that each has now; 0: there is none of that name. [0]
 * is not used. Resized. The only table that changes while its generation is active: when an
 * interface comes, goes or is renamed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} interfaces SEC(".maps");

/* The services' own addresses (16 bytes) -> the sides on which they are, one bit each. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, 16);
	__uint(value_size, 4);
} owned SEC(".maps");

/*
 * [0] is no rule. As many entries as kinds of mappings: one, or a million if each leads elsewhere.
 * Resized.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ilm_rule);
} rules SEC(".maps");

/* The destinations of the rules, those of each rule contiguous. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ilm_destination);
} destinations SEC(".maps");

/*
 * Several copies, one after another, so that CPUs of different copies write to different cache
 * lines; in each copy, the index is the number beside that of a rule. A mapping's count is the sum
 * over the copies. Not a per-CPU map: for a million mappings that takes 32 MB for each CPU that the
 * machine may get (docs/decisions/0031-copies-of-counters.md). Resized. Writers: these programs
 * (bpf/report.h, counters_of).
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ilm_counters);
} counters SEC(".maps");

/*
 * How often each destination but a mapping's first was selected: what is left of the mapping's
 * `selected` is the first one's, so mappings with one destination, and failover whose first
 * destination listens, cost nothing here. For the second destinations of all mappings there are as
 * many places as in `counters`, in all copies, behind them as many for the third ones, and so on.
 * Resized. Writers: these programs (bpf/report.h, count_selected).
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} shares SEC(".maps");

#endif
