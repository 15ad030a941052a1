// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A UDP daemon that listens on its private address answers from it; the client waits for an answer from what it dialled.
 * sk_lookup remembers what each client dialled, and here the answer gets that source address (net/ipv4/udp.c, udp_sendmsg;
 * net/ipv6/udp.c, udpv6_sendmsg), before the route is chosen and the checksum is made.
 *
 * Runs for unconnected sends only. A daemon that chooses the source itself (IP_PKTINFO) is left alone: it hands over an
 * address that is not the one it is bound to. The source port cannot be changed here, so a flow whose port was mapped is
 * left alone too.
 */
#include "address.h"
#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile struct ilm_registry_constants constants = {};

/* 127.0.0.6: what the kernel has as the IPv4 address of a socket that is bound to an IPv6 one (include/linux/in.h). */
#define LOOPBACK4_IPV6 bpf_htonl(0x7f000006)

SEC("cgroup/sendmsg4")
int ilm_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct ilm_flow_key key = {};
	struct bpf_sock *sk = ctx->sk;
	struct ilm_flow *flow;
	__be32 source;

	if (!sk || bpf_get_netns_cookie(ctx) != constants.netns_cookie)
		return 1;
	address_of_socket(key.local, sk);
	key.local_port = sk->src_port;
	address_from_ip4(key.remote, ctx->user_ip4);
	key.remote_port = bpf_ntohs(ctx->user_port);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || flow->port != key.local_port || flow->dialled[2] != bpf_htonl(0xffff))
		return 1;
	source = ctx->msg_src_ip4;
	if (source && source != key.local[3] && !(sk->family == AF_INET6 && source == LOOPBACK4_IPV6))
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
	address_of_socket(key.local, sk);
	key.local_port = sk->src_port;
	key.remote[0] = ctx->user_ip6[0];
	key.remote[1] = ctx->user_ip6[1];
	key.remote[2] = ctx->user_ip6[2];
	key.remote[3] = ctx->user_ip6[3];
	key.remote_port = bpf_ntohs(ctx->user_port);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || flow->port != key.local_port)
		return 1;
	source[0] = ctx->msg_src_ip6[0];
	source[1] = ctx->msg_src_ip6[1];
	source[2] = ctx->msg_src_ip6[2];
	source[3] = ctx->msg_src_ip6[3];
	if (!address_is_wildcard(source) && !address_equal(source, key.local))
		return 1;
	ctx->msg_src_ip6[0] = flow->dialled[0];
	ctx->msg_src_ip6[1] = flow->dialled[1];
	ctx->msg_src_ip6[2] = flow->dialled[2];
	ctx->msg_src_ip6[3] = flow->dialled[3];
	return 1;
}
