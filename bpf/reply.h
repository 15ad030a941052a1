/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A UDP daemon that listens on its private address answers from it; the client waits for an answer
 * from what it dialled. Delivery of the client's datagram recorded what it dialled (bpf/flow.h),
 * and here the answer gets that source address (net/ipv4/udp.c, udp_sendmsg; net/ipv6/udp.c,
 * udpv6_sendmsg), before the route is chosen and the checksum is computed: later would be too late,
 * because the kernel routes nothing from 127.0.0.0/8 to another host.
 *
 * A daemon that sends first has no flow, and sends from its private address; or, if its service
 * asks for it, from the one address and port that lead to it.
 *
 * The port cannot be changed here; bpf/egress.h changes it, where a mapping did. Unconnected sends
 * only. A daemon that chooses the source itself (IP_PKTINFO) is left alone: it passes an address
 * other than the one it is bound to.
 */
#ifndef ILM_REPLY_H
#define ILM_REPLY_H

#include "flow.h"
#include "rewrite.h"
#include "skb.h"
#include "track.h"

/*
 * 127.0.0.6: what the kernel uses as the IPv4 address of a socket that is bound to an IPv6 one
 * (include/linux/in.h).
 */
#define LOOPBACK4_IPV6 bpf_htonl(0x7f000006)

/*
 * Did the socket's owner choose its port, rather than the kernel (net/ipv4/af_inet.c, __inet_bind,
 * inet_autobind)? Before Linux 6.2, a bound port counts as chosen.
 */
static __always_inline bool chose_port(struct bpf_sock *sk)
{
	const struct sock *kernel_sk;

	if (!bpf_rdonly_cast)
		return bpf_sk_storage_get(&tracked, sk, NULL, 0);
	kernel_sk = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct sock));
	return BPF_CORE_READ_BITFIELD_PROBED(kernel_sk, sk_userlocks) & SOCK_BINDPORT_LOCK;
}

/*
 * The address by which mappings lead to the socket from that peer. A rewritten dual-stack socket
 * (bpf/rewrite.h) has its service's IPv4 address; what leads IPv6 to it names the IPv6 one.
 */
static __always_inline void own_address(__be32 *own, const struct ilm_flow_key *key, struct bpf_sock *sk)
{
	struct ilm_identity identity;
	struct ilm_rewrite *rewrite;
	struct ilm_tracked *t;

	address_copy(own, key->local);
	if (!address_is_ip4(key->local) || address_is_ip4(key->remote))
		return;
	t = bpf_sk_storage_get(&tracked, sk, NULL, 0);
	if (!t || !t->asked || !t->seal)
		return;
	identity = t->identity;
	rewrite = rewrite_of(&identity);
	if (rewrite)
		address_copy(own, rewrite->ip6);
}

static __always_inline struct ilm_flow *flow_for(const struct ilm_flow_key *key, struct bpf_sock *sk)
{
	struct ilm_endpoint endpoint = { .port = key->local_port, .protocol = IPPROTO_UDP };
	struct ilm_endpoint dialled = { .protocol = IPPROTO_UDP };
	struct ilm_flow *flow = find_flow(key);
	struct ilm_slot *slot;

	if (flow) {
		keep_flow(flow);
		/* Without egress a mapped port cannot be restored, and half an answer is none. */
		return flow->port == key->local_port || constants.steer_udp ? flow : NULL;
	}
	own_address(endpoint.address, key, sk);
	if (address_is_wildcard(key->local) && !chose_port(sk))
		remember_asked(key);
	slot = slot_of(&endpoint);
	if (!slot)
		return NULL;
	if (slot->origin_port && (slot->origin_port == key->local_port || constants.steer_udp)) {
		/* It speaks first, as if its peer had dialled. */
		address_copy(dialled.address, slot->origin);
		dialled.port = slot->origin_port;
		remember_flow(key, &dialled, 0);
		return find_flow(key);
	}
	count_fault(unanswered);
	return NULL;
}

SEC("cgroup/sendmsg4")
int ilm_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct ilm_flow_key key = {};
	struct bpf_sock *sk = ctx->sk;
	struct ilm_flow *flow;
	__be32 source;

	if (!sk || bpf_get_netns_cookie(ctx) != constants.netns_cookie)
		return 1;
	flow_key_of_socket(&key, sk);
	address_from_ip4(key.remote, ctx->user_ip4);
	key.remote_port = bpf_ntohs(ctx->user_port);
	flow = flow_for(&key, sk);
	if (!flow || flow->dialled[2] != IP4_MAPPED)
		return 1;
	source = ctx->msg_src_ip4;
	if (note_chosen(flow, source && source != key.local[3] && !(sk->family == AF_INET6 && source == LOOPBACK4_IPV6)))
		return 1;
	ctx->msg_src_ip4 = flow->dialled[3];
	return 1;
}

SEC("cgroup/sendmsg6")
int ilm_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct ilm_flow_key key = {};
	struct bpf_sock *sk = ctx->sk;
	struct ilm_flow *flow;
	__be32 source[4];

	if (!sk || bpf_get_netns_cookie(ctx) != constants.netns_cookie)
		return 1;
	flow_key_of_socket(&key, sk);
	ip6_copy(key.remote, ctx->user_ip6);
	key.remote_port = bpf_ntohs(ctx->user_port);
	flow = flow_for(&key, sk);
	if (!flow)
		return 1;
	ip6_copy(source, ctx->msg_src_ip6);
	if (note_chosen(flow, !address_is_wildcard(source) && !address_equal(source, key.local)))
		return 1;
	ip6_copy(ctx->msg_src_ip6, flow->dialled);
	return 1;
}

#endif
