/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The identity of a socket. The including file defines `constants` with `root_cgroup`. A socket
 * belongs to its creator: to the user and group of its inode (net/socket.c, sock_alloc), and to the
 * cgroup in which it was created (kernel/cgroup/cgroup.c, cgroup_sk_alloc), which moving the
 * process later does not change. So every socket has a known identity, however it got its address,
 * and whether or not anything was watching at the time.
 */
#ifndef ILM_IDENTITY_H
#define ILM_IDENTITY_H

#include "abi.h"
#include "kernel.h"

/*
 * Modelled on FNV-1a, over words instead of bytes. Only those who may create cgroups of the system
 * can choose a name, so the hash needs no secret.
 */
#define UNIT_BASIS 0xcbf29ce484222325ULL
#define UNIT_PRIME 0x100000001b3ULL
/* Levels of cgroups that are walked; a socket further down has no unit. */
#define CGROUP_DEPTH_MAX 64
/* A name has at most 255 bytes (include/linux/limits.h, NAME_MAX). */
#define NAME_PART 31
#define NAME_PARTS 9
#define NAME_WORDS 32

/* Suffixes of names, as little-endian numbers. */
#define SLICE 0x6563696c732eULL		/* .slice */
#define SOCKET 0x74656b636f732eULL	/* .socket */
#define SERVICE 0x656369767265732eULL	/* .service */

struct name_search {
	const char *name;
	__u32 length;
	__u32 hashed;		/* bytes of the name that are hashed */
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

/* The last `size` bytes of the name; 0: the name is too short. */
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
	bool complete;		/* the walk reached the root */
};

static __always_inline const struct kernfs_node *parent_of(const struct kernfs_node *kn)
{
	const struct kernfs_node___6_14 *old = (const void *)kn;

	if (bpf_core_field_exists(kn->__parent))
		return BPF_CORE_READ(kn, __parent);
	return bpf_core_field_exists(old->parent) ? (const void *)BPF_CORE_READ(old, parent) : NULL;
}

/*
 * Climbs one level towards the root. The last node that is not a slice is the unit: above a unit
 * there are only slices.
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
 * Hashes the name of a unit. A socket unit counts as the service of the same name. Anything else is
 * identified by its whole name and has an odd hash; services and socket units have an even one.
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
 * The unit of a cgroup: the first component of its path that is not a slice, as systemd defines it
 * (src/basic/cgroup-util.c, cg_path_get_unit). A user can create cgroups only inside one of the
 * system's units, so no unit can take another one's name.
 */
static __always_inline __u64 unit_of(const struct kernfs_node *kn)
{
	struct unit_search search = { .at = kn };
	const struct kernfs_node *none = NULL;

	if (!kn)
		return 0;
	/*
	 * Before 6.7, the verifier follows one call of the callback only
	 * (kernel/bpf/verifier.c), and concludes that no search both finds a unit and reaches the
	 * root. It knows nothing of what a helper writes.
	 */
	bpf_probe_read_kernel(&search.unit, sizeof(search.unit), &none);
	bpf_loop(CGROUP_DEPTH_MAX, climb, &search, 0);
	return search.complete && search.unit ? hash_unit(search.unit) : 0;
}

/*
 * A pointer as a number, which the verifier lets pass anywhere; what it points to is only read by
 * helpers that may fail.
 */
static __always_inline __u64 address_of(const void *pointer)
{
	const void *copy = pointer;
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &copy);
	return address;
}

/* Fills in a socket's identity. Not static: the verifier walks it once. */
__noinline int identify(__u64 sock, struct ilm_identity *identity)
{
	const struct sock *sk = (const void *)sock;
	const struct socket *socket;

	/* Never NULL; the verifier requires the check. */
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

/* A hash of the identity; never 0. */
static __always_inline __u32 seal_of(const struct ilm_identity *identity)
{
	__u64 hash = ((identity->unit ^ identity->uid) * UNIT_PRIME ^ identity->gid) * UNIT_PRIME;

	return (hash ^ hash >> 32) | 1;
}

#endif
