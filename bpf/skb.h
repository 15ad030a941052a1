/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the context of tc programs does not tell about a packet. */
#ifndef ILM_SKB_H
#define ILM_SKB_H

#include "kernel.h"

#define TCX_NEXT -1
#define PACKET_HOST 0
#define CHECKSUM_PARTIAL 3

/* lo's index, in every namespace (drivers/net/loopback.c, loopback_net_init). */
#define LOOPBACK_IFINDEX 1
#define SKB_DST_NOREF 1UL
#define DST_METADATA 0x0080
#define RTCF_BROADCAST 0x10000000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct net_device;

struct sk_buff {
	unsigned long _skb_refdst;
	struct net_device *dev;
	unsigned char *head;
	unsigned char *data;
	__u16 transport_header;
	__u16 network_header;
	__u8 ip_summed : 2;
	__u16 csum_start;	/* from `head` */
};

struct dst_entry {
	unsigned short flags;
};

struct rtable {
	unsigned int rt_flags;
	int rt_iif;
};

struct list_head {
	struct list_head *next;
};

struct packet_type {
	__be16 type;
	struct list_head list;
};

struct net_device {
	int ifindex;
	unsigned int priv_flags;
	unsigned int promiscuity;
	bool uc_promisc;
	void *rx_handler;
	possible_net_t nd_net;
	struct list_head ptype_specific;
};

struct inet6_dev {
	struct net_device *dev;
};

struct rt6_info {
	struct inet6_dev *rt6i_idev;
};

#pragma clang attribute pop

/*
 * Offset of the network header from the start of the packet's data, which is the link header on
 * devices that have one. The context of these programs is the packet's sk_buff itself
 * (include/linux/filter.h, bpf_prog_run_clear_cb).
 */
static __always_inline __u32 network_offset(struct __sk_buff *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx;
	unsigned char *head = BPF_CORE_READ(skb, head);
	unsigned char *data = BPF_CORE_READ(skb, data);
	__u16 network = BPF_CORE_READ(skb, network_header);

	return head + network - data;
}

/* In the kernel since Linux 6.2; NULL on kernels without it. */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

/*
 * The packet's device, from the kernel's own structures; its fields are read like any others
 * (include/linux/filter.h).
 */
static __always_inline const struct net_device *device_of(struct __sk_buff *skb)
{
	const struct sk_buff *kernel_skb = bpf_rdonly_cast(skb, bpf_core_type_id_kernel(struct sk_buff));

	return kernel_skb->dev;
}

/*
 * The interface that the packet came in on, as it counts for sockets that are bound to one: what
 * the machine sends to itself travels over lo, but carries its route, which says whose address it
 * is for (include/net/route.h, inet_iif; net/ipv6/ip6_input.c, ip6_rcv_core).
 */
static __always_inline __u32 arrival(struct __sk_buff *ctx, bool v4)
{
	struct sk_buff *skb = (struct sk_buff *)ctx;
	const void *route;
	__u32 index;

	if (ctx->ingress_ifindex != LOOPBACK_IFINDEX)
		return ctx->ingress_ifindex;
	route = (const void *)(BPF_CORE_READ(skb, _skb_refdst) & ~SKB_DST_NOREF);
	if (!route || BPF_CORE_READ((const struct dst_entry *)route, flags) & DST_METADATA)
		return LOOPBACK_IFINDEX;
	index = v4 ? BPF_CORE_READ((const struct rtable *)route, rt_iif) :
		BPF_CORE_READ((const struct rt6_info *)route, rt6i_idev, dev, ifindex);
	return index ? index : LOOPBACK_IFINDEX;
}

#endif
