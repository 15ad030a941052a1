// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The decision. Runs for each new TCP connection and each datagram that no connected socket takes, after the established
 * table and before the kernel's own look at its listeners (net/ipv4/inet_hashtables.c, __inet_lookup_listener;
 * net/ipv4/udp.c, __udp4_lib_lookup), so "already listening" has to be tested here.
 *
 * One object is one generation of rules: its maps are filled before the program is attached and never change afterwards
 * (but for the counters). The registry's maps are shared with the generations before and after.
 */
#include "address.h"
#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile struct ilm_lookup_constants constants = {};

/* [port] for TCP, [65536 + port] for UDP -> class and flags; 0: no mapping. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ILM_PORT_KEYS);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

/* [class]. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_class);
} classes SEC(".maps");

/* Class and full address -> rule. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct ilm_exact_key);
	__type(value, __u32);
} exact SEC(".maps");

/* Class and prefix -> rule. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ilm_prefix_key);
	__type(value, __u32);
} prefixes SEC(".maps");

/* The services' own addresses (16 bytes). Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, 16);
	__uint(value_size, 4);
} owned SEC(".maps");

/* [0] is no rule. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_rule);
} rules SEC(".maps");

/* Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_destination);
} destinations SEC(".maps");

/* [mapping]. Resized. Writer: this program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_counters);
} counters SEC(".maps");

/* [mapping]: what the same mapping had counted in earlier generations. Resized. Writer: control plane. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ilm_counters);
} carried SEC(".maps");

/* The rules as text (gzip of JSON), for whoever asks what is in force. Resized. Writer and reader: control plane. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4096);
} source SEC(".maps");

struct lookup {
	struct ilm_endpoint dialled;
	__u32 mapping;
	__u8 family;
	__u8 verdict;
	__u8 matched;
	__u8 selected;
	__u8 dry;		/* a test run of `explain`: nothing is counted or remembered */
	__u8 attempts[ILM_DESTINATIONS_MAX];
};

/* Not inlined: the caller's hot path stays short. */
static __noinline void report(struct bpf_sk_lookup *ctx, const struct lookup *l)
{
	struct ilm_decision d = {};
	__u32 key = 0;

	d.time_ns = bpf_ktime_get_ns();
	address_copy(d.local, l->dialled.address);
	d.local_port = l->dialled.port;
	d.protocol = l->dialled.protocol;
	d.family = l->family;
	d.remote_port = bpf_ntohs(ctx->remote_port);
	if (l->family == AF_INET) {
		__u32 ip4 = ctx->remote_ip4;

		barrier_var(ip4);
		address_from_ip4(d.remote, ip4);
	} else {
		__u32 w0 = ctx->remote_ip6[0];
		barrier_var(w0);
		__u32 w1 = ctx->remote_ip6[1];
		barrier_var(w1);
		__u32 w2 = ctx->remote_ip6[2];
		barrier_var(w2);
		__u32 w3 = ctx->remote_ip6[3];
		barrier_var(w3);

		d.remote[0] = w0;
		d.remote[1] = w1;
		d.remote[2] = w2;
		d.remote[3] = w3;
	}
	d.mapping = l->mapping;
	d.generation = constants.generation;
	d.interface = ctx->ingress_ifindex;
	d.verdict = l->verdict;
	d.matched = l->matched;
	d.selected = l->selected;
	__builtin_memcpy(d.attempts, l->attempts, sizeof(d.attempts));

	if (l->dry) {
		struct ilm_question *q = bpf_map_lookup_elem(&question, &key);

		if (q) {
			d.interface = q->interface;
			d.remote_port = q->remote_port;
		}
		bpf_map_update_elem(&explained, &key, &d, BPF_ANY);
		return;
	}
	if (bpf_ringbuf_output(&decisions, &d, sizeof(d), 0)) {
		struct ilm_watch *w = bpf_map_lookup_elem(&watch, &key);

		if (w)
			__sync_fetch_and_add(&w->lost, 1);
	}
}

static __always_inline bool is_dry_run(struct bpf_sk_lookup *ctx)
{
	struct ilm_question *q;
	__u32 key = 0;

	if (ctx->remote_port)
		return false;
	q = bpf_map_lookup_elem(&question, &key);
	return q && q->asked;
}

static __always_inline bool watched(void)
{
	struct ilm_watch *w;
	__u32 key = 0;

	w = bpf_map_lookup_elem(&watch, &key);
	/* A watcher that was killed leaves a time that passes. */
	return w && w->until_ns && bpf_ktime_get_ns() < w->until_ns;
}

/* The most specific rule for the class and the dialled address; 0: none. */
static __always_inline __u32 find_rule(__u32 class, struct lookup *l)
{
	__u32 class_id = class & ILM_CLASS_MASK;
	__u32 bit = address_hash(l->dialled.address, 0) % (ILM_OWNED_WORDS * 64);
	struct ilm_class *fallback;
	__u32 *rule;

	if (class & ILM_CLASS_EXACT) {
		struct ilm_exact_key key = { .class_id = class_id };

		address_copy(key.address, l->dialled.address);
		rule = bpf_map_lookup_elem(&exact, &key);
		if (rule) {
			l->matched = ILM_MATCHED_EXACT;
			return *rule;
		}
	}
	/* A service's own address is never mapped away, unless a mapping names the very address (above). */
	if (constants.owned_filter[bit / 64] & 1ULL << (bit % 64) && bpf_map_lookup_elem(&owned, l->dialled.address)) {
		l->matched = ILM_MATCHED_OWNED;
		return 0;
	}
	if (class & ILM_CLASS_PREFIX) {
		struct ilm_prefix_key key = { .length = 32 + 128,
			.class_family = bpf_htonl(class_id << 1 | (l->family == AF_INET6)) };

		address_copy(key.address, l->dialled.address);
		rule = bpf_map_lookup_elem(&prefixes, &key);
		if (rule) {
			l->matched = ILM_MATCHED_PREFIX;
			return *rule;
		}
	}
	fallback = bpf_map_lookup_elem(&classes, &class_id);
	if (!fallback || !(l->family == AF_INET ? fallback->rule4 : fallback->rule6))
		return 0;
	l->matched = ILM_MATCHED_DEFAULT;
	return l->family == AF_INET ? fallback->rule4 : fallback->rule6;
}

/* Does a socket on a wildcard address of the dialled port take this family? */
static __always_inline bool wildcard_listens(const struct lookup *l)
{
	struct ilm_endpoint any = { .port = l->dialled.port, .protocol = l->dialled.protocol };
	struct ilm_presence *p;

	/* :: ; an IPv4 packet needs one that is not IPv6 only */
	p = bpf_map_lookup_elem(&presence, &any);
	if (p && (l->family == AF_INET ? p->sockets > p->v6only : p->sockets > 0))
		return true;
	if (l->family != AF_INET)
		return false;
	any.address[2] = bpf_htonl(0xffff);
	p = bpf_map_lookup_elem(&presence, &any);
	return p && p->sockets;
}

static __always_inline bool already_listening(const struct lookup *l, __u8 existing)
{
	__u32 bucket = endpoint_bucket(&l->dialled);
	struct ilm_presence *p;
	__u32 *count;

	count = bpf_map_lookup_elem(&filter, &bucket);
	if (count && *count) {
		p = bpf_map_lookup_elem(&presence, &l->dialled);
		if (p && p->sockets)
			return true;
	}
	return existing == ILM_EXISTING_ANY && wildcard_listens(l);
}

static __always_inline __u8 assign(struct bpf_sk_lookup *ctx, struct bpf_sock *sk)
{
	/* Inside a SO_REUSEPORT group the kernel selects again, and asks the group's own program if it has one. */
	long err = bpf_sk_assign(ctx, sk, 0);

	bpf_sk_release(sk);
	if (!err)
		return ILM_ATTEMPT_SELECTED;
	/* net/core/filter.c, bpf_sk_lookup_assign: an IPv4 packet and an IPv6-only socket, or an IPv6 packet and IPv4. */
	return err == -EAFNOSUPPORT ? ILM_ATTEMPT_WRONG_FAMILY : ILM_ATTEMPT_FAILED;
}

struct member_search {
	struct bpf_sk_lookup *ctx;
	struct ilm_member member;
	__u8 outcome;
};

static long try_member(__u32 number, struct member_search *search)
{
	struct bpf_sock *sk;

	search->member.number = number;
	sk = bpf_map_lookup_elem(&members, &search->member);
	if (!sk)
		return 0;
	search->outcome = assign(search->ctx, sk);
	return search->outcome == ILM_ATTEMPT_SELECTED;
}

/*
 * A destination whose primary socket is gone, or that has none: whoever else listens there. bpf_loop, because the verifier
 * would walk every round of a plain loop.
 */
static __noinline __u8 try_members(struct bpf_sk_lookup *ctx, const struct ilm_endpoint *endpoint)
{
	struct member_search search = { .ctx = ctx, .member.endpoint = *endpoint, .outcome = ILM_ATTEMPT_ABSENT };
	struct ilm_presence *p = bpf_map_lookup_elem(&presence, endpoint);

	if (!p || !p->sockets)
		return ILM_ATTEMPT_ABSENT;
	bpf_loop(ILM_MEMBERS_MAX, try_member, &search, 0);
	return search.outcome;
}

static __always_inline __u8 try_destination(struct bpf_sk_lookup *ctx, const struct ilm_endpoint *endpoint, __u32 slot)
{
	__u8 outcome = ILM_ATTEMPT_ABSENT;
	struct bpf_sock *sk;

	if (slot == ILM_SLOT_NONE) {
		/* A destination on every port; another mapping may have given this very port a place. */
		struct ilm_slot *own = bpf_map_lookup_elem(&slots, endpoint);

		if (own)
			slot = own->index;
	}
	if (slot != ILM_SLOT_NONE) {
		sk = bpf_map_lookup_elem(&primary, &slot);
		if (sk)
			outcome = assign(ctx, sk);
	}
	if (outcome != ILM_ATTEMPT_SELECTED) {
		__u8 other = try_members(ctx, endpoint);

		if (other != ILM_ATTEMPT_ABSENT)
			outcome = other;
	}
	return outcome;
}

/* So that the reply can leave from what the client dialled. */
static __always_inline void remember_flow(struct bpf_sk_lookup *ctx, const struct lookup *l,
					  const struct ilm_endpoint *to)
{
	struct ilm_flow_key key = { .local_port = to->port, .remote_port = bpf_ntohs(ctx->remote_port) };
	struct ilm_flow flow = { .port = l->dialled.port };
	struct ilm_flow *known;

	address_copy(key.local, to->address);
	address_copy(flow.dialled, l->dialled.address);
	if (l->family == AF_INET) {
		__u32 ip4 = ctx->remote_ip4;

		barrier_var(ip4);
		address_from_ip4(key.remote, ip4);
	} else {
		__u32 w0 = ctx->remote_ip6[0];
		barrier_var(w0);
		__u32 w1 = ctx->remote_ip6[1];
		barrier_var(w1);
		__u32 w2 = ctx->remote_ip6[2];
		barrier_var(w2);
		__u32 w3 = ctx->remote_ip6[3];
		barrier_var(w3);

		key.remote[0] = w0;
		key.remote[1] = w1;
		key.remote[2] = w2;
		key.remote[3] = w3;
	}
	known = bpf_map_lookup_elem(&flows, &key);
	if (known && known->port == flow.port && address_equal(known->dialled, flow.dialled))
		return;
	if (bpf_map_update_elem(&flows, &key, &flow, BPF_ANY))
		count_fault(flows);
}

static __always_inline int decide(struct bpf_sk_lookup *ctx, struct lookup *l, __u32 class)
{
	struct ilm_counters *c;
	struct ilm_rule *rule;
	__u32 number, first, n;
	__u32 failed = 0;

	number = find_rule(class, l);
	if (!number)
		return SK_PASS;
	/* Both are there: the rules and their maps are made together. The verifier wants it said. */
	rule = bpf_map_lookup_elem(&rules, &number);
	if (!rule)
		return SK_PASS;
	l->mapping = rule->mapping;
	c = bpf_map_lookup_elem(&counters, &l->mapping);
	if (!c)
		return SK_PASS;

	if (rule->existing != ILM_EXISTING_NEVER && already_listening(l, rule->existing)) {
		l->verdict = ILM_VERDICT_EXISTING;
		if (!l->dry)
			c->existing++;
		return SK_PASS;
	}

	n = l->family == AF_INET ? rule->count4 : rule->count6;
	first = l->family == AF_INET ? rule->first4 : rule->first6;
	for (__u32 i = 0; i < ILM_DESTINATIONS_MAX && i < n; i++) {
		struct ilm_endpoint endpoint = { .protocol = l->dialled.protocol };
		struct ilm_destination *d;
		__u32 index = first + i;
		__u8 outcome;

		d = bpf_map_lookup_elem(&destinations, &index);
		if (!d)
			break;
		address_copy(endpoint.address, d->address);
		endpoint.port = d->port ? d->port : l->dialled.port;
		outcome = try_destination(ctx, &endpoint, d->slot);
		l->attempts[i] = outcome;
		if (outcome == ILM_ATTEMPT_FAILED)
			failed++;
		if (outcome != ILM_ATTEMPT_SELECTED)
			continue;
		l->verdict = ILM_VERDICT_SELECTED;
		l->selected = i;
		if (l->dry)
			return SK_PASS;
		c->selected++;
		c->errors += failed;
		if (endpoint.protocol == IPPROTO_UDP)
			remember_flow(ctx, l, &endpoint);
		return SK_PASS;
	}

	l->verdict = rule->reject ? ILM_VERDICT_REJECTED : ILM_VERDICT_MISSED;
	if (!l->dry) {
		c->missed++;
		c->errors += failed;
	}
	return rule->reject ? SK_DROP : SK_PASS;
}

SEC("sk_lookup")
int ilm_lookup(struct bpf_sk_lookup *ctx)
{
	__u32 port = ctx->local_port;
	__u32 protocol = ctx->protocol;
	__u32 key = port | (protocol == IPPROTO_UDP ? 65536 : 0);
	__u32 *class = bpf_map_lookup_elem(&ports, &key);
	struct lookup l = { .mapping = ILM_MAPPING_NONE };
	int verdict = SK_PASS;

	/* All other traffic of the machine leaves here. */
	if (!class || (!*class && ctx->remote_port))
		return SK_PASS;

	l.dialled.port = port;
	l.dialled.protocol = protocol;
	l.family = ctx->family;
	if (l.family == AF_INET) {
		__u32 ip4 = ctx->local_ip4;

		barrier_var(ip4);
		address_from_ip4(l.dialled.address, ip4);
	} else {
		__u32 w0 = ctx->local_ip6[0];
		barrier_var(w0);
		__u32 w1 = ctx->local_ip6[1];
		barrier_var(w1);
		__u32 w2 = ctx->local_ip6[2];
		barrier_var(w2);
		__u32 w3 = ctx->local_ip6[3];
		barrier_var(w3);

		l.dialled.address[0] = w0;
		l.dialled.address[1] = w1;
		l.dialled.address[2] = w2;
		l.dialled.address[3] = w3;
	}
	l.dry = is_dry_run(ctx);
	if (*class)
		verdict = decide(ctx, &l, *class);
	if (l.dry || (*class && watched()))
		report(ctx, &l);
	return verdict;
}
