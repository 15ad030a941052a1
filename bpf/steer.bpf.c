// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The hand-over at tc ingress, for listeners that a sockmap refuses (MPTCP, the default of Go >=
 * 1.24: net/core/sock_map.c, sock_map_sk_is_suitable) or would harm (UDP: it replaces the socket's
 * own ioctl and receive functions, net/ipv4/udp_bpf.c). Ingress finds the socket in the kernel's
 * own tables by its private address and puts it on the packet (net/core/filter.c, bpf_sk_assign;
 * include/net/inet_hashtables.h, inet_steal_sock). So nothing has to be registered, and the socket
 * does not change.
 *
 * Ingress sees more than sk_lookup does, and comes before firewall, NAT, routing and reassembly.
 * Packets that are not for this host, or cannot be judged here, pass untouched: frames for others,
 * multicast, broadcast, VLAN frames (they come again on the VLAN's interface, as those of a port do
 * on its bridge or bond), fragments, forwarded packets; and everything where NAT is running. For
 * each packet that it gives to a process's socket, ingress leaves a note, by which the packet is
 * counted when it reaches that socket (bpf/count.h). Everything else meets sk_lookup later and is
 * counted there.
 */
#include <linux/tcp.h>

#include "decide.h"

#include "count.h"
#include "hooks.h"
#include "icmp.h"
#include "ip.h"
#include "tunnel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define VLAN_ID_MASK 0x0fff
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
/*
 * IPv6 extension headers before UDP or TCP: more than fit into a useful packet of 1,280 bytes.
 * Packets with more are left to sk_lookup.
 */
#define EXTENSIONS_MAX 64

/*
 * Interfaces whose packets come again on the interface above (net/core/dev.c,
 * __netif_receive_skb_core, rx_handler); of a macvlan's, some do.
 */
enum netdev_priv_flags {
	IFF_BONDING = 1 << 2,
	IFF_MACVLAN_PORT = 1 << 8,
	IFF_BRIDGE_PORT = 1 << 9,
	IFF_OVS_DATAPATH = 1 << 10,
	IFF_TEAM_PORT = 1 << 13,
};

struct packet {
	struct lookup l;
	__u32 transport;	/* offset from the network header */
	__u8 tcp_flags;
	bool remains;		/* a SYN that meets the remains of a connection (TIME_WAIT) */
	/*
	 * From the machine itself, over lo, to another interface's address: the kernel's tables can
	 * only be asked as if for lo (net/core/filter.c, bpf_tc_sk_lookup_tcp), so they show no
	 * socket that is bound to the interface, and do show those bound to lo, which get nothing
	 * of it.
	 */
	bool crossed;
	bool fragment;		/* the first; later ones are not looked at, they have no ports */
	/* Port of the kernel's tunnel that gets it; 0: it goes to a queue. */
	__u16 tunnel;
	__u32 ends;		/* of the socket that it is given to (handed_ends) */
	bool connected;		/* a connected socket gets it, so sk_lookup is not asked */
	bool nat;		/* NAT decides afterwards */
	/* Whose sockets on a wildcard address the rule selects; 0: anyone's. */
	__u32 wildcard_permit;
	/* Whose sockets may get it if no destination takes it; 0: anyone's. */
	__u32 permit;
	__u16 heir;		/* ILM_HOLDER_*: who would get it from the kernel */
	/* The interface passes some packets to others above it (macvlan, ipvlan). */
	bool shared;
};

/*
 * In the packet's control block: it has already met remains, and they would not go (sysctl
 * net.ipv4.tcp_rfc1337). In the last word, which queues leave alone: on its way the packet may pass
 * one of lo's (net/sched/sch_fq.c, fq_skb_cb, uses the other words).
 */
#define BURIED_MAGIC 0x696c6d62
#define BURIED_AT 4

/*
 * Offsets from the start of the TCP header (RFC 9293, section 3.1; where <linux/tcp.h> has bit
 * fields, as numbers).
 */
#define TCP_SEQUENCE offsetof(struct tcphdr, seq)
#define TCP_OFFSET_FLAGS 12	/* two bytes: the header's length, and the flags */
#define TCP_FLAGS 13		/* the flags alone */
#define TCP_CHECK offsetof(struct tcphdr, check)
#define TCP_OPTIONS sizeof(struct tcphdr)
/* Of the two bytes, in host byte order: all but the flags; and the header's length in bytes. */
#define TCP_NO_FLAGS 0xff00
#define TCP_HEADER_BYTES(offset_flags) (((offset_flags) >> 12) * 4)
/* Options take at most 40 bytes, and the shortest takes one. */
#define TCP_OPTIONS_MAX 40
#define TCP_OPTION_END 0
#define TCP_OPTION_NONE 1
#define TCP_OPTION_TIMESTAMP 8
#define TCP_TIMESTAMP_LENGTH 10

static __always_inline bool load(struct __sk_buff *skb, __u32 offset, void *to, __u32 length)
{
	return load_from(skb, IP_FROM_NETWORK, offset, to, length);
}

struct extensions {
	struct __sk_buff *skb;
	__u32 transport;
	__u8 next;
	bool fragment;
	bool whole;		/* nothing is left between here and UDP or TCP */
};

/* Passes one extension header; 1 ends the walk. */
static long pass_extension(__u32 passed, struct extensions *e)
{
	struct ip6_extension header;

	if (e->next != IPPROTO_HOPOPTS && e->next != IPPROTO_DSTOPTS && e->next != IPPROTO_ROUTING && e->next != IPPROTO_AH &&
	    e->next != IPPROTO_FRAGMENT) {
		e->whole = true;
		return 1;
	}
	if (!load(e->skb, e->transport, &header, sizeof(header)))
		return 1;
	if (e->next == IPPROTO_FRAGMENT) {
		/*
		 * A later fragment ends the walk. The first counts as a fragment only if more
		 * follow (RFC 6946).
		 */
		if (header.fragment & bpf_htons(IP6_FRAGMENT_OFFSET))
			return 1;
		e->fragment |= !!(header.fragment & bpf_htons(IP6_MORE_FRAGMENTS));
		e->transport += IP6_FRAGMENT_BYTES;
	} else if (e->next == IPPROTO_AH) {
		e->transport += IP6_AH_BYTES(header.length);
	} else {
		/*
		 * This host itself routes it on to another one (net/ipv6/exthdrs.c,
		 * ipv6_rthdr_rcv).
		 */
		if (e->next == IPPROTO_ROUTING && header.routing.segments_left)
			return 1;
		e->transport += IP6_EXTENSION_BYTES(header.length);
	}
	e->next = header.next;
	return 0;
}

/*
 * Passes all extension headers, not only a fragment header: clients may send any before UDP or TCP,
 * in any number.
 */
static __always_inline bool pass_extensions(struct __sk_buff *skb, struct ip_packet *ip)
{
	struct extensions e = { .skb = skb, .transport = ip->transport, .next = ip->protocol };

	if (e.next == IPPROTO_UDP || e.next == IPPROTO_TCP)
		return true;
	bpf_loop(EXTENSIONS_MAX, pass_extension, &e, 0);
	ip->transport = e.transport;
	ip->protocol = e.next;
	ip->more = e.fragment;
	return e.whole;
}

/*
 * Reads the packet's headers. A global function, as are others below: the verifier walks each once,
 * and assumes nothing about the packet after it. Inlined, each path through a header would be
 * walked again with each path that follows: that was 290,000 instructions, 0.2 s of each change. No
 * argument is ever NULL; the verifier requires the checks.
 */
__noinline int parse(struct __sk_buff *skb, struct packet *p)
{
	struct ip_packet ip;
	struct lookup *l;

	if (!p)
		return false;
	l = &p->l;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (!parse_ip4(skb, IP_FROM_NETWORK, 0, &ip, l->remote, l->dialled.address) || !ip.well_formed || ip.later)
			return false;
		l->family = AF_INET;
	} else {
		if (skb->protocol != bpf_htons(ETH_P_IPV6) ||
		    !parse_ip6(skb, IP_FROM_NETWORK, 0, &ip, l->remote, l->dialled.address) || !ip.well_formed ||
		    !pass_extensions(skb, &ip))
			return false;
		l->family = AF_INET6;
	}
	l->dialled.protocol = ip.protocol;
	p->transport = ip.transport;
	p->fragment = ip.more;
	return true;
}

/*
 * Is the dialled address unicast? On Ethernet pkt_type tells; other devices (tun, WireGuard, lo)
 * say "for this host" of everything. There, a subnet's own broadcast address looks like any other.
 */
static __always_inline bool is_unicast(const struct lookup *l)
{
	__be32 last = l->dialled.address[3];

	if (l->family == AF_INET6)
		return !ip6_is_multicast(l->dialled.address);
	return !ip4_is_multicast(last) && last != IP4_BROADCAST && last != IP4_LOOPBACK_BROADCAST;
}

/* Leaves the token by which sk_lookup recognises the packet (bpf/token.h). */
static __always_inline void leave_token(const struct packet *p)
{
	const struct lookup *l = &p->l;

	__u32 hash = token_hash(l);
	struct ilm_token *token = token_at(hash);

	if (!token)
		return;
	if (token->hash != hash)
		token->packets = 0;
	token->hash = hash;
	token->holder = l->verdict == ILM_VERDICT_EXISTING ? ILM_HOLDER_EXISTING :
			p->heir;
	token->packets++;
}

struct ipv6_devconf {
	int forwarding;
} __attribute__((preserve_access_index));

struct netns_ipv6 {
	struct ipv6_devconf *devconf_all;
} __attribute__((preserve_access_index));

struct net___ipv6 {
	struct netns_ipv6 ipv6;
} __attribute__((preserve_access_index));

/*
 * Is it a link-local, loopback or multicast source? The helper reports whatever comes from there as
 * not forwarded, without looking where it goes (net/core/filter.c, bpf_ipv6_fib_lookup).
 */
static __always_inline bool is_scoped(const __be32 *address)
{
	return ip6_is_link_local(address) || ip6_is_multicast(address) ||
	       (!address[0] && !address[1] && !address[2] && address[3] == bpf_htonl(1));
}

/*
 * The result of a route look-up for the packet, as if it had come in on `interface`:
 * BPF_FIB_LKUP_RET_*.
 */
static __always_inline long route(struct __sk_buff *skb, const struct lookup *l, __u32 interface)
{
	struct bpf_fib_lookup fib = {};

	fib.family = l->family;
	fib.l4_protocol = l->dialled.protocol;
	fib.ifindex = interface;
	if (l->family == AF_INET) {
		fib.ipv4_src = l->remote[3];
		fib.ipv4_dst = l->dialled.address[3];
	} else {
		if (!is_scoped(l->remote))
			address_copy(fib.ipv6_src, l->remote);
		address_copy(fib.ipv6_dst, l->dialled.address);
	}
	return bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
}

/*
 * Is it for another host, according to the routes? A packet that carries a socket is dropped when
 * it is forwarded (net/ipv4/ip_forward.c), and in another network namespace it would reach our
 * socket.
 */
__noinline int is_forwarded(struct __sk_buff *skb, const struct packet *p)
{
	const struct net___ipv6 *net;
	long result;

	/* Never NULL; the verifier requires the check. */
	if (!p)
		return true;
	result = route(skb, &p->l, skb->ingress_ifindex);
	/*
	 * For an interface that forwards nothing, the helper tells no more: IPv4 is dropped there
	 * unless it is for this host, but IPv6 is forwarded if `all` says so
	 * (net/ipv6/ip6_output.c, ip6_forward). lo has the same routes, and usually tells more.
	 */
	if (result == BPF_FIB_LKUP_RET_FWD_DISABLED)
		result = route(skb, &p->l, LOOPBACK_IFINDEX);
	if (result == BPF_FIB_LKUP_RET_NOT_FWDED)
		return false;
	if (result != BPF_FIB_LKUP_RET_FWD_DISABLED || p->shared)
		return true;
	if (p->l.family == AF_INET)
		return false;
	net = bpf_rdonly_cast(device_of(skb)->nd_net.net, bpf_core_type_id_kernel(struct net___ipv6));
	return net->ipv6.devconf_all->forwarding;
}

/*
 * Did it come in on an interface that is ours to judge? Programs stay on an interface that moves to
 * another network namespace. Ports of bridges and the like pass everything to the interface above,
 * which judges it.
 */
static __always_inline bool is_ours(struct __sk_buff *skb, struct packet *p)
{
	const struct net_device *dev = device_of(skb);
	const struct net *net = dev->nd_net.net;
	__u32 above;

	if (net->net_cookie != constants.netns_cookie)
		return false;
	if (!dev->rx_handler)
		return true;
	above = BPF_CORE_READ_BITFIELD_PROBED(dev, priv_flags);
	if (above & (bpf_core_enum_value(enum netdev_priv_flags, IFF_BRIDGE_PORT) |
		     bpf_core_enum_value(enum netdev_priv_flags, IFF_BONDING) |
		     bpf_core_enum_value(enum netdev_priv_flags, IFF_TEAM_PORT) |
		     bpf_core_enum_value(enum netdev_priv_flags, IFF_OVS_DATAPATH)))
		return false;
	/*
	 * Macvlans have MAC addresses of their own, except one that takes everything: for that one
	 * the interface is promiscuous, and not only because it cannot filter by several addresses
	 * (net/core/dev.c, __dev_set_rx_mode).
	 */
	p->shared = !(above & bpf_core_enum_value(enum netdev_priv_flags, IFF_MACVLAN_PORT)) ||
		    dev->promiscuity > dev->uc_promisc;
	return true;
}

/*
 * Does NAT look at the packet? Then it takes away what is given here, and the packet may be for
 * another host. Or do packet sockets?
 */
static __always_inline bool meets_nat(struct __sk_buff *skb, bool v4)
{
	/* Read by hand: has_tap() takes a number, and to the verifier a pointer is not one. */
	const struct sk_buff *kernel_skb = (const struct sk_buff *)skb;
	const struct net_device *dev = BPF_CORE_READ(kernel_skb, dev);

	return takes_sockets(BPF_CORE_READ(dev, nd_net.net), v4) || has_tap((__u64)&dev->ptype_specific, v4);
}

/*
 * Fills in the packet's tuple as if it were for `address` and `port`; returns its length. IPv4's
 * tables have a dual-stack listener on a v4-mapped address (bpf/rewrite.h): for an IPv6 packet,
 * they are asked with a source that no packet has.
 */
static __always_inline __u32 make_tuple(struct bpf_sock_tuple *tuple, const struct lookup *l, const __be32 *address,
					__u16 port)
{
	if (address_is_ip4(address)) {
		tuple->ipv4.saddr = l->family == AF_INET ? l->remote[3] : IP4_BROADCAST;
		tuple->ipv4.daddr = address[3];
		tuple->ipv4.sport = bpf_htons(l->remote_port);
		tuple->ipv4.dport = bpf_htons(port);
		return sizeof(tuple->ipv4);
	}
	address_copy(tuple->ipv6.saddr, l->remote);
	address_copy(tuple->ipv6.daddr, address);
	tuple->ipv6.sport = bpf_htons(l->remote_port);
	tuple->ipv6.dport = bpf_htons(port);
	return sizeof(tuple->ipv6);
}

/* The kernel's look-up runs sk_lookup, which must not decide a second time. */
static __always_inline void set_looking(__u32 looking)
{
	__u32 key = 0;
	struct ilm_steering *s = bpf_map_lookup_elem(&steering, &key);

	if (s)
		s->looking = looking;
}

/* The verifier requires the length to be a constant. */
#define ASK(helper, skb, tuple, length) ((length) == sizeof((tuple)->ipv4) ? \
	helper(skb, tuple, sizeof((tuple)->ipv4), BPF_F_CURRENT_NETNS, 0) : \
	helper(skb, tuple, sizeof((tuple)->ipv6), BPF_F_CURRENT_NETNS, 0))

/*
 * The socket that the kernel's tables have for the packet if it were for `address` and `port`. The
 * caller releases it.
 */
static __always_inline struct bpf_sock *ask(struct __sk_buff *skb, const struct lookup *l, const __be32 *address,
					    __u16 port)
{
	struct bpf_sock_tuple tuple = {};
	__u32 length = make_tuple(&tuple, l, address, port);
	struct bpf_sock *sk;

	set_looking(1);
	if (l->dialled.protocol == IPPROTO_UDP)
		sk = ASK(bpf_sk_lookup_udp, skb, &tuple, length);
	else
		sk = ASK(bpf_sk_lookup_tcp, skb, &tuple, length);
	set_looking(0);
	/* An IPv4 socket on the address of a dual-stack one takes no IPv6 packet. */
	if (sk && l->family == AF_INET6 && sk->family == AF_INET) {
		bpf_sk_release(sk);
		return NULL;
	}
	return sk;
}

/* Who gets the packet without us. */
enum holder { NOBODY, CONNECTION, REMAINS, EXACT_LISTENER, WILDCARD_LISTENER, STRANGER };

/* Is the socket bound to exactly that address? */
static __always_inline bool is_bound_to(struct bpf_sock *sk, const __be32 *address)
{
	__be32 bound[4];

	address_of_socket(bound, sk);
	return address_equal(bound, address);
}

/*
 * Is the socket's identity known? It is for each socket that called bind() or listen() for a port
 * or an address of concern; others got their port without (net/ipv4/af_inet.c, inet_autobind).
 */
static __always_inline bool recall_identity(struct bpf_sock *sk, struct ilm_identity *identity)
{
	struct ilm_tracked *t = bpf_sk_storage_get(&tracked, sk, NULL, 0);

	if (!t)
		return false;
	*identity = t->identity;
	return t->seal == seal_of(identity);
}

/*
 * May the socket be selected for a destination? Not if its identity is unknown: then it was not
 * asked to listen.
 */
static __always_inline bool permits_found(struct bpf_sock *sk, __u32 permit)
{
	struct ilm_identity identity;

	return recall_identity(sk, &identity) && permits_identity(&identity, permit);
}

/* May the socket keep what was dialled? It may also be a client's, which takes answers. */
static __always_inline bool permits_holder(struct bpf_sock *sk, __u32 permit)
{
	struct ilm_identity identity = {};

	if (!recall_identity(sk, &identity))
		identify(address_of(sk), &identity);
	return permits_identity(&identity, permit);
}

/*
 * How the listener is bound to what was dialled. Only listeners that the rule would let keep it are
 * judged.
 */
static __always_inline enum holder listener_kind(struct bpf_sock *sk, const struct lookup *l,
						 const struct ilm_rule *rule, __u32 permit)
{
	enum holder kind = is_bound_to(sk, l->dialled.address) ? EXACT_LISTENER : WILDCARD_LISTENER;
	bool keeps = rule->existing == ILM_EXISTING_ANY || (kind == EXACT_LISTENER && rule->existing == ILM_EXISTING_EXACT);

	return keeps && permit && !permits_holder(sk, permit) ? STRANGER : kind;
}

/*
 * The socket that the kernel's tables have for the TCP packet as it is, including connections that
 * are being made and remains of connections. The caller releases it.
 */
static __always_inline struct bpf_sock *ask_for_any(struct __sk_buff *skb, const struct lookup *l)
{
	struct bpf_sock_tuple tuple = {};
	__u32 length = make_tuple(&tuple, l, l->dialled.address, l->dialled.port);
	struct bpf_sock *sk;

	set_looking(1);
	sk = ASK(bpf_skc_lookup_tcp, skb, &tuple, length);
	set_looking(0);
	return sk;
}

/*
 * Asks the kernel's own tables, not the registry: they know about devices, VRFs, and sockets that
 * have connected meanwhile. A connection may also be one that is being made, or the remains of one
 * (TIME_WAIT). A separate function: this look-up returns another type of socket, and the verifier
 * requires the two to be kept apart.
 */
static __noinline enum holder tcp_holder(struct __sk_buff *skb, const struct lookup *l, const struct ilm_rule *rule,
					 __u32 permit)
{
	struct bpf_sock *sk = ask_for_any(skb, l);
	enum holder holder = CONNECTION;

	if (!sk)
		return NOBODY;
	if (sk->state == TCP_LISTEN)
		holder = listener_kind(sk, l, rule, permit);
	if (sk->state == TCP_TIME_WAIT)
		holder = REMAINS;
	bpf_sk_release(sk);
	return holder;
}

/* Reads the timestamp in the options from `at` to `end` (RFC 7323). */
static __noinline bool load_timestamp(struct __sk_buff *skb, __u32 at, __u32 end, __u32 *time)
{
	__u8 option[2];
	__be32 value;

	for (int i = 0; i < TCP_OPTIONS_MAX && at < end; i++) {
		if (!load(skb, at, option, sizeof(option)) || option[0] == TCP_OPTION_END)
			return false;
		if (option[0] == TCP_OPTION_NONE) {
			at++;
			continue;
		}
		if (option[0] == TCP_OPTION_TIMESTAMP && option[1] == TCP_TIMESTAMP_LENGTH) {
			if (!load(skb, at + sizeof(option), &value, sizeof(value)))
				return false;
			*time = bpf_ntohl(value);
			return true;
		}
		if (option[1] < sizeof(option))
			return false;
		at += option[1];
	}
	return false;
}

/*
 * The remains of a connection: the sequence number that it waits for, and the newest timestamp that
 * it saw.
 */
struct remains {
	__u32 sequence;
	__u32 time;
	bool timed;
};

static __noinline bool find_remains(struct __sk_buff *skb, const struct lookup *l, struct remains *remains)
{
	struct bpf_sock *sk = ask_for_any(skb, l);
	const struct tcp_timewait_sock *timewait;
	bool found;

	if (!sk)
		return false;
	found = sk->state == TCP_TIME_WAIT;
	if (found) {
		/*
		 * bpf_skc_to_tcp_timewait_sock() does not recognise what an MPTCP subflow leaves.
		 */
		timewait = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_timewait_sock));
		remains->sequence = timewait->tw_sk.__tw_common.skc_tw_rcv_nxt;
		remains->time = timewait->tw_ts_recent;
		remains->timed = timewait->tw_ts_recent_stamp;
	}
	bpf_sk_release(sk);
	return found;
}

/*
 * Is the SYN a new one, or an old duplicate? Judges as the kernel does (net/ipv4/tcp_minisocks.c,
 * tcp_timewait_state_process): by its sequence number, or by its timestamp, because after many
 * bytes, or from another host behind the same NAT, the number may be lower.
 */
static __always_inline bool is_newer(struct __sk_buff *skb, __u32 transport, __u32 sequence, __be16 flags,
				     const struct remains *remains)
{
	__u32 end = transport + TCP_HEADER_BYTES(bpf_ntohs(flags));
	__u32 time;

	if ((__s32)(sequence - remains->sequence) > 0)
		return true;
	return remains->timed && load_timestamp(skb, transport + TCP_OPTIONS, end, &time) &&
	       (__s32)(remains->time - time) < 0;
}

/*
 * Handles a SYN from the port of a connection that was closed here less than a minute ago. The
 * kernel buries the remains when it finds a listener (net/ipv4/tcp_ipv4.c, tcp_v4_rcv, TCP_TW_SYN),
 * but it asks sk_lookup for one, which cannot select this kind; and if we gave it a listener, it
 * would find that the connection exists already and drop the SYN. So a copy of the packet, turned
 * into an RST, tells it that the old connection is over, and the SYN comes once more, right behind.
 *
 * What the machine sends to itself carries its route (drivers/net/loopback.c, loopback_xmit). A
 * redirect to ingress removes the route (include/linux/netdevice.h, ____dev_forward_skb), and
 * without one the host's own address as the source is a martian (net/ipv4/route.c,
 * ip_route_input_slow): the packet would be dropped. So on lo both go out, which means in again,
 * with the route.
 */
__noinline int bury(struct __sk_buff *skb, const struct packet *p)
{
	__u64 direction = skb->ifindex == LOOPBACK_IFINDEX ? 0 : BPF_F_INGRESS;
	__be32 sequence, rst_sequence;
	__be16 flags, rst_flags;
	struct remains remains;
	__u32 at;

	if (!p)
		return TCX_NEXT;
	at = network_offset(skb) + p->transport;
	if (skb->cb[BURIED_AT] == BURIED_MAGIC || !find_remains(skb, &p->l, &remains) ||
	    bpf_skb_load_bytes(skb, at + TCP_SEQUENCE, &sequence, sizeof(sequence)) ||
	    bpf_skb_load_bytes(skb, at + TCP_OFFSET_FLAGS, &flags, sizeof(flags)))
		return TCX_NEXT;
	/* The kernel refuses an old duplicate itself. */
	if (!is_newer(skb, p->transport, bpf_ntohl(sequence), flags, &remains))
		return TCX_NEXT;
	rst_sequence = bpf_htonl(remains.sequence);
	rst_flags = (flags & bpf_htons(TCP_NO_FLAGS)) | bpf_htons(TCP_RST);
	if (bpf_l4_csum_replace(skb, at + TCP_CHECK, sequence, rst_sequence, sizeof(sequence)) ||
	    bpf_l4_csum_replace(skb, at + TCP_CHECK, flags, rst_flags, sizeof(flags)) ||
	    bpf_skb_store_bytes(skb, at + TCP_SEQUENCE, &rst_sequence, sizeof(sequence), 0) ||
	    bpf_skb_store_bytes(skb, at + TCP_OFFSET_FLAGS, &rst_flags, sizeof(flags), 0))
		return TCX_NEXT;
	bpf_clone_redirect(skb, skb->ifindex, direction);
	bpf_l4_csum_replace(skb, at + TCP_CHECK, rst_sequence, sequence, sizeof(sequence));
	bpf_l4_csum_replace(skb, at + TCP_CHECK, rst_flags, flags, sizeof(flags));
	bpf_skb_store_bytes(skb, at + TCP_SEQUENCE, &sequence, sizeof(sequence), 0);
	bpf_skb_store_bytes(skb, at + TCP_OFFSET_FLAGS, &flags, sizeof(flags), 0);
	skb->cb[BURIED_AT] = BURIED_MAGIC;
	return bpf_redirect(skb->ifindex, direction);
}

/* Who listens, as if the client had another port. */
static __always_inline enum holder listener_holder(struct __sk_buff *skb, struct lookup *l, const struct ilm_rule *rule,
						   __u32 permit)
{
	__u16 port = l->remote_port;
	enum holder holder;

	l->remote_port = 0;
	holder = tcp_holder(skb, l, rule, permit);
	l->remote_port = port;
	return holder;
}

static __noinline enum holder udp_holder(struct __sk_buff *skb, const struct lookup *l, const struct ilm_rule *rule,
				       __u32 permit)
{
	struct bpf_sock *sk = ask(skb, l, l->dialled.address, l->dialled.port);
	enum holder holder = CONNECTION;

	if (!sk)
		return NOBODY;
	if (sk->state != TCP_ESTABLISHED)
		holder = listener_kind(sk, l, rule, permit);
	bpf_sk_release(sk);
	return holder;
}

/*
 * Who would get the datagram from the kernel (ILM_HOLDER_*). sk_lookup cannot tell: a socket that
 * got its port without bind() may share it with one that the registry knows, and one that
 * disconnected counts as connected.
 */
__noinline int find_heir(struct __sk_buff *skb, const struct packet *p, __u32 permit)
{
	int heir = ILM_HOLDER_UNKNOWN;
	struct bpf_sock *sk;

	/* Never NULL; the verifier requires the check. */
	if (!p)
		return ILM_HOLDER_UNKNOWN;
	sk = ask(skb, &p->l, p->l.dialled.address, p->l.dialled.port);
	if (!sk)
		return ILM_HOLDER_UNKNOWN;
	if (sk->state != TCP_ESTABLISHED && !(p->crossed && sk->bound_dev_if))
		heir = permits_holder(sk, permit) ? ILM_HOLDER_HEIR : ILM_HOLDER_STRANGER;
	bpf_sk_release(sk);
	return heir;
}

/*
 * Does the registry know a socket for a packet that crossed: a listener, or a UDP client that is
 * bound to the interface and called bind()?
 */
static __noinline bool is_held(const struct lookup *l, __u8 existing, __u32 permit)
{
	struct ilm_place place = { .endpoint = l->dialled, .device = l->interface };
	struct ilm_presence *p = bpf_map_lookup_elem(&presence, &place);

	return (p && p->connected) || (existing != ILM_EXISTING_NEVER && already_listening(l, existing, permit));
}

/* Does the ACK bring back a cookie that the listener sent? */
static __noinline bool brings_cookie(struct __sk_buff *skb, const struct packet *p, struct bpf_sock *sk)
{
	struct ip4_header ip4;
	struct ip6_header ip6;
	struct tcphdr tcp;

	if (!load(skb, p->transport, &tcp, sizeof(tcp)))
		return false;
	if (p->l.family == AF_INET)
		return load(skb, 0, &ip4, sizeof(ip4)) &&
		       !bpf_tcp_check_syncookie(sk, &ip4, sizeof(ip4), &tcp, sizeof(tcp));
	return load(skb, 0, &ip6, sizeof(ip6)) &&
	       !bpf_tcp_check_syncookie(sk, &ip6, sizeof(ip6), &tcp, sizeof(tcp));
}

/*
 * Can the listener take the packet? If it crossed, an ACK may belong to a connection that is bound
 * to the interface, which the tables did not show.
 */
static __always_inline bool can_take(struct __sk_buff *skb, const struct packet *p, struct bpf_sock *sk)
{
	if (!p->crossed)
		return true;
	if (sk->bound_dev_if)
		return false;
	return p->l.dialled.protocol == IPPROTO_UDP || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN ||
	       brings_cookie(skb, p, sk);
}

/*
 * A client that dials the tunnel itself gets its answers from there from now on, whatever it
 * dialled before.
 */
static __always_inline void meet_tunnel(struct __sk_buff *skb, struct packet *p)
{
	struct ilm_flow_key key = { .remote_port = p->l.remote_port, .local_port = p->l.dialled.port };
	struct ilm_flow *flow;
	__u32 first = 0;
	__u32 *tunnel = bpf_map_lookup_elem(&tunnels, &first);

	if (!tunnel || !*tunnel)
		return;
	address_copy(key.remote, p->l.remote);
	key.local[2] = p->l.family == AF_INET ? IP4_MAPPED : 0;
	flow = find_flow(&key);
	if (flow && flow->port != p->l.dialled.port && is_ours(skb, p))
		remember_flow(&key, &p->l.dialled, skb->ingress_ifindex);
}

/* Is the listener a member of a SO_REUSEPORT group? */
static __always_inline bool is_in_group(struct bpf_sock *sk)
{
	const struct sock *plain = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct sock));

	return BPF_CORE_READ_BITFIELD_PROBED(&plain->__sk_common, skc_reuseport);
}

/*
 * Gives the packet to the listener on `endpoint`, and to no other: the kernel would also answer
 * with one on the wildcard. `mixed`: there are others that the permit does not permit; in a
 * SO_REUSEPORT group the kernel selects again (include/net/inet_hashtables.h, inet_steal_sock), so
 * then a group gets nothing. A global function: the verifier walks it once, not in each round of
 * the caller's loop.
 */
__noinline int hand_over(struct __sk_buff *skb, struct packet *p, const struct ilm_endpoint *endpoint, __u32 permit,
			 bool mixed)
{
	__u8 outcome = ILM_ATTEMPT_ABSENT;
	const struct lookup *l;
	struct bpf_sock *sk;
	bool wildcard;

	/* Never NULL; the verifier requires the check. */
	if (!p || !endpoint)
		return ILM_ATTEMPT_FAILED;
	l = &p->l;
	wildcard = address_is_wildcard(endpoint->address);
	/* A wildcard listener is found by the dialled address. */
	sk = ask(skb, l, wildcard ? l->dialled.address : endpoint->address, endpoint->port);
	if (!sk)
		return ILM_ATTEMPT_ABSENT;
	if (is_bound_to(sk, endpoint->address) &&
	    (endpoint->protocol == IPPROTO_UDP || sk->state == TCP_LISTEN) && can_take(skb, p, sk) &&
	    !(mixed && is_in_group(sk)) && (!permit || permits_found(sk, permit)))
		outcome = !p->remains && bpf_sk_assign(skb, sk, 0) ? ILM_ATTEMPT_FAILED : ILM_ATTEMPT_SELECTED;
	if (outcome == ILM_ATTEMPT_SELECTED && endpoint->protocol == IPPROTO_UDP && is_tunnel(sk))
		p->tunnel = endpoint->port;
	bpf_sk_release(sk);
	return outcome;
}

/*
 * Has the socket on `endpoint`, or the listener there, got a datagram with exactly these addresses
 * and ports before?
 */
static __always_inline bool is_known(const struct lookup *l, const struct ilm_endpoint *endpoint)
{
	struct ilm_flow_key key = { .local_port = endpoint->port, .remote_port = l->remote_port };
	struct ilm_flow *flow;

	address_copy(key.local, endpoint->address);
	address_copy(key.remote, l->remote);
	flow = find_flow(&key);
	return flow && flow->port == l->dialled.port && address_equal(flow->dialled, l->dialled.address);
}

/*
 * Gives the datagram to the socket on `endpoint` that is connected to the client. sk_lookup cannot
 * select a connected socket (net/core/filter.c, bpf_sk_lookup_assign), so ingress gives it, even
 * where the others are in a sockmap, and where there is NAT: NAT leaves a connected socket its
 * packet (net/netfilter/nf_nat_proto.c, nf_nat_inet_port_was_mangled), and does not divert the
 * packet if it has not done so before. The listener gets fragments.
 */
__noinline int hand_to_child(struct __sk_buff *skb, const struct packet *p, const struct ilm_endpoint *endpoint,
			    __u32 permit)
{
	int outcome = ILM_ATTEMPT_ABSENT;
	struct bpf_sock *sk;

	/* Never NULL; the verifier requires the check. */
	if (!p || !endpoint)
		return ILM_ATTEMPT_FAILED;
	if (p->nat && (!is_known(&p->l, endpoint) || is_forwarded(skb, p)))
		return ILM_ATTEMPT_ABSENT;
	sk = ask(skb, &p->l, endpoint->address, endpoint->port);
	if (!sk)
		return ILM_ATTEMPT_ABSENT;
	if (sk->state == TCP_ESTABLISHED && is_bound_to(sk, endpoint->address) && can_take(skb, p, sk) &&
	    (!permit || permits_found(sk, permit)) && !bpf_sk_assign(skb, sk, 0))
		outcome = ILM_ATTEMPT_SELECTED;
	bpf_sk_release(sk);
	return outcome;
}

/* The outcome of an offer to one destination. LEFT: the packet passes as it is. */
enum offer { REFUSED, TAKEN, LEFT, MEETS_REMAINS };

/*
 * Whose sockets the destination selects; 0: anyone's. `judged`: there may be others, so the sockets
 * have to be judged.
 */
static __always_inline __u32 permit_of_destination(const struct packet *p, const struct ilm_destination *d, bool *judged)
{
	*judged = true;
	if (address_is_wildcard(d->address))
		return p->wildcard_permit;
	if (any_irregular())
		return d->permit;
	/*
	 * All sockets that are bound to it are permitted there. A UDP socket may have got its port
	 * without bind().
	 */
	*judged = false;
	return p->l.dialled.protocol == IPPROTO_UDP ? d->permit : 0;
}

/* Offers the packet to the destination's listener. `i`: which of the rule's destinations it is. */
__noinline int offer(struct __sk_buff *skb, struct packet *p, __u32 index, __u32 i)
{
	struct ilm_endpoint endpoint;
	struct ilm_destination *d;
	struct listeners live;
	__u32 permit;
	int there = 0;
	__u16 remote_port;
	struct lookup *l;
	bool udp, judged;
	__u8 outcome;

	if (!p)
		return LEFT;
	l = &p->l;
	udp = l->dialled.protocol == IPPROTO_UDP;
	i &= ILM_DESTINATIONS_MAX - 1;
	d = bpf_map_lookup_elem(&destinations, &index);
	if (!d)
		return LEFT;
	if (passes_on(l, d)) {
		l->attempts[i] = ILM_ATTEMPT_DRAINED;
		return REFUSED;
	}
	endpoint_of_destination(&endpoint, l, d);
	live = listeners_at(&endpoint, l->interface);
	/*
	 * Nothing listens; but a socket may have disconnected, and what is bound to a VRF is
	 * counted under the VRF's device.
	 */
	if (!live.sockets && !live.connected && !any_on_device()) {
		l->attempts[i] = ILM_ATTEMPT_ABSENT;
		return REFUSED;
	}
	permit = permit_of_destination(p, d, &judged);
	if (permit && judged && live.sockets) {
		there = judge_listeners(&endpoint, l->interface, permit);
		/* If only strangers listen, it is as if nothing did. */
		if (!(there & HAS_PERMITTED)) {
			l->attempts[i] = ILM_ATTEMPT_ABSENT;
			return REFUSED;
		}
	}
	if (udp && live.connected && !p->fragment && (live.placed || p->nat) &&
	    hand_to_child(skb, p, &endpoint, permit) == ILM_ATTEMPT_SELECTED) {
		l->attempts[i] = ILM_ATTEMPT_SELECTED;
		p->ends = handed_ends(l->remote, &endpoint);
		l->verdict = ILM_VERDICT_SELECTED;
		l->selected = i;
		l->share = d->share;
		return TAKEN;
	}
	if (p->nat)
		return live.sockets ? LEFT : REFUSED;
	/*
	 * In a sockmap: sk_lookup will select it. If some listeners on :: take IPv6 only, the
	 * counts do not say whether one in the sockmap takes IPv4: then the kernel is asked.
	 */
	if (live.placed && !(l->family == AF_INET && !endpoint.address[2] && live.v6only))
		return LEFT;
	/*
	 * Reassembled, it would have lost the socket. sk_lookup refuses it, and recognises it as a
	 * packet only if its last fragment came to the same CPU: whether the socket is registered
	 * from now on must not depend on that.
	 */
	if (p->fragment) {
		if (udp && live.sockets)
			want(&endpoint);
		return LEFT;
	}
	outcome = hand_over(skb, p, &endpoint, permit, there & HAS_STRANGERS);
	if (!udp && outcome == ILM_ATTEMPT_ABSENT) {
		/*
		 * The kernel found a connection from the same client port to the listener itself,
		 * or its remains, instead.
		 */
		remote_port = l->remote_port;
		l->remote_port = 0;
		outcome = hand_over(skb, p, &endpoint, permit, there & HAS_STRANGERS);
		l->remote_port = remote_port;
	}
	l->attempts[i] = outcome;
	if (outcome != ILM_ATTEMPT_SELECTED)
		return REFUSED;
	/* The packet comes again. */
	if (p->remains)
		return MEETS_REMAINS;
	p->ends = handed_ends(l->remote, &endpoint);
	l->verdict = ILM_VERDICT_SELECTED;
	l->selected = i;
	l->share = d->share;
	return TAKEN;
}

struct sk_buff___index {
	__u16 tc_index;
} __attribute__((preserve_access_index));

/* The place that this CPU took last. */
static __always_inline struct ilm_handed *handed_at(const struct ilm_steering *s, __u32 *place)
{
	*place = bpf_get_smp_processor_id() * constants.handed_each + (s->handed & (constants.handed_each - 1));
	*place &= ILM_HANDED - 1;
	return bpf_map_lookup_elem(&handed, place);
}

/*
 * Leaves a note, so that the packet is counted when it reaches the daemon's socket; false if that
 * is not possible. Not for the kernel's own sockets, which take theirs earlier; nor without traffic
 * control (CONFIG_NET_SCHED), where packets carry no such number.
 */
static __always_inline bool leave_note(struct __sk_buff *skb, struct packet *p)
{
	__u32 first = 0, place;
	struct ilm_steering *s = bpf_map_lookup_elem(&steering, &first);
	struct lookup *l = &p->l;
	struct ilm_handed *h;

	if (p->tunnel || !s || !bpf_core_field_exists(((struct sk_buff___index *)skb)->tc_index))
		return false;
	h = handed_at(s, &place);
	/*
	 * Usually the last one has been counted by now. If not, it may still be, as one of a batch;
	 * or it was dropped.
	 */
	if (h && h->port) {
		s->handed++;
		h = handed_at(s, &place);
	}
	if (!h)
		return false;
	h->ends = p->ends;
	h->remote_port = l->remote_port;
	h->port = l->dialled.port;
	h->counter = l->counter;
	h->share = l->share;
	h->generation = generation_of(l)->number;
	h->counting = constants.counting;
	h->watched = watched() ? ILM_WATCHED : ILM_UNWATCHED;
	skb->tc_index = place + 1;
	l->handed = place + 1;
	if (h->watched)
		report(l, h);
	return true;
}

static __always_inline int steer(struct __sk_buff *skb, struct packet *p, const struct ilm_rule *rule)
{
	struct lookup *l = &p->l;
	__u32 first = l->family == AF_INET ? rule->first4 : rule->first6;
	__u32 n = l->family == AF_INET ? rule->count4 : rule->count6;
	int answer = REFUSED;
	struct ilm_counters *c;
	__u64 floor = 0;

	for (__u32 round = 0; round < ILM_DESTINATIONS_MAX && round < n && answer == REFUSED; round++) {
		__u32 i = rule->choice & ILM_CHOICE_WEIGHTED ? next_weighted(l, first, n, &floor) : round;

		if (i >= n)
			break;
		answer = offer(skb, p, first + i, i);
	}
	if (answer == MEETS_REMAINS)
		return bury(skb, p);
	if (answer != TAKEN || leave_note(skb, p))
		return TCX_NEXT;
	c = counters_of(l->counter);
	if (c)
		count_selected(c, l->counter, l->share);
	if (watched())
		report(l, NULL);
	return TCX_NEXT;
}

static __always_inline __u8 icmp_of(__u8 family)
{
	return family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
}

/* Called only by ilm_steer, for ICMP. */
SEC("tc")
int ilm_icmp(struct __sk_buff *skb)
{
	struct packet p;
	bool v4;

	__builtin_memset(&p, 0, sizeof(p));
	if (!parse(skb, &p) || !is_ours(skb, &p))
		return TCX_NEXT;
	v4 = p.l.family == AF_INET;
	__builtin_memset(&p.l, 0, sizeof(p.l));
	on_icmp(skb, &p.l, p.transport, v4);
	return TCX_NEXT;
}

/*
 * Decides who gets the packet. `class`: that of its port. Where NAT decides afterwards, ingress
 * gives packets only to connected sockets, but looks for an existing listener all the same: the
 * kernel's tables know that better than the registry (a UDP socket that disconnected).
 */
static __always_inline int judge(struct __sk_buff *skb, struct packet *p, __u32 class)
{
	bool udp = p->l.dialled.protocol == IPPROTO_UDP;
	struct ilm_rule *rule;
	enum holder holder;
	__u32 number;

	p->l.interface = arrival(skb, p->l.family == AF_INET);
	p->crossed = p->l.interface != skb->ingress_ifindex;
	number = find_rule(class, &p->l);
	if (!number) {
		if (udp && p->l.matched == ILM_MATCHED_OWNED)
			p->permit = permit_of_owned(&p->l.dialled);
		return TCX_NEXT;
	}
	rule = bpf_map_lookup_elem(&rules, &number);
	if (!rule)
		return TCX_NEXT;
	p->wildcard_permit = rule->permit;
	p->permit = permit_of(rule, &p->l.dialled);

	if (!udp) {
		if (!load(skb, p->transport + TCP_FLAGS, &p->tcp_flags, sizeof(p->tcp_flags)) || p->tcp_flags & TCP_RST)
			return TCX_NEXT;
		/*
		 * A connection is opened by a SYN; or, if the kernel sent a SYN cookie, by the ACK
		 * that brings it back: then there is no connection yet.
		 */
		if (!(p->tcp_flags & (TCP_SYN | TCP_ACK)))
			return TCX_NEXT;
	}
	holder = udp ? udp_holder(skb, &p->l, rule, p->permit) : tcp_holder(skb, &p->l, rule, p->permit);
	if (holder == REMAINS) {
		if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
			return TCX_NEXT;
		p->remains = true;
		holder = listener_holder(skb, &p->l, rule, p->permit);
	}
	if (holder != CONNECTION && p->crossed && any_on_device()) {
		if (is_held(&p->l, rule->existing, p->permit))
			return TCX_NEXT;
		holder = NOBODY;
	}
	p->connected = holder == CONNECTION;
	if ((holder == EXACT_LISTENER && rule->existing != ILM_EXISTING_NEVER) ||
	    (holder == WILDCARD_LISTENER && rule->existing == ILM_EXISTING_ANY) ||
	    ((holder == WILDCARD_LISTENER || holder == STRANGER) && udp && rule->existing != ILM_EXISTING_NEVER &&
	     was_asked(p->l.remote, p->l.remote_port, p->l.dialled.port)))
		p->l.verdict = ILM_VERDICT_EXISTING;
	if (p->connected || p->l.verdict == ILM_VERDICT_EXISTING)
		return TCX_NEXT;
	if (!p->nat && is_forwarded(skb, p))
		return TCX_NEXT;
	return steer(skb, p, rule);
}

/* Is it TCP, with nothing between it and the IP header but IPv4 options? */
static __always_inline bool is_plain_tcp(struct __sk_buff *skb)
{
	__u8 protocol;

	return load(skb, skb->protocol == bpf_htons(ETH_P_IP) ? offsetof(struct ip4_header, protocol) :
							 offsetof(struct ip6_header, next), &protocol, sizeof(protocol)) &&
	       protocol == IPPROTO_TCP;
}

SEC("tc")
int ilm_steer(struct __sk_buff *skb)
{
	struct ports_header ports_seen;
	int action = TCX_NEXT;
	struct packet p;
	__u32 *class;
	bool udp;

	if (skb->pkt_type != PACKET_HOST)
		return TCX_NEXT;
	if (skb->vlan_present && skb->vlan_tci & VLAN_ID_MASK)
		return TCX_NEXT;
	/* Nearly every packet of most hosts, so this is checked first. */
	if (!any_steered_tcp() && is_plain_tcp(skb))
		return TCX_NEXT;
	/* Clears all of it, padding too: functions that the verifier walks on their own get it. */
	__builtin_memset(&p, 0, sizeof(p));
	if (!parse(skb, &p) || !is_unicast(&p.l))
		return TCX_NEXT;
	/* With the kfunc, sk_lookup selects every kind of socket, for ICMP errors too. */
	if (!constants.kfunc && !p.fragment && p.l.dialled.protocol == icmp_of(p.l.family))
		/* A separate program: both together need more stack than there is. */
		bpf_tail_call(skb, &ingress, ILM_INGRESS_ICMP);
	udp = p.l.dialled.protocol == IPPROTO_UDP;
	if (!udp && (p.l.dialled.protocol != IPPROTO_TCP || constants.kfunc || !any_steered_tcp()))
		return TCX_NEXT;

	if (!load(skb, p.transport, &ports_seen, sizeof(ports_seen)))
		return TCX_NEXT;
	p.l.dialled.port = bpf_ntohs(ports_seen.destination);
	p.l.remote_port = bpf_ntohs(ports_seen.source);
	p.l.side = active_side();
	class = class_of(p.l.side, p.l.dialled.protocol, p.l.dialled.port);
	if (!class || !*class) {
		if (udp)
			meet_tunnel(skb, &p);
		return TCX_NEXT;
	}
	if (!is_ours(skb, &p))
		return TCX_NEXT;
	p.nat = meets_nat(skb, p.l.family == AF_INET);
	if (!constants.kfunc && (udp || !p.nat))
		action = judge(skb, &p, *class);
	if (p.tunnel)
		remember_tunnel(&p.l, p.tunnel, skb->ingress_ifindex);
	if (udp && p.l.verdict != ILM_VERDICT_SELECTED && !p.connected) {
		if (p.permit && p.l.verdict != ILM_VERDICT_EXISTING)
			p.heir = find_heir(skb, &p, p.permit);
		leave_token(&p);
	}
	return action;
}
