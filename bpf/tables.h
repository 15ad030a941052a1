/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tables of one generation of rules: filled before its programs are put in force, and never changed afterwards (but for
 * the counters and the interfaces' indexes). Both programs of the generation include this file and are given the same maps.
 *
 * Generations that differ only in mappings added at run time share all tables but `ports` and the overlay's. For their rules,
 * destinations and counters there are two rooms behind those of the file's mappings: a new generation fills the one that
 * the generation in force does not use.
 */
#ifndef ILM_TABLES_H
#define ILM_TABLES_H

#include "abi.h"
#include "kernel.h"

/* [port] for TCP, [65536 + port] for UDP -> class and flags; 0: no mapping. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ILM_PORT_KEYS);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

/* [class]. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_class);
} classes SEC(".maps");

/*
 * Class and whole address or prefix -> rule or step. Not a BPF hash, but hashed by ourselves: a search looks up several times,
 * and what the kernel calls for each costs more than all else. Resized.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_prefix);
} prefixes SEC(".maps");

/* In which order the lengths of prefixes are looked at, as trees that classes share. [0] is the end. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_length);
} lengths SEC(".maps");

/*
 * The overlay: what mappings added at run time have in front of the tables above, on ports with ILM_CLASS_OVERLAY. An entry is
 * here only where it comes before what the other table has for the same prefix. No conditions: values are rules. Resized.
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
	__type(key, struct ilm_exact_key);
	__type(value, __u32);
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

/* [0] is the end. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_step);
} steps SEC(".maps");

/*
 * Interfaces that mappings name -> the index that each has now; 0: there is none of that name. [0] is not used. Resized.
 * The one table that changes while its generation is in force: when an interface comes, goes or is renamed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} interfaces SEC(".maps");

/* The services' own addresses (16 bytes). Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, 16);
	__uint(value_size, 4);
} owned SEC(".maps");

/* [0] is no rule. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_rule);
} rules SEC(".maps");

/* Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_destination);
} destinations SEC(".maps");

/* By ilm_rule.counter. Resized. Writer: this program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_counters);
} counters SEC(".maps");

/* Likewise: what the same mapping had counted in earlier generations. Resized. Writer: control plane. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_counters);
} carried SEC(".maps");

/* The generation about itself, with the mappings added at run time (gzip of JSON). Resized. Writer and reader: control plane. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4096);
} head SEC(".maps");

/* The file's mappings likewise. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4096);
} source SEC(".maps");

/* The names of the file's mappings, as sorted hashes. Resized. Writer and reader: control plane. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} names SEC(".maps");

#endif
