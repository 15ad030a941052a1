/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel types that we read, with the few members that we need; CO-RE finds them in the
 * running kernel's BTF. Small on purpose: a dumped vmlinux.h is 3 MB and says nothing about what we
 * depend on.
 */
#ifndef ILM_KERNEL_H
#define ILM_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define IPPROTO_MPTCP 262
#define TCP_ESTABLISHED 1
#define TCP_TIME_WAIT 6
#define SOL_TCP 6
#define SOCK_BINDPORT_LOCK 8
#define TCP_BPF_SOCK_OPS_CB_FLAGS 1008	/* newer than Debian 12's <linux/bpf.h> */
#define ENOENT 2
#define EBUSY 16
#define EEXIST 17
#define ESOCKTNOSUPPORT 94
#define EAFNOSUPPORT 97
#define EOPNOTSUPP 95

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

typedef struct {
	int counter;
} atomic_t;

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct net;

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	possible_net_t skc_net;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_reuseport : 1;
	unsigned char skc_ipv6only : 1;
	int skc_bound_dev_if;
	unsigned long skc_flags;
	__u32 skc_tw_rcv_nxt;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct inet_timewait_sock {
	struct sock_common __tw_common;
};

struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
	__u32 tw_ts_recent;
	int tw_ts_recent_stamp;
};

struct inode {
	kgid_t i_gid;
	unsigned long i_ino;
};

struct socket;

struct file {
	struct inode *f_inode;
};

struct socket {
	struct file *file;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct kernfs_node {
	__u64 id;
	const char *name;
	struct kernfs_node *__parent;
};

/* struct kernfs_node before Linux 6.15. */
struct kernfs_node___6_14 {
	struct kernfs_node___6_14 *parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct bpf_prog;

struct sock;

struct sock_reuseport {
	__u16 num_socks;
	struct bpf_prog *prog;
	struct sock *socks[0];
};

/* Of UDP, since Linux 6.18. */
struct numa_drop_counters {
	atomic_t drops0;
	atomic_t drops1;
};

struct sk_backlog {
	atomic_t rmem_alloc;
};

struct sock {
	struct sock_common __sk_common;
	atomic_t sk_drops;
	struct numa_drop_counters *sk_drop_counters;
	/* A struct without a name in the kernel. */
	struct sk_backlog sk_backlog;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	int sk_rcvbuf;
	struct socket *sk_socket;
	struct sock_reuseport *sk_reuseport_cb;
	__u8 sk_userlocks : 4;
	kuid_t sk_uid;
	struct sock_cgroup_data sk_cgrp_data;
};

struct inet_sock {
	struct sock sk;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	void *icsk_ulp_data;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	bool is_mptcp;
};

struct tcp6_sock {
	struct tcp_sock tcp;
};

struct udp_sock {
	struct inet_sock inet;
	unsigned long udp_flags;
	__u8 encap_type;
};

struct mptcp_subflow_context {
	struct sock *conn;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
};

#pragma clang attribute pop

#endif
