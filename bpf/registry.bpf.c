// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The registry. The kernel itself registers listeners, inside their own listen() or bind() call,
 * whether or not a control plane is running.
 *
 * TCP: BPF_SOCK_OPS_TCP_LISTEN_CB (net/ipv4/af_inet.c, inet_listen) is called before listen()
 * returns, so a client that connects after that finds the socket. UDP: post_bind is called before
 * bind() returns and counts the socket, but the kernel lets no cgroup program put a socket into a
 * sockmap (kernel/bpf/verifier.c, may_update_sockmap). Where sk_lookup needs the socket, post_bind
 * reports the bind, and `run` places the socket with the iterator below.
 *
 * Sockets that a sockmap refuses (MPTCP) or would harm (UDP) are left to ingress (bpf/steer.bpf.c),
 * which asks the kernel's own tables and needs to know from the registry only that a socket
 * listens. For UDP that is right only where nothing comes between ingress and the socket: see
 * takes_map().
 *
 * The end of a listener is seen by sock_release for every socket (net/ipv4/af_inet.c,
 * inet_release); by STATE_CB for sockets that stop listening without being closed (shutdown,
 * connect to AF_UNSPEC) and for MPTCP's subflow sockets, which belong to no file; and by connect
 * for UDP sockets. Sockmap entries need no care: the kernel removes a socket from its maps when it
 * leaves the listening state.
 */
#include "abi.h"
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile struct ilm_registry_constants constants = {};

#include "track.h"

/*
 * One object for everything that outlives generations: libbpf reads the kernel's BTF again for each
 * object, which takes 0.08 s.
 */
#include "deliver.h"
#include "egress.h"
#include "hooks.h"
#include "ingress.h"
#include "listing.h"
#include "reply.h"

/*
 * From now on, the connections of a TCP listener tell where they were accepted. A macro: the
 * verifier must see the socket's own type.
 */
#define NAME_CONNECTIONS(sk, endpoint) do { \
	struct ilm_endpoint *known = bpf_sk_storage_get(&accepted, sk, endpoint, \
							BPF_SK_STORAGE_GET_F_CREATE); \
	if (known) \
		*known = *(endpoint); \
	else \
		count_fault(untracked); \
} while (0)

static __always_inline void endpoint_of_ops(struct ilm_endpoint *e, struct bpf_sock_ops *ctx)
{
	e->protocol = IPPROTO_TCP;
	e->zero = 0;
	e->port = ctx->local_port;
	address_from_context(e->address, ctx->family, ctx->local_ip4, ctx->local_ip6);
}

/*
 * Can only ingress select the socket? A sockmap refuses it (net/core/sock_map.c,
 * sock_map_sk_is_suitable: MPTCP's subflows; net/core/skmsg.c, sk_psock_init: something else uses
 * the socket's sk_user_data, such as a REUSEPORT_SOCKARRAY or a tunnel), or has no place left, and
 * the other members of its group may close before it does.
 */
static __always_inline bool is_for_ingress(long err)
{
	return err == -EOPNOTSUPP || ((err == -EEXIST || err == -EBUSY) && constants.steer_udp);
}

/* struct udp_sock before Linux 6.7. */
struct udp_sock___6_6 {
	__u8 gro_enabled : 1;
} __attribute__((preserve_access_index));

#define UDP_FLAGS_GRO_ENABLED 3

/*
 * Does the socket take segments (UDP_GRO)? Then the kernel asks for it before ingress
 * (net/ipv4/udp_offload.c, udp4_gro_receive), and only sk_lookup can name it.
 */
static __always_inline bool takes_segments(const struct sock *sk)
{
	const struct udp_sock *udp = (const struct udp_sock *)sk;
	const struct udp_sock___6_6 *old = (const void *)sk;

	if (bpf_core_field_exists(udp->udp_flags))
		return BPF_CORE_READ(udp, udp_flags) & 1UL << UDP_FLAGS_GRO_ENABLED;
	return bpf_core_field_exists(old->gro_enabled) && BPF_CORE_READ_BITFIELD_PROBED(old, gro_enabled);
}

/*
 * Should a UDP socket of that destination be put into a sockmap? NAT in the network namespace takes
 * away the socket that ingress gives (bpf/hooks.h), and fragments lose it when they are
 * reassembled; but a sockmap changes how the socket behaves for its daemon. So: only where it is
 * asked for, and where it is needed.
 */
static __always_inline bool takes_map(const struct ilm_slot *slot, const struct sock *sk,
				      const struct ilm_endpoint *endpoint, bool v6only)
{
	const struct net *net;
	bool v4, v6;

	if (!constants.steer_udp)
		return true;
	if (slot->handover != ILM_HANDOVER_AUTO)
		return slot->handover == ILM_HANDOVER_LOOKUP;
	if (slot->wanted || takes_segments(sk))
		return true;
	net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	v4 = address_is_ip4(endpoint->address);
	v6 = !v4;
	/* Dual-stack. */
	if (v6 && !v6only && address_is_wildcard(endpoint->address))
		v4 = true;
	return (v4 && takes_sockets(net, true)) || (v6 && takes_sockets(net, false));
}

/*
 * A socket that is not permitted shares the destination's port. In a SO_REUSEPORT group ingress
 * cannot keep the two apart (bpf/steer.bpf.c, hand_over), but sk_lookup can: from the next scan on,
 * the owner's socket is put into a sockmap.
 */
static __always_inline void set_apart(struct ilm_slot *slot, const struct ilm_endpoint *endpoint)
{
	if (slot->handover != ILM_HANDOVER_AUTO || slot->wanted)
		return;
	slot->wanted = 1;
	bpf_ringbuf_output(&binds, (void *)endpoint, sizeof(*endpoint), 0);
}

/*
 * Puts the listener of `ctx` where sk_lookup finds it, in the first free place: a second socket
 * must not push out the first.
 */
static __always_inline long place_ops(struct bpf_sock_ops *ctx, const struct ilm_endpoint *endpoint,
				      const struct ilm_slot *slot, __u32 device)
{
	struct ilm_member member = { .endpoint = *endpoint };
	__u32 index = slot->index;
	long err = -EEXIST;

	/*
	 * Never a socket that is bound to a device: sk_lookup uses the primary one for whatever
	 * arrives.
	 */
	if (index != ILM_SLOT_NONE && !device)
		err = bpf_sock_map_update(ctx, &primary, &index, BPF_NOEXIST);
	for (__u32 i = 0; err == -EEXIST && i < ILM_MEMBERS_MAX; i++) {
		member.number = i;
		err = bpf_sock_hash_update(ctx, &members, &member, BPF_NOEXIST);
	}
	return err;
}

static __always_inline void on_listen(struct bpf_sock_ops *ctx)
{
	struct ilm_endpoint endpoint;
	struct ilm_tracked *t;
	struct tcp6_sock *tcp6;
	struct bpf_sock *sk = ctx->sk;
	struct ilm_slot *slot;
	bool v6only = false, permitted;
	__u32 device;
	long err;

	if (!sk)
		return;
	device = sk->bound_dev_if;
	endpoint_of_ops(&endpoint, ctx);
	slot = slot_of(&endpoint);
	if (!slot && !is_mapped(IPPROTO_TCP, endpoint.port))
		return;
	t = bpf_sk_storage_get(&tracked, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!t) {
		count_fault(untracked);
		return;
	}
	/*
	 * Keeps other programs' flags. Only the listener gets ours: accepted connections start
	 * without flags.
	 */
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);

	identify_tracked(t, sk);
	if (ctx->family == AF_INET6) {
		sk = ctx->sk;
		tcp6 = sk ? bpf_skc_to_tcp6_sock(sk) : NULL;
		if (tcp6)
			v6only = BPF_CORE_READ_BITFIELD(&tcp6->tcp.inet_conn.icsk_inet.sk.__sk_common,
							skc_ipv6only);
	}
	permitted = !slot || is_permitted(t, slot);
	count(t, &endpoint, device, v6only, slot && (device || !permitted));
	if (!slot || !permitted)
		return;
	mark_heard(&endpoint);
	sk = ctx->sk;
	if (sk)
		NAME_CONNECTIONS(sk, &endpoint);
	if (slot->handover == ILM_HANDOVER_INGRESS && constants.steer_udp) {
		mark_steered(t, 1);
		return;
	}
	err = place_ops(ctx, &endpoint, slot, device);
	if (!err)
		mark_placed(t, slot->serial);
	else if (is_for_ingress(err))
		mark_steered(t, 1);
	else
		count_fault(unplaced);
}

static __always_inline void on_end(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct ilm_tracked *t;

	if (!sk || ctx->args[0] != TCP_LISTEN)
		return;
	t = bpf_sk_storage_get(&tracked, sk, NULL, 0);
	if (!t)
		return;
	forget(t);
}

SEC("sockops")
int ilm_sockops(struct bpf_sock_ops *ctx)
{
	__u32 op = ctx->op;

	if (op != BPF_SOCK_OPS_TCP_LISTEN_CB && op != BPF_SOCK_OPS_STATE_CB)
		return 1;
	if (bpf_get_netns_cookie(ctx) != constants.netns_cookie)
		return 1;
	if (op == BPF_SOCK_OPS_TCP_LISTEN_CB)
		on_listen(ctx);
	else
		on_end(ctx);
	return 1;
}

/*
 * Has another program denied the call already? Every program of a hook runs, whatever earlier ones
 * said (kernel/bpf/cgroup.c, bpf_prog_run_array_cg): those of the process's own cgroups first, then
 * those of the root in the order in which they were attached. A program attached after ours denies
 * when ours has run: the control plane finds what came of that (src/dataplane/install/registry.ts,
 * sweep).
 */
static __always_inline bool is_denied(void)
{
	return bpf_get_retval() < 0;
}

#include "guard.h"
#include "mptcp.h"

static __always_inline void on_bind(struct bpf_sock *ctx, struct ilm_endpoint *endpoint, bool v6only)
{
	/*
	 * The context of these programs is the socket itself (kernel/bpf/cgroup.c,
	 * __cgroup_bpf_run_filter_sk).
	 */
	struct sock *sk = (struct sock *)ctx;
	struct ilm_tracked *t;
	struct ilm_slot *slot;
	bool permitted;
	__u32 device;

	endpoint->protocol = IPPROTO_UDP;
	endpoint->zero = 0;
	slot = slot_of(endpoint);
	if (is_denied() || (!slot && !is_mapped(IPPROTO_UDP, endpoint->port))) {
		/*
		 * An earlier bind() of it was denied after we ran, and this one is of no concern.
		 */
		t = bpf_sk_storage_get(&tracked, ctx, NULL, 0);
		if (t)
			forget(t);
		return;
	}
	t = bpf_sk_storage_get(&tracked, ctx, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!t) {
		count_fault(untracked);
		return;
	}
	identify_tracked(t, sk);
	permitted = !slot || is_permitted(t, slot);
	device = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if);
	count(t, endpoint, device, v6only, slot && (device || !permitted));
	if (slot && permitted)
		mark_heard(endpoint);
	/*
	 * A full buffer loses nothing: the reader scans once for any number of binds, and from time
	 * to time without any.
	 */
	if (slot && permitted && takes_map(slot, sk, endpoint, v6only))
		bpf_ringbuf_output(&binds, endpoint, sizeof(*endpoint), 0);
	if (slot && !permitted)
		set_apart(slot, endpoint);
}

SEC("cgroup/post_bind4")
int ilm_post_bind4(struct bpf_sock *ctx)
{
	struct ilm_endpoint endpoint;

	if (ctx->protocol != IPPROTO_UDP || bpf_get_netns_cookie(ctx) != constants.netns_cookie)
		return 1;
	address_from_ip4(endpoint.address, ctx->src_ip4);
	endpoint.port = ctx->src_port;
	on_bind(ctx, &endpoint, false);
	return 1;
}

SEC("cgroup/post_bind6")
int ilm_post_bind6(struct bpf_sock *ctx)
{
	struct ilm_endpoint endpoint;
	struct sock *sk = (struct sock *)ctx;

	if (ctx->protocol != IPPROTO_UDP || bpf_get_netns_cookie(ctx) != constants.netns_cookie)
		return 1;
	ip6_copy(endpoint.address, ctx->src_ip6);
	endpoint.port = ctx->src_port;
	on_bind(ctx, &endpoint, BPF_CORE_READ_BITFIELD_PROBED(&sk->__sk_common, skc_ipv6only));
	return 1;
}

/*
 * Runs before the kernel connects the socket: if that fails, the socket counts as connected until
 * the next scan.
 */
static __always_inline int on_connect(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct ilm_tracked *t;

	if (ctx->protocol != IPPROTO_UDP || !sk || is_denied())
		return 1;
	t = bpf_sk_storage_get(&tracked, sk, NULL, 0);
	if (t)
		mark_connected(t, 1);
	return 1;
}

SEC("cgroup/connect4")
int ilm_connect4(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx);
}

SEC("cgroup/connect6")
int ilm_connect6(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx);
}

/* Every close() of an inet socket comes here; almost all return at once. */
SEC("cgroup/sock_release")
int ilm_sock_release(struct bpf_sock *ctx)
{
	struct ilm_tracked *t = bpf_sk_storage_get(&tracked, ctx, NULL, 0);

	if (t)
		forget(t);
	return 1;
}

/*
 * Run by the control plane, as a test run: reports what netfilter has in the network namespace of
 * the process that runs it (ILM_NAT_*, ILM_OUTPUT_*, ILM_HOOKS_*). The packet of a test run is on
 * that namespace's lo (net/bpf/test_run.c, bpf_prog_test_run_skb).
 */
SEC("tc")
int ilm_netfilter(struct __sk_buff *ctx)
{
	const struct sk_buff *skb = (const struct sk_buff *)ctx;
	const struct net *net = BPF_CORE_READ(skb, dev, nd_net.net);

	return (takes_sockets(net, true) ? ILM_NAT_IPV4 : 0) | (takes_sockets(net, false) ? ILM_NAT_IPV6 : 0) |
	       (filters_output(net, true) ? ILM_OUTPUT_IPV4 : 0) | (filters_output(net, false) ? ILM_OUTPUT_IPV6 : 0) |
	       (has_hooks(net, true) ? ILM_HOOKS_IPV4 : 0) | (has_hooks(net, false) ? ILM_HOOKS_IPV6 : 0);
}

/*
 * The scan finds listeners that were there before us, and UDP sockets. Runs in the namespace of the
 * process that opens it, under the socket's lock for TCP. Idempotent.
 */
static __always_inline bool endpoint_of_sock(struct ilm_endpoint *e, const struct sock_common *skc, __u8 protocol)
{
	unsigned short family = skc->skc_family;

	e->protocol = protocol;
	e->zero = 0;
	e->port = skc->skc_num;
	if (family == AF_INET) {
		address_from_ip4(e->address, skc->skc_rcv_saddr);
		return true;
	}
	if (family != AF_INET6)
		return false;
	e->address[0] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[0];
	e->address[1] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[1];
	e->address[2] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[2];
	e->address[3] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[3];
	return true;
}

#define PLACE(err, sk, skc, place, where) do { \
	struct ilm_member member = { .endpoint = *(place) }; \
	__u32 index = (where)->index; \
	err = -EEXIST; \
	if (index != ILM_SLOT_NONE && !(skc)->skc_bound_dev_if) \
		err = bpf_map_update_elem(&primary, &index, sk, BPF_NOEXIST); \
	for (__u32 i = 0; err == -EEXIST && i < ILM_MEMBERS_MAX; i++) { \
		member.number = i; \
		err = bpf_map_update_elem(&members, &member, sk, BPF_NOEXIST); \
	} \
} while (0)

/* A macro: the verifier must see the socket's own type at each map update. */
#define SCAN(sk, skc, protocol_number) do { \
	struct ilm_endpoint endpoint; \
	struct ilm_tracked *t; \
	struct ilm_slot *slot; \
	bool v6only, permitted; \
	__u32 device; \
	long err; \
	if (!endpoint_of_sock(&endpoint, skc, protocol_number)) \
		return 0; \
	slot = slot_of(&endpoint); \
	if (!slot && !is_mapped(protocol_number, endpoint.port)) { \
		/* No longer of concern. */ \
		t = bpf_sk_storage_get(&tracked, sk, NULL, 0); \
		if (t) \
			forget(t); \
		return 0; \
	} \
	t = bpf_sk_storage_get(&tracked, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE); \
	if (!t) { \
		count_fault(untracked); \
		return 0; \
	} \
	v6only = BPF_CORE_READ_BITFIELD(skc, skc_ipv6only); \
	identify_tracked(t, sk); \
	permitted = !slot || is_permitted(t, slot); \
	device = (skc)->skc_bound_dev_if; \
	count(t, &endpoint, device, v6only, slot && (device || !permitted)); \
	mark_connected(t, 0); \
	if (!slot) \
		return 0; \
	if (!permitted) { \
		/* The control plane takes it out of the maps after that. */ \
		mark_placed(t, 0); \
		mark_steered(t, 0); \
		if (protocol_number == IPPROTO_UDP) \
			set_apart(slot, &endpoint); \
		return 0; \
	} \
	mark_heard(&endpoint); \
	if (protocol_number == IPPROTO_TCP) \
		NAME_CONNECTIONS(sk, &endpoint); \
	if (slot->handover == ILM_HANDOVER_INGRESS && constants.steer_udp) { \
		/* The control plane takes it out of the maps after that. */ \
		mark_placed(t, 0); \
		mark_steered(t, protocol_number == IPPROTO_TCP); \
		return 0; \
	} \
	if (t->serial == slot->serial || \
	    (protocol_number == IPPROTO_UDP && !takes_map(slot, (struct sock *)(skc), &endpoint, v6only))) \
		return 0; \
	PLACE(err, sk, skc, &endpoint, slot); \
	if (!err) { \
		mark_placed(t, slot->serial); \
		mark_steered(t, 0); \
	} else if (!is_for_ingress(err)) { \
		count_fault(unplaced); \
	} else if (protocol_number == IPPROTO_TCP) { \
		mark_steered(t, 1); \
	} \
} while (0)

/*
 * Asks for STATE_CB, as on_listen does. Works since Linux 6.12 (net/core/filter.c,
 * sol_tcp_sockopt); before, the end of listeners that were there before us is seen only at close,
 * and that of MPTCP listeners not at all.
 */
static __always_inline void watch_state(struct sock_common *skc)
{
	int flags = 0;

	if (bpf_getsockopt(skc, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags)) ||
	    flags & BPF_SOCK_OPS_STATE_CB_FLAG)
		return;
	flags |= BPF_SOCK_OPS_STATE_CB_FLAG;
	bpf_setsockopt(skc, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags));
}

SEC("iter/tcp")
int ilm_scan_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_sock *sk;

	if (!skc || skc->skc_state != TCP_LISTEN)
		return 0;
	sk = bpf_skc_to_tcp_sock(skc);
	if (!sk)
		return 0;
	watch_state(skc);
	SCAN(sk, skc, IPPROTO_TCP);
	return 0;
}

SEC("iter/udp")
int ilm_scan_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *sk = ctx->udp_sk;
	struct sock_common *skc;

	if (!sk)
		return 0;
	skc = &sk->inet.sk.__sk_common;
	/*
	 * A connected socket hears only its peer: it is no listener. It may have been one, and may
	 * be one again.
	 */
	if (skc->skc_state == TCP_ESTABLISHED) {
		struct ilm_tracked *t = bpf_sk_storage_get(&tracked, sk, NULL, 0);

		if (t)
			mark_connected(t, 1);
		return 0;
	}
	SCAN(sk, skc, IPPROTO_UDP);
	return 0;
}
