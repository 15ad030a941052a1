/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors about a UDP daemon's answers. They name the address and port that the client dialled,
 * because the answer left with them, and the kernel looks there for the socket (net/ipv4/udp.c,
 * __udp4_lib_err). That runs sk_lookup, which gives a socket out of a sockmap. For a socket in no
 * sockmap, the program restores the daemon's own source in the packet inside the error, so that the
 * error reaches the socket (IP_RECVERR, ECONNREFUSED). Conntrack does not know such a packet, and
 * the kernel learns no path MTU for 127.0.0.0/8 from it (net/ipv4/route.c, ipv4_sk_update_pmtu: no
 * route begins there): then the socket has to go into a sockmap.
 */
#ifndef ILM_ICMP_H
#define ILM_ICMP_H

#include "flow.h"
#include "hooks.h"
#include "ip.h"
#include "match.h"
#include "presence.h"
#include "report.h"
#include "skb.h"

#define IPPROTO_ICMP 1
#define IPPROTO_ICMPV6 58

/* The header of ICMP and of ICMPv6 (RFC 792; RFC 4443, section 2.1). */
struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 rest;
};

/* The errors of ICMP that name a packet (include/uapi/linux/icmp.h). */
#define ICMP_DEST_UNREACH 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMP_FRAG_NEEDED 4	/* a code of ICMP_DEST_UNREACH */

/*
 * The errors of ICMPv6 are the types from the first to the last of these
 * (include/uapi/linux/icmpv6.h).
 */
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PKT_TOOBIG 2
#define ICMPV6_PARAMPROB 4

/* Offsets in the packet, from the start of its data. */
struct icmp_error {
	__u32 check;		/* the ICMP checksum, which covers all that follows */
	__u32 source;		/* of the packet inside: its source address, and its source port */
	__u32 port;
	bool too_big;		/* it reports a path MTU */
};

/*
 * Parses the packet inside the error at `at`: its source is what was dialled, and its destination
 * the client. A large answer is in fragments, and the first has the ports: "too big" is about that
 * one.
 */
static __always_inline bool parse_error(struct __sk_buff *skb, __u32 at, bool v4, struct lookup *inner, struct icmp_error *e)
{
	__u32 within = at + sizeof(struct icmp_header);
	struct ports_header ports;
	struct icmp_header icmp;
	struct ip_packet ip;

	if (!load_from(skb, IP_FROM_DATA, at, &icmp, sizeof(icmp)))
		return false;
	if (v4) {
		if ((icmp.type != ICMP_DEST_UNREACH && icmp.type != ICMP_TIME_EXCEEDED && icmp.type != ICMP_PARAMETERPROB) ||
		    !parse_ip4(skb, IP_FROM_DATA, within, &ip, inner->dialled.address, inner->remote))
			return false;
		inner->family = AF_INET;
		e->source = within + offsetof(struct ip4_header, source);
		e->too_big = icmp.type == ICMP_DEST_UNREACH && icmp.code == ICMP_FRAG_NEEDED;
	} else {
		if (icmp.type < ICMPV6_DEST_UNREACH || icmp.type > ICMPV6_PARAMPROB ||
		    !parse_ip6(skb, IP_FROM_DATA, within, &ip, inner->dialled.address, inner->remote) ||
		    !pass_fragment(skb, IP_FROM_DATA, &ip))
			return false;
		inner->family = AF_INET6;
		e->source = within + offsetof(struct ip6_header, source);
		e->too_big = icmp.type == ICMPV6_PKT_TOOBIG;
	}
	if (!ip.well_formed || ip.later || ip.protocol != IPPROTO_UDP ||
	    !load_from(skb, IP_FROM_DATA, ip.transport, &ports, sizeof(ports)))
		return false;
	e->check = at + offsetof(struct icmp_header, check);
	e->port = ip.transport + offsetof(struct ports_header, source);
	inner->dialled.port = bpf_ntohs(ports.source);
	inner->remote_port = bpf_ntohs(ports.destination);
	return true;
}

/* Finds the destination of the rule that has the flow. */
static __always_inline bool find_answerer(const struct lookup *inner, const struct ilm_rule *rule,
					  struct ilm_flow_key *key)
{
	__u32 first = inner->family == AF_INET ? rule->first4 : rule->first6;
	__u32 n = inner->family == AF_INET ? rule->count4 : rule->count6;

	address_copy(key->remote, inner->remote);
	key->remote_port = inner->remote_port;
	for (__u32 i = 0; i < ILM_DESTINATIONS_MAX && i < n; i++) {
		__u32 index = first + i;
		struct ilm_destination *d = bpf_map_lookup_elem(&destinations, &index);
		struct ilm_flow *flow;

		if (!d)
			return false;
		address_copy(key->local, d->address);
		key->local_port = d->port ? d->port : inner->dialled.port;
		flow = find_flow(key);
		if (flow && flow->port == inner->dialled.port &&
		    address_equal(flow->dialled, inner->dialled.address))
			return true;
	}
	return false;
}

static __always_inline void give_error_back(struct __sk_buff *skb, const struct lookup *inner,
					    const struct icmp_error *e, const struct ilm_flow_key *key)
{
	__be16 from = bpf_htons(inner->dialled.port);
	__be16 to = bpf_htons(key->local_port);
	__be32 address[4];

	address_copy(address, key->local);
	for (int i = inner->family == AF_INET ? 3 : 0; i < 4; i++)
		bpf_l4_csum_replace(skb, e->check, inner->dialled.address[i], address[i],
				    sizeof(address[i]));
	if (inner->family == AF_INET)
		bpf_skb_store_bytes(skb, e->source, &address[3], sizeof(address[3]), 0);
	else
		bpf_skb_store_bytes(skb, e->source, address, sizeof(address), 0);
	if (from == to)
		return;
	bpf_l4_csum_replace(skb, e->check, from, to, sizeof(to));
	bpf_skb_store_bytes(skb, e->port, &to, sizeof(to), 0);
}

/*
 * `transport`: offset of the ICMP header from the network header. `inner`: zeroes, for the packet
 * that the error is about; the caller provides it because the stack has no room for another one.
 */
static __always_inline void on_icmp(struct __sk_buff *skb, struct lookup *inner, __u32 transport, bool v4)
{
	__u32 at = network_offset(skb) + transport;
	struct ilm_endpoint answerer = {};
	struct ilm_flow_key key = {};
	struct icmp_error e = {};
	struct ilm_rule *rule;
	__u32 number;
	__u32 *class;

	inner->dialled.protocol = IPPROTO_UDP;
	if (!parse_error(skb, at, v4, inner, &e))
		return;
	/*
	 * A mapping may be only for what comes in on some interfaces: the error arrives where the
	 * request did.
	 */
	inner->interface = arrival(skb, v4);
	inner->side = active_side();
	class = class_of(inner->side, IPPROTO_UDP, inner->dialled.port);
	if (!class || !*class)
		return;
	number = find_rule(*class, inner);
	rule = bpf_map_lookup_elem(&rules, &number);
	if (!number || !rule || !find_answerer(inner, rule, &key))
		return;
	address_copy(answerer.address, key.local);
	answerer.port = key.local_port;
	answerer.protocol = IPPROTO_UDP;
	if (listeners_at(&answerer, skb->ingress_ifindex).placed)
		return;
	if (e.too_big || has_conntrack(device_of(skb)->nd_net.net, v4))
		want(&answerer);
	give_error_back(skb, inner, &e, &key);
}

#endif
