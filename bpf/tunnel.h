/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's tunnels (VXLAN, GENEVE, WireGuard, OpenVPN's offload) as destinations. Their
 * datagrams reach no queue, where bpf/deliver.h would write the flow, and what they send carries no
 * socket. So the flow is written where the tunnel is selected: before the firewall, because there
 * is no later place. What is sent tells the tunnel's port, and not the address that its socket is
 * bound to: the flow has the wildcard address instead, of the packet's family.
 */
#ifndef ILM_TUNNEL_H
#define ILM_TUNNEL_H

#include "flow.h"
#include "generation.h"
#include "skb.h"

static __always_inline bool is_tunnel(const void *sk)
{
	const struct udp_sock *udp = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct udp_sock));

	return udp->encap_type;
}

/* `port`: the tunnel's own. */
static __always_inline void remember_tunnel(const struct lookup *l, __u16 port, __u32 interface)
{
	struct ilm_flow_key key = { .remote_port = l->remote_port, .local_port = port };
	__u32 first = 0;
	__u32 *tunnel = bpf_map_lookup_elem(&tunnels, &first);

	address_copy(key.remote, l->remote);
	key.local[2] = l->family == AF_INET ? IP4_MAPPED : 0;
	if (tunnel)
		*tunnel = 1;
	remember_flow(&key, &l->dialled, interface);
}

#endif
