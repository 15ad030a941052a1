/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the context of tc programs does not tell of a packet. */
#ifndef ILM_SKB_H
#define ILM_SKB_H

#include "kernel.h"

#define TCX_NEXT -1
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define CHECKSUM_PARTIAL 3

struct sk_buff {
	unsigned char *head;
	unsigned char *data;
	__u16 network_header;
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

struct udp_header {
	__be16 source;
	__be16 destination;
	__be16 length;
	__be16 check;
};

/*
 * From the start of the packet's data, which is the link header on devices that have one. The context of these programs is
 * the packet's sk_buff itself (include/linux/filter.h, bpf_prog_run_clear_cb).
 */
static __always_inline __u32 network_offset(struct __sk_buff *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx;
	unsigned char *head = BPF_CORE_READ(skb, head);
	unsigned char *data = BPF_CORE_READ(skb, data);
	__u16 network = BPF_CORE_READ(skb, network_header);

	return head + network - data;
}

#endif
