/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything that the kernel side and the TypeScript side share. Declared here once: the TypeScript
 * layouts (src/abi/generated.ts) are generated from the BTF of the objects that include this file.
 *
 * Addresses are 16 bytes in network byte order. IPv4 is stored as ::ffff:a.b.c.d, so that one key
 * serves both families, and an IPv6 socket bound to a v4-mapped address is what it is: an IPv4
 * listener. The IPv4 wildcard is ::ffff:0.0.0.0, the IPv6 (and dual-stack) one is ::. Ports are in
 * host byte order.
 */
#ifndef ILM_ABI_H
#define ILM_ABI_H

#include <linux/types.h>

/*
 * Changes when a pinned map or its meaning changes; ilm takes over the state of an earlier version
 * (src/dataplane/earlier.ts), and refuses that of a newer one.
 */
#define ILM_ABI_VERSION 14

#define ILM_DESTINATIONS_MAX 16	/* per mapping and family; compile refuses more */
#define ILM_MEMBERS_MAX 256	/* sockets kept per destination (a SO_REUSEPORT group's members) */
#define ILM_FILTER_BUCKETS 131072 /* power of two */
/* If client and daemon are both silent for longer, what the client dialled is forgotten. */
#define ILM_FLOW_IDLE_SECONDS 300
#define ILM_OWNED_WORDS 64	/* 64-bit words of the filter of owned addresses */
#define ILM_PORT_KEYS 131072	/* tcp ports, then udp ports */
/* The number of sides that the tables have (bpf/tables.h): one active, one for the next change. */
#define ILM_SIDES 2

/* registry/ingress[] */
#define ILM_INGRESS_STEER 0
#define ILM_INGRESS_ICMP 1

/*
 * registry/counted_by[number of the program set % 2]: the set that decides, and during a change the
 * previous one.
 */
#define ILM_COUNTING 2

#define ILM_MAPPING_NONE 0xffffffffU
#define ILM_SLOT_NONE 0xffffffffU
#define ILM_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has padding or changed")

struct ilm_endpoint {
	__be32 address[4];
	/* Host byte order; 0 in the slots map: every port of that address. */
	__u16 port;
	__u8 protocol;		/* IPPROTO_TCP, IPPROTO_UDP */
	__u8 zero;
};
ILM_ASSERT_SIZE(struct ilm_endpoint, 20);

/*
 * Listeners on a device take only what arrives there (SO_BINDTODEVICE), so they are counted
 * separately.
 */
struct ilm_place {
	struct ilm_endpoint endpoint;
	__u32 device;		/* interface index; 0: bound to none */
};
ILM_ASSERT_SIZE(struct ilm_place, 24);

/*
 * A VRF's device: the protocols for which its packets are not for sockets that are bound to no
 * device (the kernel's default; net.ipv4.tcp_l3mdev_accept, udp_l3mdev_accept).
 */
#define ILM_VRF_CLOSED_TCP 1
#define ILM_VRF_CLOSED_UDP 2

/*
 * Who a socket belongs to: its creator. The same for the socket's whole life, and what `ss -e`
 * (uid) and `ss --cgroup` show.
 */
struct ilm_identity {
	/*
	 * Hash of the name of its systemd unit (bpf/identity.h, unit_of), a socket unit as the
	 * service of the same name; 0: none.
	 */
	__u64 unit;
	__u32 uid;		/* in the initial user namespace */
	__u32 gid;
};
ILM_ASSERT_SIZE(struct ilm_identity, 16);

/* Sockets of one identity at a place. */
struct ilm_kind {
	struct ilm_identity identity;
	__u32 sockets;		/* 0: the kind is free; ILM_KIND_BUSY: being claimed */
	__u32 zero;
};
ILM_ASSERT_SIZE(struct ilm_kind, 24);
#define ILM_KIND_BUSY 0x80000000U
/*
 * More identities than share a place: sockets of a SO_REUSEPORT group have one user, and only UDP's
 * may have several (SO_REUSEADDR).
 */
#define ILM_KINDS 4

/* How many live listeners a place has. */
struct ilm_presence {
	__u32 sockets;		/* except those that are connected */
	__u32 v6only;		/* of these, IPv6 sockets that take no IPv4 */
	/* Of these, sockets that sk_lookup can select: they are in `primary` or `members`. */
	__u32 placed;
	/*
	 * UDP sockets that hear one peer only: no listeners until they disconnect, which no program
	 * sees.
	 */
	__u32 connected;
	__u64 epoch;		/* tells this entry from an earlier one of the same endpoint */
	/* Sockets that are counted here; with ILM_PRESENCE_DEAD the entry is being removed. */
	__u64 holders;
	struct ilm_kind kinds[ILM_KINDS];	/* of `sockets` */
	__u32 others;		/* of `sockets`, those for which there was no kind */
	__u32 zero;
};
ILM_ASSERT_SIZE(struct ilm_presence, 136);
#define ILM_PRESENCE_DEAD (1ULL << 63)

/* registry/endings: when the last permitted listener of a destination ended, and whose it was. */
struct ilm_ending {
	__u64 ended_ns;		/* CLOCK_MONOTONIC */
	struct ilm_identity identity;
};
ILM_ASSERT_SIZE(struct ilm_ending, 24);

/* registry/turns: a destination has its first listener, or no longer has one. */
struct ilm_turn {
	struct ilm_identity identity;	/* of the listener */
	struct ilm_endpoint endpoint;
	__u32 listens;		/* 1: it began; 0: it ended */
};
ILM_ASSERT_SIZE(struct ilm_turn, 40);

/* An owner, as rules name it: what is set has to match. */
struct ilm_owner {
	__u64 unit;		/* as in struct ilm_identity; 0: any */
	__u32 uid;		/* ILM_ANYONE: any; root's sockets always match */
	__u32 gid;		/* ILM_ANYONE: any; root's sockets always match */
};
ILM_ASSERT_SIZE(struct ilm_owner, 16);
#define ILM_ANYONE 0xffffffffU

/*
 * registry/permits[number]: whose sockets may be selected, by a destination, or where a rule lets
 * the kernel decide. Never changed while anything refers to it. Number 0 has no entry, and means
 * anyone.
 */
#define ILM_OWNERS_MAX 40
struct ilm_permit {
	__u32 count;		/* of `owners` */
	__u32 root;		/* 1: root's sockets, whatever their unit */
	struct ilm_owner owners[ILM_OWNERS_MAX];
};
ILM_ASSERT_SIZE(struct ilm_permit, 648);

/*
 * registry/policies: the policy for processes, by their unit, user or group, or for all: one of
 * ILM_WILDCARD_*, and perhaps ILM_MPTCP_OFF; 0 of either means none.
 */
enum ilm_policy { ILM_POLICY_ALL, ILM_POLICY_UNIT, ILM_POLICY_USER, ILM_POLICY_GROUP };
struct ilm_policy_key {
	__u64 value;		/* from struct ilm_identity; 0 for all */
	__u32 kind;		/* enum ilm_policy */
	__u32 zero;
};
ILM_ASSERT_SIZE(struct ilm_policy_key, 16);
#define ILM_WILDCARD_ALLOW 1
#define ILM_WILDCARD_REPORT 2
#define ILM_WILDCARD_DENY 3
#define ILM_WILDCARD_REWRITE 4
#define ILM_WILDCARD_MASK 7
#define ILM_MPTCP_OFF 8

/*
 * registry/rewrites: the addresses that wildcard binds of processes get instead, by the key of the
 * policy that says so.
 */
struct ilm_rewrite {
	__be32 ip4[4];		/* also of dual-stack sockets */
	__be32 ip6[4];		/* of those that are IPv6 only */
};
ILM_ASSERT_SIZE(struct ilm_rewrite, 32);
/* What a socket asked for whose bind() was rewritten. */
#define ILM_ASKED_WILDCARD 1	/* 0.0.0.0 or :: */
#define ILM_ASKED_MAPPED 2	/* ::ffff:0.0.0.0 */

/* Why something is refused, or reported. */
enum ilm_reason {
	ILM_REASON_ADDRESS,	/* bind() to a service's own address */
	ILM_REASON_MAPPED,	/* bind() to a dialled address, on a port that a mapping covers */
	ILM_REASON_WILDCARD,	/* bind() to a wildcard address */
	ILM_REASON_REPORTED,	/* the same, but allowed */
	ILM_REASON_LOOKUP,	/* a packet, for a socket that the rule does not permit */
};

struct ilm_refusal_key {
	struct ilm_identity identity;	/* of the socket; for a packet, zeros */
	struct ilm_endpoint endpoint;
	__u32 reason;		/* enum ilm_reason */
};
ILM_ASSERT_SIZE(struct ilm_refusal_key, 40);

/* registry/refusals: how often, and who tried first. */
struct ilm_refusal {
	__u64 count;
	__u64 last_ns;		/* CLOCK_MONOTONIC */
	__u64 told_ns;		/* when it was last put into `refused` */
	__u32 pid;		/* 0: a packet */
	__u32 zero;
	__u8 command[16];
};
ILM_ASSERT_SIZE(struct ilm_refusal, 48);

/* registry/refused: for the log. */
struct ilm_refused {
	struct ilm_refusal_key key;
	__u32 pid;
	__u32 zero;
	__u8 command[16];
};
ILM_ASSERT_SIZE(struct ilm_refused, 64);

/* What gives a destination's sockets their packets. */
enum ilm_handover {
	ILM_HANDOVER_AUTO,	/* TCP as LOOKUP; UDP as INGRESS, until that is seen not to work */
	ILM_HANDOVER_LOOKUP,	/* sk_lookup, from a sockmap */
	ILM_HANDOVER_INGRESS,	/* ingress: the sockets are put into no map */
};

/* Where the sockets of a destination are kept. */
struct ilm_slot {
	__u32 index;		/* into `primary`; ILM_SLOT_NONE: only in `members` */
	__u32 serial;		/* never reused; a socket remembers the one it was placed under */
	__u32 handover;		/* enum ilm_handover */
	/*
	 * 1: a packet came to sk_lookup for a socket that ingress could not give. Set by sk_lookup
	 * and ingress.
	 */
	__u32 wanted;
	__be32 origin[4];	/* where UDP sockets' own datagrams leave from */
	__u16 origin_port;	/* host byte order; 0: from the sockets themselves */
	/* 1: one of these has listened there. Set by the programs that see sockets. */
	__u16 heard;
	__u32 permit;		/* whose sockets are placed */
	__u64 since_ns;		/* CLOCK_MONOTONIC; when the place was made */
};
ILM_ASSERT_SIZE(struct ilm_slot, 48);

struct ilm_member {
	struct ilm_endpoint endpoint;
	__u32 number;		/* 0 to ILM_MEMBERS_MAX - 1 */
};
ILM_ASSERT_SIZE(struct ilm_member, 24);

/* What we know about a socket; lives and dies with it (sk_storage). */
struct ilm_tracked {
	struct ilm_place place;
	__u64 epoch;		/* of the presence entry that counts it */
	__u32 serial;		/* of the slot that it was placed under; 0: none */
	__u8 counted;		/* 1 while it is counted */
	__u8 v6only;
	/* 1: a TCP listener that is left to ingress, and counted in `steered_tcp`. */
	__u8 steered;
	__u8 connected;		/* 1: counted as such */
	__u8 answers;		/* 1: it has flows */
	__u8 irregular;		/* 1: counted in `irregular` */
	__u8 kind;		/* index of the presence entry's kind; ILM_KINDS: one of `others` */
	__u8 asked;		/* ILM_ASKED_*: its bind() was rewritten */
	/*
	 * What seal_of() makes of `identity`; 0: not known. Others read it while it is being
	 * written, and half an identity could be root's.
	 */
	__u32 seal;
	struct ilm_identity identity;
};
ILM_ASSERT_SIZE(struct ilm_tracked, 64);

/* ports[side, protocol, port / 16] */
#define ILM_PORT_LINE 16	/* ports of one cache line */
struct ilm_port_line {
	__u32 class[ILM_PORT_LINE];	/* with flags; 0: no mapping covers the port */
};
ILM_ASSERT_SIZE(struct ilm_port_line, 64);

#define ILM_CLASS_EXACT 0x80000000U	/* the class has whole addresses in `prefixes` */
#define ILM_CLASS_PREFIX 0x40000000U	/* the class has entries in `prefixes` */
/* Some of its mappings have conditions: where a packet comes from has to be known. */
#define ILM_CLASS_ASKS 0x20000000U
#define ILM_CLASS_OVERLAY 0x10000000U	/* the number is one of `overlay_classes` */
#define ILM_CLASS_MASK 0x0fffffffU	/* 0: no mapping covers the port */

/*
 * What `prefixes`, `sources` and `classes` lead to are numbers of rules; or, with this bit, the
 * number of the first step of a chain: the mappings there have conditions, and one whose condition
 * is not met is passed over for the next best. Next to the number of a rule, which mappings share,
 * is always the number of the mapping's own counter.
 */
#define ILM_STEP 0x80000000U
#define ILM_STEPS_MAX 512	/* steps that one packet may take; compile refuses more */

struct ilm_exact_key {
	__u32 class_id;
	__be32 address[4];
};
ILM_ASSERT_SIZE(struct ilm_exact_key, 20);

struct ilm_prefix_key {
	/* Bits: 32 for class and family, then 0 to 128 of the address (IPv4 /n is 96 + n). */
	__u32 length;
	/* Twice the class, + 1 for IPv6; network byte order: a trie compares bytes. */
	__be32 class_family;
	__be32 address[4];
};
ILM_ASSERT_SIZE(struct ilm_prefix_key, 24);

/* The value of `overlay_exact`. */
struct ilm_exact_target {
	__u32 rule;		/* 0: the mapping below no longer exists */
	__u32 counter;
};
ILM_ASSERT_SIZE(struct ilm_exact_target, 8);

/* The value of `overlay_prefixes`: a trie does not tell how long the prefix is that it found. */
struct ilm_prefix_target {
	/* 0: nothing decides: the mapping below no longer exists, and there is no other. */
	__u32 rule;
	__u32 counter;
	__u16 length;		/* 0 to 128, as in the key but without class and family */
	/* ILM_MATCHED_*: what the rule is for, which may be less than this prefix. */
	__u16 matched;
};
ILM_ASSERT_SIZE(struct ilm_prefix_target, 12);

/*
 * prefixes[]: a hash table that never changes, so each entry is in the slot of its hash
 * (bpf/address.h, prefix_slot) or in one of the following slots, with no empty one in between. An
 * entry is a prefix of a mapping, or a marker that leads to longer ones.
 */
struct ilm_prefix {
	__u32 class_family;	/* class * 2, + 1 for IPv6; 0: the slot is empty */
	__u8 length;		/* 1 to 128 (IPv4 /n is 96 + n) */
	/* The length of the longest prefix that a mapping has here or around; 0: there is none. */
	__u8 around;
	__u16 zero;
	__be32 address[4];
	__u32 target;		/* of that prefix: rule or step; 0: none */
	__u32 counter;		/* of the rule's mapping */
};
ILM_ASSERT_SIZE(struct ilm_prefix, 32);
/*
 * The number of slots that an entry may be in; `prefixes` has one fewer after the last that a hash
 * gives.
 */
#define ILM_PREFIX_SLOTS 16

/*
 * lengths[]: trees of prefix lengths; 0 is the end. Where `prefixes` has the address, cut to the
 * length, the search continues with longer ones, otherwise with shorter ones
 * (src/compile/lengths.ts).
 */
struct ilm_length {
	__be32 mask[4];
	__u32 length;		/* as in ilm_prefix */
	__u32 shorter;
	__u32 longer;
};
ILM_ASSERT_SIZE(struct ilm_length, 28);
#define ILM_LENGTHS_MAX 8	/* that one search may look at; compile makes no deeper trees */

enum ilm_existing { ILM_EXISTING_EXACT, ILM_EXISTING_ANY, ILM_EXISTING_NEVER };

/*
 * sources: as ilm_prefix_key, with the group in place of the class, and the address that the packet
 * comes from.
 */

/* steps[]; 0 is the end of every chain: no rule. */
struct ilm_step {
	/* Decides if there is no other condition, or it is met; without ILM_STEP. */
	__u32 rule;
	__u32 counter;		/* of the rule's mapping */
	__u32 next;		/* the step to take if not; without ILM_STEP; 0: none */
	/*
	 * Not 0: continue with what `sources` has for the group and the packet's source, or else
	 * with `next`.
	 */
	__u32 group;
	/* Not 0: index into `interfaces`, the one that the packet has to come in on. */
	__u32 interface;
	/* Not 0: CLOCK_BOOTTIME in seconds; from then on the condition is not met. */
	__u32 until_s;
	__u8 matched;		/* enum ilm_matched */
	__u8 zero[3];
};
ILM_ASSERT_SIZE(struct ilm_step, 28);

/*
 * classes[class]: the rule for addresses that nothing more specific names, for IPv4 and IPv6
 * packets; 0: none.
 */
struct ilm_class {
	__u32 rule4;
	__u32 rule6;
	__u32 counter4;		/* of the rules' mappings */
	__u32 counter6;
	/*
	 * Index into `lengths`: where the search for an IPv4 packet's prefix begins; 0: there are
	 * none.
	 */
	__u32 lengths4;
	__u32 lengths6;
};
ILM_ASSERT_SIZE(struct ilm_class, 24);

/*
 * overlay_classes[class]: ports on which something has changed since the tables below were filled,
 * or was added at run time.
 */
struct ilm_overlay_class {
	__u32 below;		/* class and flags that the port has without the overlay; 0: none */
	__u32 rule4;		/* as in struct ilm_class, of both layers */
	__u32 rule6;
	__u32 counter4;
	__u32 counter6;
};
ILM_ASSERT_SIZE(struct ilm_overlay_class, 20);

/*
 * rules[]; 0 is no rule. What decides, stored once for all mappings that are alike in it, so that
 * it stays in the cache however many they are. A mapping has one rule, or one for each of its ports
 * if its destinations take the port that was dialled: then each port has a place of its own in
 * `primary`.
 */
struct ilm_rule {
	/*
	 * How many ports the mapping has: determines which comes first among mappings for one
	 * prefix.
	 */
	__u32 ports;
	__u32 first4;		/* index into `destinations`, for IPv4 packets */
	__u32 first6;		/* for IPv6 packets */
	__u16 count4;
	__u16 count6;
	__u8 existing;		/* enum ilm_existing */
	__u8 reject;		/* if nothing listens: 1 rejects, 0 leaves it to the kernel */
	/* ILM_CHOICE_*; 0: the first live destination. */
	__u8 choice;
	__u8 wildcard;		/* 1: one of the destinations is a wildcard address */
	/*
	 * Whose sockets keep what is dialled, get it if no destination listens, or are selected on
	 * a wildcard address.
	 */
	__u32 permit;
};
ILM_ASSERT_SIZE(struct ilm_rule, 24);

#define ILM_CHOICE_WEIGHTED 1	/* by consistent hashing over the live destinations */
#define ILM_CHOICE_DRAINED 2	/* some have ILM_DRAINED */

struct ilm_destination {
	__be32 address[4];
	__u32 slot;		/* into `primary`; ILM_SLOT_NONE: look in `members` */
	__u16 port;		/* host byte order; 0: the port that was dialled */
	__u16 weight;		/* of a weighted rule, 0 to 1000; and perhaps ILM_DRAINED */
	__u32 permit;		/* as in its slot; on a wildcard address the rule's counts */
	/* Which of the mapping's destinations it is, as they are written; [0] is the first. */
	__u32 share;
};
ILM_ASSERT_SIZE(struct ilm_destination, 32);
/*
 * It gets nobody new (bpf/drain.h). A destination with weight 0 always has this.
 */
#define ILM_DRAINED 0x8000

/*
 * All counted behind the firewall: what sk_lookup decided, and in `selected` also what ingress
 * gave, when it reaches the socket: for UDP its queue, for a SYN the listener. Without ingress, UDP
 * also counts look-ups without a packet: by GRO, and for ICMP errors.
 */
struct ilm_counters {
	__u64 existing;
	__u64 selected;
	__u64 missed;
	__u64 errors;
};
ILM_ASSERT_SIZE(struct ilm_counters, 32);

enum ilm_verdict {
	ILM_VERDICT_UNMANAGED,
	ILM_VERDICT_EXISTING,
	ILM_VERDICT_SELECTED,
	ILM_VERDICT_MISSED,
	ILM_VERDICT_REJECTED,
};

enum ilm_matched {
	ILM_MATCHED_NONE,
	ILM_MATCHED_OWNED,
	ILM_MATCHED_DEFAULT,
	ILM_MATCHED_EXACT,
	ILM_MATCHED_PREFIX,
};

enum ilm_attempt {
	ILM_ATTEMPT_UNTRIED,
	ILM_ATTEMPT_SELECTED,
	ILM_ATTEMPT_ABSENT,
	ILM_ATTEMPT_WRONG_FAMILY,
	ILM_ATTEMPT_FAILED,
	ILM_ATTEMPT_STEERED,	/* listens, and only ingress can select it */
	ILM_ATTEMPT_DRAINED,	/* gets nobody new */
};

/* One decision, for `explain` (a test run) and `monitor`. */
struct ilm_decision {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__be32 local[4];
	__be32 remote[4];
	/* Index of its counter among the generation's; ILM_MAPPING_NONE: none. */
	__u32 mapping;
	__u32 generation;
	__u32 interface;
	__u16 local_port;	/* host byte order */
	__u16 remote_port;	/* host byte order */
	__u8 protocol;
	__u8 family;		/* AF_INET, AF_INET6: of the packet */
	__u8 verdict;		/* enum ilm_verdict */
	__u8 matched;		/* enum ilm_matched */
	__u8 selected;		/* index of the destination, in the family's order */
	/*
	 * 1: a socket that the rule does not permit listens on what was dialled, or would get it
	 * from the kernel.
	 */
	__u8 strangers;
	__u8 zero[6];
	__u8 attempts[ILM_DESTINATIONS_MAX];	/* enum ilm_attempt, in the family's order */
};
ILM_ASSERT_SIZE(struct ilm_decision, 88);

/*
 * registry/question[0]. Its context does not distinguish a test run from a packet: the kernel takes
 * no mark there, and no interface (net/bpf/test_run.c, bpf_prog_test_run_sk_lookup). So `explain`
 * runs with remote port 0 and says here what the packet would have. A real packet from port 0 at
 * that moment gets the same decision; it is just not counted.
 */
struct ilm_question {
	__u32 asked;		/* 1 during a test run of `explain` */
	__u32 interface;
	__u16 remote_port;	/* host byte order */
	__u16 nat;		/* 1: the packet's family has NAT, so that ingress gives nothing */
};
ILM_ASSERT_SIZE(struct ilm_question, 12);

/* A UDP client and the private address that serves it -> what the client dialled. */
struct ilm_flow_key {
	__be32 remote[4];
	__be32 local[4];
	__u16 remote_port;	/* host byte order */
	__u16 local_port;	/* host byte order */
};
ILM_ASSERT_SIZE(struct ilm_flow_key, 36);

struct ilm_flow {
	/* CLOCK_MONOTONIC, of the last datagram from either end, to about a second. */
	__u64 seen_ns;
	__be32 dialled[4];
	__u16 port;		/* host byte order */
	__u8 chosen;		/* 1: the daemon chose the source of its last datagram itself */
	__u8 zero;
	__u32 interface;	/* index of the interface that the client's datagram came in on */
};
ILM_ASSERT_SIZE(struct ilm_flow, 32);

/* What clients on this host asked: a remote end, and the port that the client sent from. */
struct ilm_asked_key {
	__be32 remote[4];
	__u16 remote_port;	/* host byte order */
	__u16 local_port;	/* host byte order */
};
ILM_ASSERT_SIZE(struct ilm_asked_key, 20);
#define ILM_PORT_WORDS 2048	/* of 64 ports each: tcp, then udp */

/*
 * The constants of the programs, set before load. One struct per object: only the linker knows the
 * offsets of single variables.
 */
struct ilm_registry_constants {
	/* The namespace that this registry is for; sockets of others are never touched. */
	__u64 netns_cookie;
	/* Id of this host's root cgroup; paths of units begin below it. */
	__u64 root_cgroup;
	/* 1: ingress hands UDP over; takes_map() says which UDP sockets get into a sockmap. */
	__u32 steer_udp;
	__u32 zero;
};
ILM_ASSERT_SIZE(struct ilm_registry_constants, 24);

/* The constants of listing.bpf.c. */
struct ilm_listing_constants {
	__u64 root_cgroup;	/* as in struct ilm_registry_constants */
};
ILM_ASSERT_SIZE(struct ilm_listing_constants, 8);

struct ilm_lookup_constants {
	__u64 netns_cookie;	/* where the kfunc looks */
	__u32 steer_udp;	/* as in struct ilm_registry_constants */
	/* 1: the kernel's own tables are asked, through the module (kmod/). */
	__u32 kfunc;
	/* Secret: which destination a client draws, where they have weights. */
	__u32 draw_seed;
	__u16 handed_each;	/* places of each CPU in registry/handed: power of two */
	__u16 counting;		/* index of this program set into registry/counted_by */
	__u32 counter_slots;	/* of each copy of the counters */
	/*
	 * The number of copies, a power of two, - 1: a CPU counts in the copy that its number
	 * selects.
	 */
	__u16 counter_mask;
	__u16 counter_shared;	/* 1: others may count in the same copy at the same moment */
	/* New members come last: the ones above are also read from programs of earlier formats. */
	__u64 root_cgroup;	/* as in struct ilm_registry_constants */
};
ILM_ASSERT_SIZE(struct ilm_lookup_constants, 40);

/* What the programs have to know about a generation besides what is in the tables. */
struct ilm_generation {
	/* Bloom filter of `owned`: 0 means that the dialled address is not a service's. */
	__u64 owned_filter[ILM_OWNED_WORDS];
	__u32 number;
	__u32 prefixes;		/* where its part of `prefixes` begins */
	__u32 prefix_slots;	/* of that, the slots that a hash gives */
	__u32 counters;		/* where its part of `counters` begins */
};
ILM_ASSERT_SIZE(struct ilm_generation, 528);

#define ILM_OFF 2	/* no side of the tables */
#define ILM_PENDING 4	/* until `until_s` only; then the other side decides */
/*
 * The state of earlier versions is read with this layout too (src/dataplane/earlier.ts): it does
 * not grow.
 */
struct ilm_sides {
	/*
	 * The side of the active generation; with ILM_OFF: it decides nothing; with ILM_PENDING:
	 * only until `until_s`.
	 */
	__u32 current;
	/*
	 * CLOCK_BOOTTIME in seconds. Written before ILM_PENDING is set. Without that flag: when the
	 * last such change went back, or 0.
	 */
	__u32 until_s;
	struct ilm_generation generations[ILM_SIDES];
};
ILM_ASSERT_SIZE(struct ilm_sides, 1064);

/* registry/meta[0] */
struct ilm_meta {
	__u64 netns_cookie;
	__u32 abi_version;
	__u32 next_serial;	/* writer: the control plane, under its lock */
	__u32 steer_udp;	/* as in struct ilm_registry_constants */
	__u32 zero;
};
ILM_ASSERT_SIZE(struct ilm_meta, 24);

/* registry/watch[0] */
struct ilm_watch {
	/*
	 * CLOCK_MONOTONIC; decisions are reported until then; 0: nothing watches. The latest
	 * `until_ns` of all readers: hosts that nothing watches pay only for this look-up.
	 */
	__u64 until_ns;
};
ILM_ASSERT_SIZE(struct ilm_watch, 8);

#define ILM_READERS 16		/* that watch at once */
/*
 * Mappings that a reader can name. Where its names mean more, it gets the decisions of all mappings
 * and chooses itself.
 */
#define ILM_READER_MAPPINGS 32
/* registry/readers[seat]: who watches, and which decisions it wants. */
struct ilm_reader {
	/*
	 * CLOCK_MONOTONIC; moved ahead while the reader lives. In the past: the seat is free, so a
	 * reader that was killed holds it for seconds only.
	 */
	__u64 until_ns;
	__u64 owner;		/* random: by it a reader knows that the seat is still its own */
	/* Addresses that may be dialled, and clients: `& mask` gives these. A mask of 0: any. */
	__be32 local[4];
	__be32 local_mask[4];
	__be32 remote[4];
	__be32 remote_mask[4];
	__u32 every;		/* 1 of so many is chosen, at random; 0 is as 1 */
	__u32 burst;		/* the most that it is given in a period of its pace */
	__u32 pace_ns;		/* not 0 */
	/*
	 * The generation that numbers `mappings`; 0: of any mapping. Decisions of other generations
	 * are not told apart here.
	 */
	__u32 generation;
	__u32 mapping_count;
	__u32 mappings[ILM_READER_MAPPINGS];	/* as in struct ilm_decision */
	__u32 process;		/* the process, for people */
	/* The last generation that it knows: the first decision of another one wakes it. */
	__u32 known;
	__u16 first_port;	/* host byte order: what was dialled */
	__u16 last_port;
	__u8 protocol;		/* 0: any */
	__u8 family;		/* AF_INET, AF_INET6; 0: any */
	__u8 verdicts;		/* one bit for each enum ilm_verdict */
	__u8 zero[5];
};
ILM_ASSERT_SIZE(struct ilm_reader, 248);

/* registry/reader_counts[seat], and [ILM_READERS] for what is watched by any of them. */
struct ilm_reader_counts {
	__u64 matched;		/* decisions that the reader wants; of all: decisions */
	__u64 skipped;		/* of these, not chosen by `every` */
	/* Of these, more than `burst`, or than the ring has room for; of all: never stored. */
	__u64 dropped;
};
ILM_ASSERT_SIZE(struct ilm_reader_counts, 24);

/* registry/reader_pace[seat] */
struct ilm_reader_pace {
	__u64 period;		/* CLOCK_MONOTONIC / pace_ns */
	__u64 used;		/* decisions that the reader was given in it */
};
ILM_ASSERT_SIZE(struct ilm_reader_pace, 16);

/* registry/steering[cpu]: what the programs on one CPU tell each other. */
struct ilm_steering {
	/*
	 * 1 while the ingress program asks the kernel's tables: sk_lookup, which those call, stays
	 * out of it.
	 */
	__u32 looking;
	/* The place in registry/handed that ingress took last, among the CPU's own. */
	__u32 handed;
};
ILM_ASSERT_SIZE(struct ilm_steering, 8);

/*
 * registry/tokens[]: datagrams for mapped ports that ingress saw and that sk_lookup has not met
 * yet. The kernel also runs sk_lookup without a packet (net/ipv4/udp_diag.c, udp_dump_one: any user
 * may ask), for ICMP errors and in GRO; by its token sk_lookup recognises a packet. By a hash of
 * the addresses and ports: another datagram in its place costs a count, and decides nothing.
 */
enum ilm_holder {
	ILM_HOLDER_UNKNOWN,
	ILM_HOLDER_EXISTING,	/* already listens there, and keeps it */
	ILM_HOLDER_HEIR,	/* gets it if no destination takes it, and is permitted to */
	ILM_HOLDER_STRANGER,	/* must not get it, whatever the registry knows of others there */
};
#define ILM_TOKENS 1024		/* power of two; a network card hands over some packets at a time */
struct ilm_token {
	__u32 hash;
	__u16 packets;
	/* What ingress found in the kernel's own tables, which know all sockets: ILM_HOLDER_* */
	__u16 holder;
};
ILM_ASSERT_SIZE(struct ilm_token, 8);

/*
 * registry/handed[]: packets that ingress gave to a process's socket, until they reach it and are
 * counted. A packet carries the number of its place, + 1, in `tc_index`, which only queues at
 * egress use. Each CPU has places of its own and takes them in turn, unless the last one is free
 * again; so packets that are dropped on the way need no care.
 */
#define ILM_HANDED 16384	/* power of two */
/*
 * The most places that one CPU has: more than packets are on their way between two of its
 * interrupts, and few enough for its cache.
 */
#define ILM_HANDED_EACH 256
enum ilm_watched {
	ILM_UNWATCHED,
	ILM_WATCHED,		/* a decision to count, also for the readers that want it */
	ILM_WATCHED_REPORT,	/* and registry/handed_reports has it, for those that are given it */
};
struct ilm_handed {
	/*
	 * Where it comes from, and which socket it is for (handed_ends); this and the ports show
	 * that the number is ours.
	 */
	__u32 ends;
	__u16 remote_port;	/* host byte order */
	__u16 port;		/* that was dialled; host byte order; 0: it has been counted */
	/* Index into each copy of `counters`, of the program set and generation that decided. */
	__u32 counter;
	__u32 generation;
	__u16 counting;		/* index into registry/counted_by */
	__u8 watched;		/* enum ilm_watched */
	__u8 share;		/* as in struct ilm_destination */
	__u32 zero;
	__u64 answers;		/* of readers, while something watches: bpf/readers.h */
};
ILM_ASSERT_SIZE(struct ilm_handed, 32);

/* registry/faults[0]: what the tracking itself could not do. */
struct ilm_faults {
	__u64 untracked;	/* listeners that found a map full or no memory */
	__u64 unplaced;		/* listeners of a destination that the sockmap refused */
	__u64 flows;		/* UDP flows that could not be remembered */
	/*
	 * Datagrams from a mapped UDP daemon to a client about which nothing is known (any more).
	 */
	__u64 unanswered;
	/*
	 * For a socket that only ingress can select, where ingress could not: behind NAT, in
	 * fragments.
	 */
	__u64 unsteered;
};
ILM_ASSERT_SIZE(struct ilm_faults, 40);

/* A listener as the listing iterators write it. */
struct ilm_listener {
	__be32 address[4];
	__u64 cookie;
	__u64 inode;
	__u64 cgroup;		/* cgroup v2 id */
	struct ilm_identity identity;
	/* CLOCK_MONOTONIC: since when its place has had listeners; 0: only the registry knows. */
	__u64 since_ns;
	/* What waits for the daemon: connections of TCP, bytes of UDP, and how much may. */
	__u32 waiting;
	__u32 waiting_max;
	/* What found no room, or was refused for another reason; goes on from 0 after 2^32 - 1. */
	__u32 drops;
	__u32 device;		/* interface index of SO_BINDTODEVICE */
	__u16 port;		/* host byte order */
	__u8 protocol;
	__u8 family;		/* AF_INET, AF_INET6: of the socket */
	__u8 v6only;
	__u8 reuseport;
	__u8 mptcp;
	/* 1: the SO_REUSEPORT group has a program of its own that selects. */
	__u8 group_program;
	__u16 group_size;	/* sockets of the SO_REUSEPORT group; 0: none */
	__u8 placed;		/* 1: sk_lookup can select it from a socket map */
	__u8 zero[5];
};
ILM_ASSERT_SIZE(struct ilm_listener, 96);

/*
 * A connection that a destination's listener accepted. Without the client's port: connections of
 * one client to one address count together.
 */
struct ilm_connection {
	__be32 dialled[4];
	__be32 client[4];
	struct ilm_endpoint daemon;
	__u16 dialled_port;	/* host byte order */
	__u16 zeros;
};
ILM_ASSERT_SIZE(struct ilm_connection, 56);

/*
 * What the probe of netfilter (bpf/registry.bpf.c, ilm_netfilter) reports about the network
 * namespace that it runs in. ILM_NAT_*: NAT or a packet socket takes away what ingress gives, for
 * that family.
 */
#define ILM_NAT_IPV4 1
#define ILM_NAT_IPV6 2
/* The probe also reports for which families there are both conntrack and a filter at OUTPUT. */
#define ILM_OUTPUT_IPV4 4
#define ILM_OUTPUT_IPV6 8
/*
 * The probe also reports for which families a hook sees, or may see, packets on their way to a
 * socket.
 */
#define ILM_HOOKS_IPV4 16
#define ILM_HOOKS_IPV6 32

#endif
