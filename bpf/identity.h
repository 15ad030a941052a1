/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who a socket belongs to. Whoever includes this has `constants` with `root_cgroup`. A socket
 * belongs to who created
 * it: user and group of its inode (net/socket.c, sock_alloc), and the cgroup that it was created in
 * (kernel/cgroup/cgroup.c, cgroup_sk_alloc), which moving the process later does not change. So it
 * is known of every socket, however it came to its address, and whoever looked at that time.
 */
#ifndef ILM_IDENTITY_H
#define ILM_IDENTITY_H

#include "abi.h"
#include "kernel.h"

/*
 * After FNV-1a, by words instead of bytes. Only who may create cgroups of the system can choose a
 * name: no secret is needed.
 */
#define UNIT_BASIS 0xcbf29ce484222325ULL
#define UNIT_PRIME 0x100000001b3ULL
/* Levels of cgroups that are looked at; a socket further down is of no unit. */
#define CGROUP_DEPTH_MAX 64
/* A name has at most 255 bytes (include/linux/limits.h, NAME_MAX). */
#define NAME_PART 32
#define NAME_PARTS 8
#define NAME_WORDS 32

/* Suffixes of names, as a little-endian number has them. */
#define SLICE 0x6563696c732eULL		/* .slice */
#define SOCKET 0x74656b636f732eULL	/* .socket */
#define SERVICE 0x656369767265732eULL	/* .service */

struct name_search {
	const char *name;
	__u32 length;
	__u32 hashed;		/* bytes of the name that count */
	__u64 hash;
};

static long measure_part(__u32 i, struct name_search *n)
{
	char part[NAME_PART + 1];
	long length = bpf_probe_read_kernel_str(part, sizeof(part), n->name + n->length);

	if (length <= 1)
		return 1;
	n->length += length - 1;
	return length <= NAME_PART;
}

static long hash_word(__u32 i, struct name_search *n)
{
	__u32 at = i * sizeof(__u64);
	__u64 word = 0;
	__u32 left;

	if (at >= n->hashed)
		return 1;
	left = n->hashed - at;
	bpf_probe_read_kernel(&word, left < sizeof(word) ? left & 7 : sizeof(word), n->name + at);
	n->hash = (n->hash ^ word) * UNIT_PRIME;
	n->hash ^= n->hash >> 32;
	return 0;
}

/* The last bytes of the name, `size` of them; 0: it is not that long. */
static __always_inline __u64 suffix_of(const struct name_search *n, __u32 size)
{
	__u64 suffix = 0;

	if (n->length > size)
		bpf_probe_read_kernel(&suffix, size, n->name + n->length - size);
	return suffix;
}

struct unit_search {
	const struct kernfs_node *at;
	const struct kernfs_node *unit;
	bool complete;		/* the root was reached */
};

static __always_inline const struct kernfs_node *parent_of(const struct kernfs_node *kn)
{
	const struct kernfs_node___6_14 *old = (const void *)kn;

	if (bpf_core_field_exists(kn->__parent))
		return BPF_CORE_READ(kn, __parent);
	return bpf_core_field_exists(old->parent) ? (const void *)BPF_CORE_READ(old, parent) : NULL;
}

/*
 * One level towards the root: the last one that is no slice is the unit, as slices are all that is
 * above one.
 */
static long climb(__u32 i, struct unit_search *search)
{
	const struct kernfs_node *kn = search->at;
	const struct kernfs_node *parent = parent_of(kn);
	struct name_search name = {};

	if (!parent || BPF_CORE_READ(kn, id) == constants.root_cgroup) {
		search->complete = true;
		return 1;
	}
	search->at = parent;
	name.name = BPF_CORE_READ(kn, name);
	bpf_loop(NAME_PARTS, measure_part, &name, 0);
	if (suffix_of(&name, 6) != SLICE)
		search->unit = kn;
	return 0;
}

/*
 * A socket unit is its service's. What is neither is known by its whole name; it has an odd hash,
 * the others an even one.
 */
static __always_inline __u64 hash_unit(const struct kernfs_node *kn)
{
	struct name_search name = { .name = BPF_CORE_READ(kn, name), .hash = UNIT_BASIS };
	bool service = true;

	bpf_loop(NAME_PARTS, measure_part, &name, 0);
	name.hashed = name.length;
	if (suffix_of(&name, 7) == SOCKET)
		name.hashed -= 7;
	else if (suffix_of(&name, 8) == SERVICE)
		name.hashed -= 8;
	else
		service = false;
	bpf_loop(NAME_WORDS, hash_word, &name, 0);
	return (name.hash & ~1ULL) | !service;
}

/*
 * The unit of a cgroup: of its path the first component that is no slice, as systemd has it
 * (src/basic/cgroup-util.c, cg_path_get_unit). A user can create cgroups only inside a unit of the
 * system's, so none gets another one's name.
 */
static __always_inline __u64 unit_of(const struct kernfs_node *kn)
{
	struct unit_search search = { .at = kn };

	if (!kn)
		return 0;
	bpf_loop(CGROUP_DEPTH_MAX, climb, &search, 0);
	return search.complete && search.unit ? hash_unit(search.unit) : 0;
}

/*
 * A pointer as a number, which the verifier lets go everywhere; what is behind it is only read by
 * helpers that may fail.
 */
static __always_inline __u64 address_of(const void *pointer)
{
	const void *copy = pointer;
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &copy);
	return address;
}

/* Not static: the verifier looks at it once. */
__noinline int identify(__u64 sock, struct ilm_identity *identity)
{
	const struct sock *sk = (const void *)sock;
	const struct socket *socket;

	/* Never so; the verifier wants it said. */
	if (!sk || !identity)
		return 0;
	identity->uid = BPF_CORE_READ(sk, sk_uid.val);
	identity->gid = ILM_ANYONE;
	socket = BPF_CORE_READ(sk, sk_socket);
	if (socket) {
		const struct inode *inode = (const void *)socket + bpf_core_field_offset(struct socket_alloc, vfs_inode);

		identity->gid = BPF_CORE_READ(inode, i_gid.val);
	}
	identity->unit = unit_of(BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn));
	return 1;
}

/* Never 0. */
static __always_inline __u32 seal_of(const struct ilm_identity *identity)
{
	__u64 hash = ((identity->unit ^ identity->uid) * UNIT_PRIME ^ identity->gid) * UNIT_PRIME;

	return (hash ^ hash >> 32) | 1;
}

#endif
