/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Restores the source port of a UDP daemon's answer, where a mapping changed the port; and its
 * source address, where the daemon answers from a connected socket, which bpf/reply.h does not see.
 * Attached to every interface while a mapping of UDP is active; returns at once for everything
 * except UDP sockets whose client is known, and the kernel's own that mappings lead to.
 *
 * Here a datagram is still one packet with one UDP header, or is in fragments of which the first
 * has it; segmentation by the device comes later (net/core/dev.c, __dev_queue_xmit). A packet may
 * pass several devices (a VLAN's, then the card's): once changed, it no longer matches.
 */
#ifndef ILM_EGRESS_H
#define ILM_EGRESS_H

#include "flow.h"
#include "hooks.h"
#include "ip.h"
#include "skb.h"

struct answer {
	struct ilm_flow_key key;
	__be32 source[4];
	/*
	 * Offsets from the start of the packet's data, which is the link header where there is one.
	 */
	__u32 network;
	__u32 transport;
	bool has_ports;		/* false in all fragments but the first */
	/*
	 * A datagram that software will segment for a device without checksum offload: its checksum
	 * is that of the pseudo header alone, not complemented, as with CHECKSUM_PARTIAL, but not
	 * marked as such (net/ipv4/udp.c, udp_send_skb).
	 */
	bool pseudo_only;
};

static __always_inline bool read_answer(struct __sk_buff *skb, struct answer *a, bool v4)
{
	struct ip_packet ip;

	if (!v4 && skb->protocol != bpf_htons(ETH_P_IPV6))
		return false;
	a->network = network_offset(skb);
	a->pseudo_only = skb->gso_size &&
		BPF_CORE_READ_BITFIELD_PROBED((struct sk_buff *)skb, ip_summed) != CHECKSUM_PARTIAL;
	if (v4 ? !parse_ip4(skb, IP_FROM_DATA, a->network, &ip, a->source, a->key.remote) :
		 !parse_ip6(skb, IP_FROM_DATA, a->network, &ip, a->source, a->key.remote) ||
			 !pass_fragment(skb, IP_FROM_DATA, &ip))
		return false;
	if (ip.protocol != IPPROTO_UDP)
		return false;
	a->transport = ip.transport;
	a->has_ports = !ip.later;
	return true;
}

static __always_inline void replace_address_word(struct __sk_buff *skb, const struct answer *a, __be32 from, __be32 to)
{
	__u64 flags = BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | sizeof(from);
	__u32 check = a->transport + offsetof(struct udp_header, check);

	/*
	 * The helper takes the field for a complement; for a field that is none, swapping the
	 * arguments is right.
	 */
	if (a->pseudo_only)
		bpf_l4_csum_replace(skb, check, to, from, flags);
	else
		bpf_l4_csum_replace(skb, check, from, to, flags);
}

/*
 * Changes the source address: in the IP header, its checksum, and the transport checksum that also
 * covers it.
 */
static __always_inline void set_source(struct __sk_buff *skb, const struct answer *a, const __be32 *source, bool v4)
{
	if (v4) {
		if (a->has_ports)
			replace_address_word(skb, a, a->source[3], source[3]);
		bpf_l3_csum_replace(skb, a->network + offsetof(struct ip4_header, check), a->source[3], source[3],
				    sizeof(source[3]));
		bpf_skb_store_bytes(skb, a->network + offsetof(struct ip4_header, source), &source[3],
				    sizeof(source[3]), 0);
		return;
	}
	if (a->has_ports) {
		/*
		 * No loop: clang may put its test last, and the verifier of 6.1 calls that a
		 * back-edge and refuses it.
		 */
		replace_address_word(skb, a, a->source[0], source[0]);
		replace_address_word(skb, a, a->source[1], source[1]);
		replace_address_word(skb, a, a->source[2], source[2]);
		replace_address_word(skb, a, a->source[3], source[3]);
	}
	bpf_skb_store_bytes(skb, a->network + offsetof(struct ip6_header, source), source, sizeof(a->source), 0);
}

/*
 * The device computes the checksum of the inner packet, and that of the UDP header around it is
 * complete (include/linux/skbuff.h, lco_csum): the helper takes the packet's word for both, and
 * would leave it as it is. Segments get theirs later.
 */
static __always_inline bool is_complete_outside(struct __sk_buff *ctx, const struct answer *a)
{
	const struct sk_buff *skb = (const struct sk_buff *)ctx;
	__u32 start = (__u64)BPF_CORE_READ(skb, data) - (__u64)BPF_CORE_READ(skb, head) + a->transport;

	return BPF_CORE_READ_BITFIELD_PROBED(skb, ip_summed) == CHECKSUM_PARTIAL && !ctx->gso_size &&
	       BPF_CORE_READ(skb, csum_start) != start;
}

static __always_inline void set_port(struct __sk_buff *skb, const struct answer *a, const struct udp_header *udp, __be16 to)
{
	__u32 field = a->transport + offsetof(struct udp_header, check);
	__be16 from = udp->source;

	if (is_complete_outside(skb, a)) {
		if (udp->check) {
			/* RFC 1624, equation 3: ~(~HC + ~m + m'). Zero means that there is none. */
			__u32 sum = (__u16)~udp->check + (__u16)~from + to;
			__u16 check;

			sum = (sum & 0xffff) + (sum >> 16);
			sum = (sum & 0xffff) + (sum >> 16);
			check = ~sum;
			if (!check)
				check = 0xffff;
			bpf_skb_store_bytes(skb, field, &check, sizeof(check), 0);
		}
	} else if (!a->pseudo_only) {
		bpf_l4_csum_replace(skb, field, from, to, BPF_F_MARK_MANGLED_0 | sizeof(to));
	}
	bpf_skb_store_bytes(skb, a->transport + offsetof(struct udp_header, source), &to, sizeof(to), 0);
}

/*
 * What a tunnel of the kernel sends carries no socket, or the inner packet's, which keeps it on the
 * way out (net/core/skbuff.c, skb_scrub_packet); forwarded packets carry none either. A tunnel
 * sends from the address that was dialled (drivers/net/wireguard/socket.c, send4); only its port
 * differs.
 */
static __noinline int answer_of_tunnel(struct __sk_buff *skb)
{
	struct udp_header udp = {};
	struct answer a = {};
	struct ilm_flow *flow;
	__u32 first = 0;
	__u32 *tunnel = bpf_map_lookup_elem(&tunnels, &first);
	bool v4;

	if (!tunnel || !*tunnel)
		return TCX_NEXT;
	v4 = skb->protocol == bpf_htons(ETH_P_IP);
	if (!read_answer(skb, &a, v4) || !a.has_ports || bpf_skb_load_bytes(skb, a.transport, &udp, sizeof(udp)))
		return TCX_NEXT;
	a.key.local[2] = v4 ? IP4_MAPPED : 0;
	a.key.local_port = bpf_ntohs(udp.source);
	a.key.remote_port = bpf_ntohs(udp.destination);
	flow = find_flow(&a.key);
	if (!flow || !address_equal(flow->dialled, a.source) || flow->port == a.key.local_port || !is_in_netns(skb, constants.netns_cookie))
		return TCX_NEXT;
	keep_flow(flow);
	set_port(skb, &a, &udp, bpf_htons(flow->port));
	return TCX_NEXT;
}

SEC("tc")
int ilm_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct answer a = {};
	struct udp_header udp = {};
	struct ilm_flow *flow;
	__u32 interface = 0;
	__be32 dialled[4];
	__be16 port;
	bool v4;

	if (!sk)
		return answer_of_tunnel(skb);
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_UDP)
		return answer_of_tunnel(skb);
	v4 = skb->protocol == bpf_htons(ETH_P_IP);
	if (!read_answer(skb, &a, v4))
		return TCX_NEXT;
	flow_key_of_socket(&a.key, sk);
	if (a.has_ports) {
		if (bpf_skb_load_bytes(skb, a.transport, &udp, sizeof(udp)))
			return TCX_NEXT;
		if (udp.source != bpf_htons(a.key.local_port))
			return answer_of_tunnel(skb);
		a.key.remote_port = bpf_ntohs(udp.destination);
	} else {
		/*
		 * Of the later fragments of a datagram, only a connected socket's need care:
		 * reply.h runs before fragmentation.
		 */
		if (!sk->dst_port)
			return TCX_NEXT;
		a.key.remote_port = bpf_ntohs(sk->dst_port);
	}
	flow = find_flow(&a.key);
	if (!flow || !is_in_netns(skb, constants.netns_cookie))
		return TCX_NEXT;
	keep_flow(flow);
	address_copy(dialled, flow->dialled);
	port = bpf_htons(flow->port);

	if (!address_equal(a.source, dialled)) {
		/*
		 * Chosen by the daemon; otherwise it is what the socket is bound to, or what NAT
		 * made of it on the way: a host that masquerades everything.
		 */
		if (flow->chosen && !address_equal(a.source, a.key.local))
			return TCX_NEXT;
		/*
		 * The address that the socket is bound to says nothing about the uplink; what NAT
		 * changed had the route of the dialled address.
		 */
		if (address_equal(a.source, a.key.local))
			interface = flow->interface;
		set_source(skb, &a, dialled, v4);
	}
	if (a.has_ports && port != udp.source)
		set_port(skb, &a, &udp, port);
	/*
	 * The route was chosen for the private address. A client that dialled the address of
	 * another uplink waits behind that one, and what is sent to it by this one may be dropped
	 * because of its source. The neighbour is found by the routes of the address that the
	 * packet has now. (What came in by a VRF is recorded as having come in on the VRF, and
	 * already leaves by it.)
	 */
	if (interface && interface != skb->ifindex && interface != LOOPBACK_IFINDEX && skb->ifindex != LOOPBACK_IFINDEX &&
	    !bpf_map_lookup_elem(&vrfs, &interface))
		return bpf_redirect_neigh(interface, NULL, 0, 0);
	return TCX_NEXT;
}

#endif
