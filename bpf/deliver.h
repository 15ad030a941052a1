/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts what ingress gave, and begins flows, at the socket of a daemon (net/core/filter.c,
 * sk_filter_trim_cap; attached to the root cgroup while ingress is needed, or a mapping of UDP is
 * active). The kernel calls this before it puts a datagram into the socket's queue (net/ipv4/udp.c,
 * udp_queue_rcv_one_skb), and before a listener looks at a SYN, or at an ACK that may return a
 * cookie (net/ipv4/tcp_ipv4.c, tcp_v4_rcv, tcp_filter). So for TCP this counts what sk_lookup
 * counts. Ingress is too early: a firewall may still drop the packet, reassembly may wait for the
 * rest forever, and routing may refuse the source. sk_lookup will not do either: any user can have
 * it run without a packet. Here there is a packet, and the socket that got it, whatever selected
 * that socket: sk_lookup, ingress, the module.
 *
 * The kernel's own sockets (VXLAN, WireGuard) take their datagrams earlier (net/ipv4/udp.c,
 * udp_queue_rcv_one_skb, encap_rcv): for those, ingress writes the flow, and counts.
 */
#ifndef ILM_DELIVER_H
#define ILM_DELIVER_H

#include "flow.h"
#include "hooks.h"
#include "ip.h"
#include "skb.h"

/*
 * Is the address a multicast address? `pkt_type` does not tell for what the machine sends to
 * itself.
 */
static __always_inline bool is_multicast(const __be32 *address)
{
	return address_is_ip4(address) ? ip4_is_multicast(address[3]) : ip6_is_multicast(address);
}

/*
 * Does the route say that an IPv4 datagram is for all hosts? The link header need not: a sender may
 * put our own address there. No reply can leave from such an address.
 */
static __always_inline bool is_broadcast(struct __sk_buff *ctx)
{
	const struct sk_buff *skb = (const struct sk_buff *)ctx;
	const void *route = (const void *)(BPF_CORE_READ(skb, _skb_refdst) & ~SKB_DST_NOREF);

	return route && ctx->protocol == bpf_htons(ETH_P_IP) &&
	       !(BPF_CORE_READ((const struct dst_entry *)route, flags) & DST_METADATA) &&
	       BPF_CORE_READ((const struct rtable *)route, rt_flags) & RTCF_BROADCAST;
}

/*
 * Reads the addresses and ports of a packet that UDP or TCP has accepted: it is whole, and its
 * headers are contiguous.
 */
static __always_inline bool read_packet(struct __sk_buff *ctx, struct ilm_flow_key *key, struct ilm_endpoint *dialled)
{
	const struct sk_buff *skb = (const struct sk_buff *)ctx;
	__u32 transport;
	struct ports_header ports;
	struct ip_packet ip;

	/*
	 * Options and extension headers are not read here: the kernel has parsed them, and says
	 * where UDP or TCP begins. The data begins at the network header (kernel/bpf/cgroup.c,
	 * __cgroup_bpf_run_filter_skb).
	 */
	transport = (__u16)(BPF_CORE_READ(skb, transport_header) - BPF_CORE_READ(skb, network_header));
	if (ctx->protocol == bpf_htons(ETH_P_IP) ?
		    !parse_ip4(ctx, IP_FROM_DATA, 0, &ip, key->remote, dialled->address) :
		    !parse_ip6(ctx, IP_FROM_DATA, 0, &ip, key->remote, dialled->address))
		return false;
	if (!load_from(ctx, IP_FROM_DATA, transport, &ports, sizeof(ports)))
		return false;
	key->remote_port = bpf_ntohs(ports.source);
	dialled->port = bpf_ntohs(ports.destination);
	return true;
}

/*
 * Was something other than the socket's own address and port dialled? Another program may have
 * diverted the datagram here. For a wildcard address nothing tells, and a daemon there would answer
 * from whichever of the host's addresses the route prefers.
 */
static __always_inline bool was_led(const struct ilm_flow_key *key, const struct ilm_endpoint *dialled)
{
	return key->local_port != dialled->port || !address_equal(key->local, dialled->address);
}

/*
 * Counts what ingress gave (bpf/count.h), and does not return from that call. The number may belong
 * to another packet; and a program in between (TPROXY, another program at ingress) may have
 * diverted the packet to another socket.
 */
static __always_inline void count_handed(struct __sk_buff *ctx, const struct ilm_flow_key *key, const struct ilm_endpoint *dialled)
{
	struct ilm_endpoint bound = { .protocol = dialled->protocol, .port = key->local_port };
	__u32 place = ctx->tc_index - 1;
	struct ilm_handed *h = bpf_map_lookup_elem(&handed, &place);

	address_copy(bound.address, key->local);
	if (!h || h->port != dialled->port || h->remote_port != key->remote_port || h->ends != handed_ends(key->remote, &bound))
		return;
	/*
	 * Constants: the kernel then turns the call into a plain jump (arch/x86/net/bpf_jit_comp.c,
	 * emit_bpf_tail_call_direct).
	 */
	if (h->counting)
		bpf_tail_call(ctx, &counted_by, 1);
	else
		bpf_tail_call(ctx, &counted_by, 0);
}

static __always_inline void begin_flow(struct __sk_buff *ctx, struct bpf_sock *sk, struct ilm_flow_key *key,
				       const struct ilm_endpoint *dialled)
{
	struct ilm_tracked *t = bpf_sk_storage_get(&tracked, sk, NULL, 0);
	struct ilm_endpoint bound = { .protocol = IPPROTO_UDP };

	if (is_multicast(dialled->address) || is_broadcast(ctx))
		return;
	if (!t || !t->answers) {
		/*
		 * A socket that has only been dialled directly needs no flows, nor does one to
		 * which another program diverts packets. A socket that is not tracked may be ours:
		 * in a SO_REUSEPORT group it gets datagrams before post_bind (net/ipv4/af_inet.c,
		 * __inet_bind).
		 */
		if (!was_led(key, dialled) || !is_mapped(IPPROTO_UDP, dialled->port) || !is_in_netns(ctx, constants.netns_cookie))
			return;
		address_copy(bound.address, key->local);
		bound.port = key->local_port;
		if (!slot_of(&bound))
			return;
		if (t)
			t->answers = 1;
	}
	/* Also for a client that now dials the daemon itself: its answers then leave from there. */
	remember_flow(key, dialled, ctx->ingress_ifindex);
}

SEC("cgroup_skb/ingress")
int ilm_deliver(struct __sk_buff *ctx)
{
	struct ilm_endpoint dialled = {};
	struct ilm_flow_key key = {};
	struct bpf_sock *sk = ctx->sk;
	bool udp;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	/* Every TCP segment of the machine comes here; look only at what ingress has just given. */
	udp = sk->protocol == IPPROTO_UDP;
	if (!udp && (!ctx->tc_index || sk->protocol != IPPROTO_TCP))
		return 1;
	if (ctx->pkt_type != PACKET_HOST || !read_packet(ctx, &key, &dialled))
		return 1;
	dialled.protocol = sk->protocol;
	flow_key_of_socket(&key, sk);
	if (udp)
		begin_flow(ctx, sk, &key, &dialled);
	if (ctx->tc_index)
		count_handed(ctx, &key, &dialled);
	return 1;
}

#endif
