/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads the headers of IP in a packet: the only place that knows where their fields are. Programs
 * differ in where a header is, and in what they require of it; so struct ip_packet has everything
 * there is to say, and what is not used costs nothing, because everything is inlined.
 */
#ifndef ILM_IP_H
#define ILM_IP_H

#include "address.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

/*
 * The headers that may come before UDP or TCP in an IPv6 packet (include/uapi/linux/in.h, in6.h).
 */
#define IPPROTO_HOPOPTS 0
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_AH 51
#define IPPROTO_DSTOPTS 60

/* The header of IPv4, without options (RFC 791, section 3.1). */
struct ip4_header {
	__u8 version_length;
	__u8 tos;
	__be16 total;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 check;
	__be32 source;
	__be32 destination;
};

/* The upper half of `version_length`; the lower half is the length in words of four bytes. */
#define IP4_VERSION 4
/* Of `fragment`. */
#define IP4_MORE_FRAGMENTS 0x2000
#define IP4_FRAGMENT_OFFSET 0x1fff

/* The header of IPv6, without those that extend it (RFC 8200, section 3). */
struct ip6_header {
	__be32 version_class_flow;
	__be16 payload;
	__u8 next;
	__u8 hops;
	__be32 source[4];
	__be32 destination[4];
};

/* The version in `version_class_flow`, and its value. */
#define IP6_VERSION_MASK bpf_htonl(0xf0000000)
#define IP6_VERSION bpf_htonl(0x60000000)

/* What IPv6 extension headers begin with (RFC 8200, section 4). */
struct ip6_extension {
	__u8 next;
	/* In words, without those that every header has; a fragment header has none. */
	__u8 length;
	union {
		__be16 fragment;	/* of a fragment header */
		struct {
			__u8 type;
			__u8 segments_left;
		} routing;	/* of a routing header */
	};
};

/* Of `fragment`. */
#define IP6_FRAGMENT_OFFSET 0xfff8
#define IP6_MORE_FRAGMENTS 0x0001

/*
 * The bytes of an extension header, by its `length` (RFC 8200, section 4; for AH: RFC 4302, section
 * 2.2).
 */
#define IP6_FRAGMENT_BYTES 8
#define IP6_AH_BYTES(length) (((length) + 2) * 4)
#define IP6_EXTENSION_BYTES(length) (((length) + 1) * 8)

/*
 * Addresses that no single host has (RFC 1112, RFC 4291; 127.255.255.255 is lo's broadcast
 * address).
 */
#define IP4_BROADCAST bpf_htonl(0xffffffff)
#define IP4_LOOPBACK_BROADCAST bpf_htonl(0x7fffffff)

/* Is the address in 224.0.0.0/4? */
static __always_inline bool ip4_is_multicast(__be32 address)
{
	return (address & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000);
}

/* Is the address in ff00::/8? */
static __always_inline bool ip6_is_multicast(const __be32 *address)
{
	return (address[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

/* Is the address in fe80::/10? */
static __always_inline bool ip6_is_link_local(const __be32 *address)
{
	return (address[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* The first fields of both UDP and TCP (RFC 768; RFC 9293, section 3.1). */
struct ports_header {
	__be16 source;
	__be16 destination;
};

/* The header of UDP (RFC 768). */
struct udp_header {
	__be16 source;
	__be16 destination;
	__be16 length;
	__be16 check;
};

/* What the headers of IP say about a packet, except its addresses: the caller keeps those. */
struct ip_packet {
	__u32 transport;	/* offset of what follows them, from the same origin as theirs */
	__u8 protocol;		/* of what follows them */
	/*
	 * The version matches what the link layer says, which may be wrong, and the length is
	 * possible.
	 */
	bool well_formed;
	bool later;		/* a fragment other than the first: it has no ports */
	bool more;		/* other fragments follow */
};

/*
 * Where an offset counts from. Always a constant, so that only one of the two helpers remains. Code
 * that changes a packet needs the first, because the helpers that write count that way. For code
 * that only reads, the second is cheaper: the helper knows where the header is. In cgroup programs
 * both are the same place.
 */
enum ip_origin {
	IP_FROM_DATA,		/* where the packet's data begins for the program */
	IP_FROM_NETWORK,	/* the network header, on devices with a link header or without */
};

static __always_inline bool load_from(struct __sk_buff *skb, enum ip_origin origin, __u32 offset, void *to, __u32 length)
{
	if (origin == IP_FROM_NETWORK)
		return !bpf_skb_load_bytes_relative(skb, offset, to, length, BPF_HDR_START_NET);
	return !bpf_skb_load_bytes(skb, offset, to, length);
}

/* Reads the IPv4 header at `at`, and skips its options. False: the packet is too short. */
static __always_inline bool parse_ip4(struct __sk_buff *skb, enum ip_origin origin, __u32 at, struct ip_packet *packet,
				      __be32 *source, __be32 *destination)
{
	struct ip4_header ip;
	__u8 words;

	if (!load_from(skb, origin, at, &ip, sizeof(ip)))
		return false;
	words = ip.version_length & 0xf;
	packet->well_formed = ip.version_length >> 4 == IP4_VERSION && words * 4 >= sizeof(ip);
	packet->transport = at + words * 4;
	packet->protocol = ip.protocol;
	packet->later = ip.fragment & bpf_htons(IP4_FRAGMENT_OFFSET);
	packet->more = ip.fragment & bpf_htons(IP4_MORE_FRAGMENTS);
	address_from_ip4(source, ip.source);
	address_from_ip4(destination, ip.destination);
	return true;
}

/* Reads the IPv6 header at `at`, and skips no extension headers. False: the packet is too short. */
static __always_inline bool parse_ip6(struct __sk_buff *skb, enum ip_origin origin, __u32 at, struct ip_packet *packet,
				      __be32 *source, __be32 *destination)
{
	struct ip6_header ip;

	if (!load_from(skb, origin, at, &ip, sizeof(ip)))
		return false;
	packet->well_formed = (ip.version_class_flow & IP6_VERSION_MASK) == IP6_VERSION;
	packet->transport = at + sizeof(ip);
	packet->protocol = ip.next;
	packet->later = false;
	packet->more = false;
	address_copy(source, ip.source);
	address_copy(destination, ip.destination);
	return true;
}

/*
 * Skips the fragment header after an IPv6 header, if there is one. That is enough for what the
 * kernel itself sends, which has no other header before UDP unless the daemon asks for it. False:
 * the packet is too short.
 */
static __always_inline bool pass_fragment(struct __sk_buff *skb, enum ip_origin origin, struct ip_packet *packet)
{
	struct ip6_extension header;

	if (packet->protocol != IPPROTO_FRAGMENT)
		return true;
	if (!load_from(skb, origin, packet->transport, &header, sizeof(header)))
		return false;
	packet->protocol = header.next;
	packet->later = header.fragment & bpf_htons(IP6_FRAGMENT_OFFSET);
	packet->more = header.fragment & bpf_htons(IP6_MORE_FRAGMENTS);
	packet->transport += IP6_FRAGMENT_BYTES;
	return true;
}

#endif
