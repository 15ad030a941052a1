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

/* FNV-1a, 64 bits. Only who may create cgroups of the system can choose a name: no secret. */
#define FNV_BASIS 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL
/* Levels of cgroups that are looked at; a socket further down is of no unit. */
#define CGROUP_DEPTH_MAX 64
/* A name has at most 255 bytes (include/linux/limits.h, NAME_MAX). */
#define NAME_PART 16
#define NAME_PARTS 16

/* The last bytes of a name, as packed by hash_part: the last one lowest. */
#define PACK4(a, b, c, d) ((__u64)(a) << 24 | (__u64)(b) << 16 | (__u64)(c) << 8 | (__u64)(d))
#define ENDS_SLICE (0x2eULL << 40 | 0x73ULL << 32 | PACK4('l', 'i', 'c', 'e'))
#define ENDS_SOCKET (0x2eULL << 48 | 0x73ULL << 40 | 0x6fULL << 32 | PACK4('c', 'k', 'e', 't'))

struct name_search {
	const char *at;
	__u64 hash;
	__u64 stem;		/* the hash before the last dot, which is where the suffix begins */
	__u64 last;		/* the last eight bytes */
};

static __always_inline __u64 hash_byte(__u64 hash, __u8 byte)
{
	return (hash ^ byte) * FNV_PRIME;
}

static long hash_part(__u32 i, struct name_search *n)
{
	char part[NAME_PART + 1] = {};
	long length = bpf_probe_read_kernel_str(part, sizeof(part), n->at);

	if (length <= 1)
		return 1;
	for (int b = 0; b < NAME_PART; b++) {
		if (!part[b])
			return 1;
		if (part[b] == '.')
			n->stem = n->hash;
		n->hash = hash_byte(n->hash, part[b]);
		n->last = n->last << 8 | (__u8)part[b];
	}
	n->at += NAME_PART;
	return 0;
}

struct unit_search {
	const struct kernfs_node *at;
	__u64 unit;
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
	struct name_search name = { .hash = FNV_BASIS };

	if (!parent || BPF_CORE_READ(kn, id) == constants.root_cgroup) {
		search->complete = true;
		return 1;
	}
	name.at = BPF_CORE_READ(kn, name);
	bpf_loop(NAME_PARTS, hash_part, &name, 0);
	if ((name.last & 0xffffffffffffULL) != ENDS_SLICE) {
		search->unit = name.hash;
		/* A socket unit is its service's. */
		if ((name.last & 0xffffffffffffffULL) == ENDS_SOCKET) {
			const char service[] = ".service";

			search->unit = name.stem;
			for (int b = 0; b < (int)sizeof(service) - 1; b++)
				search->unit = hash_byte(search->unit, service[b]);
		}
	}
	search->at = parent;
	return 0;
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
	return search.complete ? search.unit : 0;
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

#endif
