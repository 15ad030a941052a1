/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors about a UDP daemon's answers. They name the address and port that the client dialled, as the answer left with
 * them, and the kernel looks there for the socket (net/ipv4/udp.c, __udp4_lib_err). That asks sk_lookup, which gives a socket out of
 * a sockmap. For one that is in none, the packet inside the error gets back the source that the daemon has, so that the error
 * reaches it (IP_RECVERR, ECONNREFUSED). Conntrack does not know such a packet, and the kernel learns no path MTU for 127.0.0.0/8
 * from it (net/ipv4/route.c, ipv4_sk_update_pmtu: no route begins there): then the socket is wanted in a sockmap.
 */
#ifndef ILM_ICMP_H
#define ILM_ICMP_H

#include "flow.h"
#include "hooks.h"
#include "match.h"
#include "presence.h"
#include "report.h"
#include "skb.h"

#define IPPROTO_ICMP 1
#define IPPROTO_ICMPV6 58
#define ICMP_HEADER 8
#define ICMP_CHECK 2

/* Where things are in the packet, from the start of its data. */
struct icmp_error {
	__u32 check;		/* the ICMP checksum, which covers all that follows */
	__u32 source;		/* of the packet inside: its source address, and its source port */
	__u32 port;
	bool too_big;		/* it tells a path MTU */
};

/* `inner`: the dialled address and port as `dialled`, the client as `remote`. */
static __always_inline bool parse_icmp4(struct __sk_buff *skb, __u32 at, struct lookup *inner, struct icmp_error *e)
{
	__be16 ports[2];
	__u8 type[2];	/* and the code */
	__be32 ip[5];

	if (bpf_skb_load_bytes(skb, at, type, sizeof(type)) || (type[0] != 3 && type[0] != 11 && type[0] != 12))
		return false;
	e->too_big = type[0] == 3 && type[1] == 4;
	/* Of a fragment but the first there are no ports in it. */
	if (bpf_skb_load_bytes(skb, at + ICMP_HEADER, ip, sizeof(ip)) || !is_ip4(bpf_ntohl(ip[0]) >> 24) ||
	    ip[1] & bpf_htonl(0x1fff) || (bpf_ntohl(ip[2]) >> 16 & 0xff) != IPPROTO_UDP)
		return false;
	e->check = at + ICMP_CHECK;
	e->source = at + ICMP_HEADER + 12;
	e->port = at + ICMP_HEADER + (bpf_ntohl(ip[0]) >> 24 & 0xf) * 4;
	if (bpf_skb_load_bytes(skb, e->port, ports, sizeof(ports)))
		return false;
	inner->family = AF_INET;
	address_from_ip4(inner->dialled.address, ip[3]);
	address_from_ip4(inner->remote, ip[4]);
	inner->dialled.port = bpf_ntohs(ports[0]);
	inner->remote_port = bpf_ntohs(ports[1]);
	return true;
}

static __always_inline bool parse_icmp6(struct __sk_buff *skb, __u32 at, struct lookup *inner, struct icmp_error *e)
{
	__u8 fragment[4];
	__be16 ports[2];
	__be32 ip[10];
	__u8 type, next;

	/* 1 to 4 are the errors; below 128 all are. */
	if (bpf_skb_load_bytes(skb, at, &type, sizeof(type)) || type < 1 || type > 4)
		return false;
	e->too_big = type == 2;
	if (bpf_skb_load_bytes(skb, at + ICMP_HEADER, ip, sizeof(ip)) || !is_ip6(ip[0]))
		return false;
	next = bpf_ntohl(ip[1]) >> 8;
	e->check = at + ICMP_CHECK;
	e->source = at + ICMP_HEADER + 8;
	e->port = at + ICMP_HEADER + sizeof(ip);
	/* A large answer is in fragments, of which the first has the ports: "too big" is about that. */
	if (next == IPPROTO_FRAGMENT) {
		if (bpf_skb_load_bytes(skb, e->port, fragment, sizeof(fragment)) ||
		    (fragment[2] << 8 | fragment[3]) & 0xfff8)
			return false;
		next = fragment[0];
		e->port += 8;
	}
	if (next != IPPROTO_UDP)
		return false;
	if (bpf_skb_load_bytes(skb, e->port, ports, sizeof(ports)))
		return false;
	inner->family = AF_INET6;
	address_copy(inner->dialled.address, &ip[2]);
	address_copy(inner->remote, &ip[6]);
	inner->dialled.port = bpf_ntohs(ports[0]);
	inner->remote_port = bpf_ntohs(ports[1]);
	return true;
}

/* Which destination of the rule has the flow. */
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
		bpf_l4_csum_replace(skb, e->check, inner->dialled.address[i], address[i], 4);
	if (inner->family == AF_INET)
		bpf_skb_store_bytes(skb, e->source, &address[3], 4, 0);
	else
		bpf_skb_store_bytes(skb, e->source, address, 16, 0);
	if (from == to)
		return;
	bpf_l4_csum_replace(skb, e->check, from, to, 2);
	bpf_skb_store_bytes(skb, e->port, &to, sizeof(to), 0);
}

/*
 * `transport`: offset of the ICMP header from the network header. `inner`: zeroes, for the packet that the error is about; the caller's,
 * as there is no stack left for one more.
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
	if (v4 ? !parse_icmp4(skb, at, inner, &e) : !parse_icmp6(skb, at, inner, &e))
		return;
	/* A mapping may be for what comes in on some interfaces only: the error does so where the request did. */
	inner->interface = arrival(skb, v4);
	inner->side = side_in_force();
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
