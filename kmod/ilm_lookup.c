// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kfunc for BPF programs of type sk_lookup: find the socket that listens on an address and port,
 * and select it.
 *
 * bpf_sk_lookup_tcp() and _udp() are not offered to these programs: they run the lookup that runs
 * the program. This one goes to the tables of listeners directly. It looks at no established
 * socket, runs no BPF, takes no reference and no lock.
 *
 * The caller is always inside the lookup's RCU read-side section (include/linux/filter.h,
 * bpf_sk_lookup_run_v4(); a test run takes rcu_read_lock() itself). Listening TCP sockets and bound
 * UDP sockets are SOCK_RCU_FREE, so one that is found stays memory until that section ends, and the
 * kernel takes the selected socket without a reference, as it does after its own search.
 */
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#error "ilm_lookup needs Linux 6.6 or newer. ilm works without the module: `engine: registry`"
#endif
#ifndef CONFIG_64BIT
#error "ilm_lookup needs a 64-bit kernel: namespace cookies are its index. ilm works without the module"
#endif

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/filter.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/xarray.h>
#include <net/inet_hashtables.h>
#include <net/ipv6.h>
#include <net/net_namespace.h>
#include <net/sock_reuseport.h>
#include <net/tcp.h>
#include <net/udp.h>

#include "ilm_lookup.h"

#define KNOWN_FLAGS (ILM_LISTENER_EITHER | ILM_LISTENER_TEST | ILM_LISTENER_REPLACE | ILM_LISTENER_NO_REUSEPORT)

/*
 * 6.7 and 6.9 named what 6.6 spells out; 7.0 made trusted arguments the rule and dropped the flag.
 */
#ifndef __bpf_kfunc_start_defs
#define __bpf_kfunc_start_defs() \
	__diag_push(); \
	__diag_ignore_all("-Wmissing-declarations", "a kfunc is called by BPF programs only"); \
	__diag_ignore_all("-Wmissing-prototypes", "a kfunc is called by BPF programs only")
#define __bpf_kfunc_end_defs() __diag_pop()
#endif
#ifndef BTF_KFUNCS_START
#define BTF_KFUNCS_START(name) BTF_SET8_START(name)
#define BTF_KFUNCS_END(name) BTF_SET8_END(name)
#endif
#ifndef KF_TRUSTED_ARGS
#define KF_TRUSTED_ARGS 0
#endif

/*
 * Cookie -> struct net. Entries leave in pre_exit: the kernel waits for an RCU grace period between
 * that and everything that it takes apart (net/core/net_namespace.c, cleanup_net; the same when the
 * module is removed), so what a reader found stays whole until its section ends.
 */
static DEFINE_XARRAY(namespaces);

static int __net_init ilm_lookup_net_init(struct net *net)
{
	return xa_err(xa_store(&namespaces, net->net_cookie, net, GFP_KERNEL));
}

static void __net_exit ilm_lookup_net_pre_exit(struct net *net)
{
	xa_erase(&namespaces, net->net_cookie);
}

static struct pernet_operations ilm_lookup_net_ops = {
	.init = ilm_lookup_net_init,
	.pre_exit = ilm_lookup_net_pre_exit,
};

struct search {
	struct net *net;
	const struct bpf_sk_lookup_kern *ctx;
	const struct in6_addr *address;	/* NULL: the wildcard */
	int ingress;			/* interface index; 0: none is known */
	u16 port;			/* host byte order */
	bool ipv4;			/* the address, or for the wildcard the packet */
	int slave;			/* sdif, as far as it is known; SLAVE_UNKNOWN: not looked at yet */
	struct sock *best;
	int score;
	bool wrong_family;		/* a socket listens there that cannot take this packet */
};

#define SLAVE_UNKNOWN INT_MIN
#define SLAVE_NOT_NAMED (-1)

/*
 * A packet that came through an enslaved interface has the master as its interface; the context
 * does not say which slave (sdif). Unbound sockets depend on whether there is one
 * (net.ipv4.{tcp,udp}_l3mdev_accept); -1 is no interface, so a socket bound to the slave itself is
 * not found.
 */
static int search_slave(struct search *s)
{
	if (s->slave == SLAVE_UNKNOWN) {
		struct net_device *dev = NULL;

		if (IS_ENABLED(CONFIG_NET_L3_MASTER_DEV) && s->ingress)
			dev = dev_get_by_index_rcu(s->net, s->ingress);
		s->slave = dev && netif_is_l3_master(dev) ? SLAVE_NOT_NAMED : 0;
	}
	return s->slave;
}

/* SO_BINDTODEVICE and VRF, by the kernel's own rule. */
static bool device_takes(struct search *s, int bound)
{
	if (bound && bound == s->ingress)
		return true;
	if (s->ctx->protocol == IPPROTO_TCP)
		return inet_sk_bound_dev_eq(s->net, bound, s->ingress, search_slave(s));
	return udp_sk_bound_dev_eq(s->net, bound, s->ingress, search_slave(s));
}

/* Is the socket bound to the address that is searched, whatever packets it takes? */
static bool address_matches(const struct search *s, const struct sock *sk)
{
	if (sk->sk_family == AF_INET) {
		if (!s->ipv4)
			return false;
		return sk->sk_rcv_saddr == (s->address ? s->address->s6_addr32[3] : 0);
	}
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6) {
		if (s->address)
			return ipv6_addr_equal(&sk->sk_v6_rcv_saddr, s->address);
		/* :: takes IPv4 too, unless it is IPv6 only; ::ffff:0.0.0.0 takes nothing else. */
		return ipv6_addr_any(&sk->sk_v6_rcv_saddr) ||
		       (s->ipv4 && ipv6_addr_v4mapped(&sk->sk_v6_rcv_saddr) && !sk->sk_rcv_saddr);
	}
#endif
	return false;
}

/*
 * The kernel's scores for sockets without a peer (compute_score() in net/ipv4/inet_hashtables.c and
 * udp.c, and net/ipv6/): a point for a bound interface (UDP over IPv4: four), for an IPv4 socket
 * where an IPv6 one would do, and for the CPU that the socket asked for.
 */
static int score_of(const struct search *s, const struct sock *sk, int bound)
{
	int score = 1;

	if (bound)
		score += s->ctx->protocol == IPPROTO_UDP && s->ctx->family == AF_INET ? 4 : 1;
	if (s->ctx->family == AF_INET && sk->sk_family == AF_INET)
		score++;
	if (READ_ONCE(sk->sk_incoming_cpu) == raw_smp_processor_id())
		score++;
	return score;
}

/* Considers one socket; returns true when the search is over. */
static bool consider(struct search *s, struct sock *sk)
{
	int bound, score;

	if (!net_eq(sock_net(sk), s->net) || !address_matches(s, sk))
		return false;
	bound = READ_ONCE(sk->sk_bound_dev_if);
	if (!device_takes(s, bound))
		return false;
	/*
	 * As in bpf_sk_assign(): a packet of the other family needs an IPv6 socket that is not IPv6
	 * only.
	 */
	if (sk->sk_family != s->ctx->family && (sk->sk_family == AF_INET || ipv6_only_sock(sk))) {
		s->wrong_family = true;
		return false;
	}
	/* The first of equals, as in the kernel. */
	score = score_of(s, sk, bound);
	if (score <= s->score)
		return false;
	s->best = sk;
	s->score = score;
	/*
	 * A SO_REUSEPORT group ends the kernel's search, whichever sockets come later; unless it is
	 * a UDP group with connected members. Which member gets the packet is selected after us, by
	 * the packet.
	 */
	return sk->sk_reuseport && rcu_access_pointer(sk->sk_reuseport_cb) &&
	       (s->ctx->protocol == IPPROTO_TCP || !reuseport_has_conns(sk));
}

static u32 search_hash(const struct search *s)
{
	static const struct in6_addr any = IN6ADDR_ANY_INIT;

	/*
	 * The hash of :: and of 0.0.0.0 is the same, and so is that of an IPv4 address and its
	 * mapped form.
	 */
	if (s->ipv4)
		return ipv4_portaddr_hash(s->net, s->address ? s->address->s6_addr32[3] : 0, s->port);
	return ipv6_portaddr_hash(s->net, s->address ? s->address : &any, s->port);
}

/*
 * MPTCP's listeners are here as the TCP socket below them (a subflow), which is where a SYN goes.
 */
static void search_tcp(struct search *s)
{
	struct inet_hashinfo *table = s->net->ipv4.tcp_death_row.hashinfo;
	struct inet_listen_hashbucket *bucket = inet_lhash2_bucket(table, search_hash(s));
	struct hlist_nulls_node *node;
	struct sock *sk;

	sk_nulls_for_each_rcu(sk, node, &bucket->nulls_head) {
		if (READ_ONCE(sk->sk_num) == s->port && smp_load_acquire(&sk->sk_state) == TCP_LISTEN && consider(s, sk))
			return;
	}
}

static void search_udp(struct search *s)
{
	struct udp_hslot *slot = udp_hashslot2(s->net->ipv4.udp_table, search_hash(s));
	struct sock *sk;

	udp_portaddr_for_each_entry_rcu(sk, &slot->head) {
		/*
		 * A connected socket hears only its peer, and the kernel found no such socket
		 * before it asked us.
		 */
		if (READ_ONCE(udp_sk(sk)->udp_port_hash) == s->port && READ_ONCE(sk->sk_state) != TCP_ESTABLISHED &&
		    consider(s, sk))
			return;
	}
}

static void search_at(struct search *s, const struct in6_addr *address)
{
	s->address = address;
	s->ipv4 = address ? ipv6_addr_v4mapped(address) : s->ctx->family == AF_INET;
	if (s->ctx->protocol == IPPROTO_TCP)
		search_tcp(s);
	else
		search_udp(s);
}

__bpf_kfunc_start_defs();

/**
 * bpf_sk_lookup_assign_listener - select the socket that listens on an address
 * @uctx: the program's context. The verifier knows it under its user-space name; in fact it is a
 *	bpf_sk_lookup_kern.
 * @query: struct ilm_listener_query
 * @query__sz: its size
 *
 * Return: see ilm_lookup.h
 */
__bpf_kfunc int bpf_sk_lookup_assign_listener(struct bpf_sk_lookup *uctx, const void *query, u32 query__sz)
{
	struct bpf_sk_lookup_kern *ctx = (struct bpf_sk_lookup_kern *)uctx;
	const struct ilm_listener_query *q = query;
	struct search s = { .ctx = ctx, .slave = SLAVE_UNKNOWN };

	if (query__sz != sizeof(*q) || q->flags & ~KNOWN_FLAGS || !(q->flags & ILM_LISTENER_EITHER))
		return -EINVAL;
	if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP)
		return -EPROTONOSUPPORT;
	if (ctx->selected_sk && !(q->flags & (ILM_LISTENER_TEST | ILM_LISTENER_REPLACE)))
		return -EEXIST;
	s.net = xa_load(&namespaces, q->netns_cookie);
	if (!s.net)
		return -ENONET;
	s.port = q->port;
	s.ingress = q->interface ? q->interface : ctx->ingress_ifindex;

	if (q->flags & ILM_LISTENER_EXACT)
		search_at(&s, (const struct in6_addr *)q->address);
	if (!s.best && q->flags & ILM_LISTENER_WILDCARD)
		search_at(&s, NULL);
	if (!s.best)
		return s.wrong_family ? -EAFNOSUPPORT : -ENOENT;

	if (!(q->flags & ILM_LISTENER_TEST)) {
		ctx->selected_sk = s.best;
		ctx->no_reuseport = q->flags & ILM_LISTENER_NO_REUSEPORT;
	}
	return 0;
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(ilm_lookup_kfuncs)
BTF_ID_FLAGS(func, bpf_sk_lookup_assign_listener, KF_TRUSTED_ARGS)
BTF_KFUNCS_END(ilm_lookup_kfuncs)

/*
 * The kernel has no hook for kfuncs of sk_lookup programs (kernel/bpf/btf.c,
 * bpf_prog_type_to_kfunc_hook), so the set is registered for all types, and this turns the others
 * away. It is asked about this module's kfuncs only. (Do not look the id up in the set: where the
 * module's BTF has a base of its own, since 6.11, ids are relocated, and the set's are not.)
 */
static int ilm_lookup_filter(const struct bpf_prog *prog, u32 kfunc_id)
{
	return prog->type == BPF_PROG_TYPE_SK_LOOKUP ? 0 : -EACCES;
}

static const struct btf_kfunc_id_set ilm_lookup_kfunc_set = {
	.owner = THIS_MODULE,
	.set = &ilm_lookup_kfuncs,
	.filter = ilm_lookup_filter,
};

static int __init ilm_lookup_init(void)
{
	int err;

	BUILD_BUG_ON(sizeof(struct ilm_listener_query) != 32);

	/* First: a program that finds the kfunc must find its namespace too. */
	err = register_pernet_subsys(&ilm_lookup_net_ops);
	if (err)
		return err;
	err = register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &ilm_lookup_kfunc_set);
	if (err)
		unregister_pernet_subsys(&ilm_lookup_net_ops);
	return err;
}

/*
 * Programs that call the kfunc hold a reference on the module: no program is running in it when
 * this is called.
 */
static void __exit ilm_lookup_exit(void)
{
	unregister_pernet_subsys(&ilm_lookup_net_ops);
	xa_destroy(&namespaces);
}

module_init(ilm_lookup_init);
module_exit(ilm_lookup_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Lets sk_lookup BPF programs select a listening socket by its address");
MODULE_VERSION("0.1.0");
