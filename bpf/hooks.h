/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Netfilter's hooks of a network namespace. As soon as any NAT rule exists, the hooks of NAT are
 * there too, even for packets that no rule is about: the one at LOCAL_IN takes away a socket that
 * ingress gave (net/netfilter/nf_nat_proto.c, nf_nat_ipv4_local_in, nf_nat_ipv6_local_in), and the
 * one at PREROUTING may send the packet elsewhere. Read here rather than listed over netlink: what
 * happens to a packet must not depend on whether a process has noticed a new rule, and not every
 * kernel can list them (CONFIG_NETFILTER_NETLINK_HOOK).
 *
 * Packet sockets also take away a socket that ingress gave: has_tap().
 */
#ifndef ILM_HOOKS_H
#define ILM_HOOKS_H

#include "ip.h"
#include "kernel.h"
#include "skb.h"

#define NF_INET_PRE_ROUTING 0
#define NF_INET_LOCAL_IN 1
#define NF_INET_LOCAL_OUT 3
#define NF_IP_PRI_CONNTRACK -200
#define NF_IP_PRI_FILTER 0
#define NF_IP_PRI_NAT_SRC 100
#define NF_HOOK_OP_NF_TABLES 1
/* More hooks than any host has at one place. */
#define HOOKS_MAX 64

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

enum nf_hook_ops_type { NF_HOOK_OP_UNDEFINED };

struct nf_hook_ops {
	enum nf_hook_ops_type hook_ops_type : 8;
	int priority;
};

struct nf_hook_entry {
	void *hook;
	void *priv;
};

struct nf_hook_entries {
	__u16 num_hook_entries;
	struct nf_hook_entry hooks[0];
};

struct netns_nf {
	struct nf_hook_entries *hooks_ipv4[5];
	struct nf_hook_entries *hooks_ipv6[5];
};

struct net {
	__u64 net_cookie;
	struct netns_nf nf;
	struct list_head ptype_specific; /* since Linux 6.15 */
};

#pragma clang attribute pop

/*
 * Is the packet on an interface of the network namespace with that cookie? Sockets of other
 * namespaces have the same addresses, and programs stay on an interface that moves to another one.
 */
static __always_inline bool is_in_netns(struct __sk_buff *ctx, __u64 cookie)
{
	const struct sk_buff *skb = (const struct sk_buff *)ctx;

	return BPF_CORE_READ(skb, dev, nd_net.net, net_cookie) == cookie;
}

struct hook_search {
	/*
	 * Of type struct nf_hook_ops **, after the hooks (net/netfilter/core.c,
	 * nf_hook_entries_get_hook_ops).
	 */
	const void *ops;
	int priority;
	__u32 own;		/* 1: not a chain of nftables */
	__u32 found;
};

static long match_hook(__u32 i, struct hook_search *search)
{
	const struct nf_hook_ops *ops = NULL;

	if (bpf_probe_read_kernel(&ops, sizeof(ops), search->ops + i * sizeof(ops)) || !ops)
		return 1;
	if (BPF_CORE_READ(ops, priority) != search->priority)
		return 0;
	/*
	 * A chain of nftables may have the same priority without being NAT: NAT registers as
	 * itself.
	 */
	if (search->own && bpf_core_field_exists(ops->hook_ops_type) &&
	    BPF_CORE_READ_BITFIELD_PROBED(ops, hook_ops_type) == NF_HOOK_OP_NF_TABLES)
		return 0;
	search->found = 1;
	return 1;
}

/*
 * Is there a hook of that priority among these? `own`: only hooks of the kernel itself. Not static:
 * the verifier walks it once.
 */
__noinline int has_hook(__u64 entries, int priority, bool own)
{
	const struct nf_hook_entries *e = (const void *)entries;
	struct hook_search search = { .priority = priority, .own = own };
	__u32 n;

	if (!e)
		return 0;
	n = BPF_CORE_READ(e, num_hook_entries);
	search.ops = (const void *)entries + bpf_core_field_offset(struct nf_hook_entries, hooks) +
		     n * bpf_core_type_size(struct nf_hook_entry);
	bpf_loop(n < HOOKS_MAX ? n : HOOKS_MAX, match_hook, &search, 0);
	return search.found;
}

/* The hooks at `place` (NF_INET_*) for a family's packets; 0: none. */
static __always_inline __u64 hooks_of(const struct net *net, bool v4, __u32 place)
{
	struct nf_hook_entries *entries = NULL;

	if (!bpf_core_field_exists(net->nf))
		return 0;
	if (place == NF_INET_LOCAL_IN)
		entries = v4 ? BPF_CORE_READ(net, nf.hooks_ipv4[NF_INET_LOCAL_IN]) :
			BPF_CORE_READ(net, nf.hooks_ipv6[NF_INET_LOCAL_IN]);
	else if (place == NF_INET_LOCAL_OUT)
		entries = v4 ? BPF_CORE_READ(net, nf.hooks_ipv4[NF_INET_LOCAL_OUT]) :
			BPF_CORE_READ(net, nf.hooks_ipv6[NF_INET_LOCAL_OUT]);
	else
		entries = v4 ? BPF_CORE_READ(net, nf.hooks_ipv4[NF_INET_PRE_ROUTING]) :
			BPF_CORE_READ(net, nf.hooks_ipv6[NF_INET_PRE_ROUTING]);
	return (__u64)entries;
}

static __always_inline bool has_nat(const struct net *net, bool v4)
{
	__u64 entries = hooks_of(net, v4, NF_INET_LOCAL_IN);

	return entries && has_hook(entries, NF_IP_PRI_NAT_SRC, true);
}

static __always_inline bool has_conntrack(const struct net *net, bool v4)
{
	__u64 entries = hooks_of(net, v4, NF_INET_PRE_ROUTING);

	return entries && has_hook(entries, NF_IP_PRI_CONNTRACK, true);
}

/*
 * Does any hook see packets for a family's sockets: filters, NAT, conntrack, IPVS, another module?
 */
static __always_inline bool has_hooks(const struct net *net, bool v4)
{
	return hooks_of(net, v4, NF_INET_PRE_ROUTING) || hooks_of(net, v4, NF_INET_LOCAL_IN) ||
	       hooks_of(net, v4, NF_INET_LOCAL_OUT);
}

/*
 * More packet sockets than any host has in one list; a list with as many is taken to have one of
 * the protocol.
 */
#define TAPS_MAX 32

struct tap_search {
	const struct list_head *head;
	const struct list_head *at;
	__be16 protocol;
	bool over;
	bool found;
};

static long match_tap(__u32 i, struct tap_search *search)
{
	const struct list_head *at = search->at;
	const struct packet_type *tap;

	search->over = !at || at == search->head;
	if (search->over)
		return 1;
	tap = (const void *)at - bpf_core_field_offset(struct packet_type, list);
	search->at = BPF_CORE_READ(at, next);
	if (BPF_CORE_READ(tap, type) != search->protocol)
		return 0;
	search->found = true;
	return 1;
}

/*
 * Is there a packet socket for the protocol in the list, such as keepalived's, or a DHCP client's
 * while it asks? Those of an interface, and of a network namespace where it has a list of its own,
 * come after the handler of IP: each handler but the last gets the packet with one more user
 * (net/core/dev.c, __netif_receive_skb_core, deliver_skb), so IP takes a copy of it (ip_rcv_core,
 * ip6_rcv_core, skb_share_check), which has no socket. Packet sockets for all protocols (tcpdump)
 * come before ingress. Not static: the verifier walks it once.
 */
__noinline int has_tap(__u64 head, bool v4)
{
	struct tap_search search = { .protocol = v4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6) };
	const struct list_head *list = (const void *)head;

	if (!list)
		return 0;
	search.head = list;
	search.at = BPF_CORE_READ(list, next);
	bpf_loop(TAPS_MAX, match_tap, &search, 0);
	return search.found || !search.over;
}

/* Is a socket that ingress gives taken away again, whatever the interface? */
static __always_inline bool takes_sockets(const struct net *net, bool v4)
{
	return has_nat(net, v4) ||
	       (bpf_core_field_exists(net->ptype_specific) && has_tap((__u64)&net->ptype_specific, v4));
}

/* Is there conntrack, and a filter that may look at its verdict on what the host sends? */
static __always_inline bool filters_output(const struct net *net, bool v4)
{
	__u64 entries = hooks_of(net, v4, NF_INET_LOCAL_OUT);

	return entries && has_hook(entries, NF_IP_PRI_CONNTRACK, true) && has_hook(entries, NF_IP_PRI_FILTER, false);
}

#endif
