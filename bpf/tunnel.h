/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's tunnels (VXLAN, GENEVE, WireGuard) as wildcard destinations. Their datagrams reach
 * no queue, where bpf/deliver.h would write the flow, and what they send carries no socket. So the
 * flow is written where the tunnel is selected: before the firewall, because there is no later
 * place.
 */
#ifndef ILM_TUNNEL_H
#define ILM_TUNNEL_H

#include "flow.h"
#include "generation.h"

static __always_inline bool is_tunnel(const void *sk)
{
	const struct udp_sock *udp = sk;

	return BPF_CORE_READ(udp, encap_type);
}

/* `port`: the tunnel's own; `ipv6`: it is bound to the IPv6 wildcard address. */
static __always_inline void remember_tunnel(const struct lookup *l, __u16 port, bool ipv6, __u32 interface)
{
	struct ilm_flow_key key = { .remote_port = l->remote_port, .local_port = port };
	__u32 first = 0;
	__u32 *tunnel = bpf_map_lookup_elem(&tunnels, &first);

	address_copy(key.remote, l->remote);
	key.local[2] = ipv6 ? 0 : IP4_MAPPED;
	if (tunnel)
		*tunnel = 1;
	remember_flow(&key, &l->dialled, interface);
}

#endif
