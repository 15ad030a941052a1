/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists every listener of the reader's namespace, as struct ilm_listener. Changes nothing, and
 * needs nothing loaded. Reads the kernel's own tables, so the list also has sockets that were
 * opened before us, and those that no mapping needs.
 */
#ifndef ILM_LISTING_H
#define ILM_LISTING_H

#include "address.h"
#include "identity.h"

/*
 * Can sk_lookup select the listener, and since when does one listen there? Only the registry knows.
 */
#ifdef ILM_TRACK_H
#define RECALL(l, sk) do { \
	const struct ilm_tracked *known = bpf_sk_storage_get(&tracked, sk, NULL, 0); \
	(l)->placed = known && known->serial; \
	(l)->since_ns = known && known->counted && !known->connected ? known->epoch : 0; \
} while (0)
#else
#define RECALL(l, sk) do { } while (0)
#endif

/* What waits for the daemon, and what found no room. */
static __always_inline void describe_queue(struct ilm_listener *l, const struct sock *sk)
{
	const struct numa_drop_counters *drops;

	if (l->protocol == IPPROTO_TCP) {
		l->waiting = BPF_CORE_READ(sk, sk_ack_backlog);
		l->waiting_max = BPF_CORE_READ(sk, sk_max_ack_backlog);
	} else {
		l->waiting = BPF_CORE_READ(sk, sk_backlog.rmem_alloc.counter);
		l->waiting_max = BPF_CORE_READ(sk, sk_rcvbuf);
	}
	if (bpf_core_field_exists(sk->sk_drops))
		l->drops = BPF_CORE_READ(sk, sk_drops.counter);
	/* Since Linux 6.18, UDP counts elsewhere (net/core/sock.c, sk_drops_read). */
	if (!bpf_core_field_exists(sk->sk_drop_counters))
		return;
	drops = BPF_CORE_READ(sk, sk_drop_counters);
	if (drops)
		l->drops = BPF_CORE_READ(drops, drops0.counter) + BPF_CORE_READ(drops, drops1.counter);
}

/*
 * A separate function also puts struct ilm_listener into the BTF, from which its TypeScript layout
 * is generated.
 */
static __noinline void describe(struct ilm_listener *l, struct sock *sk, __u8 protocol)
{
	struct sock *owner = sk;
	struct ilm_identity identity = {};
	struct sock_reuseport *group = BPF_CORE_READ(sk, sk_reuseport_cb);

	l->protocol = protocol;
	l->family = sk->__sk_common.skc_family;
	l->port = sk->__sk_common.skc_num;
	l->device = sk->__sk_common.skc_bound_dev_if;
	l->reuseport = BPF_CORE_READ_BITFIELD(&sk->__sk_common, skc_reuseport);
	l->v6only = BPF_CORE_READ_BITFIELD(&sk->__sk_common, skc_ipv6only);
	if (group) {
		l->group_size = BPF_CORE_READ(group, num_socks);
		l->group_program = BPF_CORE_READ(group, prog) != NULL;
	}
	if (l->family == AF_INET) {
		address_from_ip4(l->address, sk->__sk_common.skc_rcv_saddr);
	} else {
		l->address[0] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[0];
		l->address[1] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[1];
		l->address[2] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[2];
		l->address[3] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[3];
	}
	if (l->mptcp) {
		/* A subflow belongs to no file; its MPTCP socket does (net/mptcp/protocol.h). */
		struct inet_connection_sock *icsk = (struct inet_connection_sock *)sk;
		struct mptcp_subflow_context *subflow = BPF_CORE_READ(icsk, icsk_ulp_data);
		struct sock *conn = subflow ? BPF_CORE_READ(subflow, conn) : NULL;

		if (conn)
			owner = conn;
	}
	describe_queue(l, sk);
	identify(address_of(owner), &identity);
	l->identity = identity;
	l->cgroup = BPF_CORE_READ(owner, sk_cgrp_data.cgroup, kn, id);
	l->inode = BPF_CORE_READ(owner, sk_socket, file, f_inode, i_ino);
}

SEC("iter/tcp")
int ilm_list_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct ilm_listener l = {};
	struct tcp_sock *sk;

	if (!skc || skc->skc_state != TCP_LISTEN)
		return 0;
	sk = bpf_skc_to_tcp_sock(skc);
	if (!sk)
		return 0;
	l.cookie = bpf_get_socket_cookie(sk);
	RECALL(&l, sk);
	if (bpf_core_field_exists(sk->is_mptcp))
		l.mptcp = sk->is_mptcp;
	describe(&l, (struct sock *)sk, IPPROTO_TCP);
	bpf_seq_write(ctx->meta->seq, &l, sizeof(l));
	return 0;
}

#ifdef ILM_TRACK_H
/* SOCK_DEAD (include/net/sock.h): the daemon has closed it, and only the kernel still has it. */
#define SOCK_DEAD_FLAG 1UL

static __noinline void describe_connection(struct ilm_connection *c, struct sock_common *skc)
{
	if (skc->skc_family == AF_INET) {
		address_from_ip4(c->dialled, skc->skc_rcv_saddr);
		address_from_ip4(c->client, skc->skc_daddr);
	} else {
		c->dialled[0] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[0];
		c->dialled[1] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[1];
		c->dialled[2] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[2];
		c->dialled[3] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[3];
		c->client[0] = skc->skc_v6_daddr.in6_u.u6_addr32[0];
		c->client[1] = skc->skc_v6_daddr.in6_u.u6_addr32[1];
		c->client[2] = skc->skc_v6_daddr.in6_u.u6_addr32[2];
		c->client[3] = skc->skc_v6_daddr.in6_u.u6_addr32[3];
	}
	c->dialled_port = skc->skc_num;
}

/* The connections that destinations' listeners accepted, as struct ilm_connection. */
SEC("iter/tcp")
int ilm_list_accepted(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct ilm_connection c = {};
	const struct ilm_endpoint *daemon;
	struct tcp_sock *sk;

	if (!skc || skc->skc_state == TCP_LISTEN || skc->skc_state == TCP_CLOSE)
		return 0;
	sk = bpf_skc_to_tcp_sock(skc);
	if (!sk)
		return 0;
	daemon = bpf_sk_storage_get(&accepted, sk, NULL, 0);
	if (!daemon || skc->skc_flags & SOCK_DEAD_FLAG)
		return 0;
	c.daemon = *daemon;
	describe_connection(&c, skc);
	bpf_seq_write(ctx->meta->seq, &c, sizeof(c));
	return 0;
}
#endif

SEC("iter/udp")
int ilm_list_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *sk = ctx->udp_sk;
	struct ilm_listener l = {};

	if (!sk || sk->inet.sk.__sk_common.skc_state == TCP_ESTABLISHED)
		return 0;
	l.cookie = bpf_get_socket_cookie(sk);
	RECALL(&l, sk);
	describe(&l, &sk->inet.sk, IPPROTO_UDP);
	bpf_seq_write(ctx->meta->seq, &l, sizeof(l));
	return 0;
}

#endif
