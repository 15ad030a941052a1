/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A look-up, and the generation of rules that decides it: what is known about the packet (struct
 * lookup), which side of the tables is active, and what that side has for a port.
 */
#ifndef ILM_GENERATION_H
#define ILM_GENERATION_H

#include "address.h"
#include "maps.h"
#include "tables.h"

const volatile struct ilm_lookup_constants constants = {};

struct lookup {
	struct ilm_endpoint dialled;
	__be32 remote[4];	/* only filled when needed, as is the next */
	__u16 remote_port;	/* host byte order */
	/* Its place in `handed`, + 1: it is reported when it is counted; 0: at once. */
	__u16 handed;
	__u32 interface;	/* index of the interface that it came in on */
	__u32 counter;		/* of the mapping whose rule was found */
	__u32 side;		/* of the generation that decides, and perhaps ILM_OFF */
	__u8 family;
	__u8 verdict;
	__u8 matched;
	__u8 selected;
	__u8 share;		/* of the selected destination, as in struct ilm_destination */
	__u8 dry;		/* a test run of `explain`: nothing is counted or remembered */
	__u8 failed;		/* destinations that could not be tried */
	__u8 attempts[ILM_DESTINATIONS_MAX];
	bool nat;		/* a test run, for a packet of a family with NAT */
	bool strangers;		/* see struct ilm_decision */
	/* Ingress found a permitted socket that would get it from the kernel. */
	bool heir;
	bool existing;		/* ingress found a socket that listens already */
	/* No packet is known for this look-up: it is neither counted nor reported. */
	bool unproven;
	/* For a socket that sk_lookup cannot give: refused, and no other socket gets it. */
	bool undeliverable;
};

/* The place of a port: TCP's ports come first, then UDP's. */
static __always_inline __u32 port_key(__u32 protocol, __u32 port)
{
	return port | (protocol == IPPROTO_UDP ? ILM_PORT_KEYS / 2 : 0);
}

/* Has that second since boot come? Seconds, as a time in nanoseconds takes twice the room. */
static __always_inline bool has_passed(__u32 second)
{
	return bpf_ktime_get_boot_ns() / 1000000000 >= second;
}

/*
 * The side of a change that waits for its confirmation, or the other one when its time is over: so
 * it goes back with no process alive.
 */
static __noinline __u32 side_by_now(__u32 current)
{
	return (has_passed(sides.until_s) ? current ^ 1 : current) & ~ILM_PENDING;
}

/*
 * The side of the tables to decide by, and perhaps ILM_OFF. Read once for each packet, so that
 * everything looked up is of one generation.
 */
static __always_inline __u32 active_side(void)
{
	__u32 current = sides.current;

	return current & ILM_PENDING ? side_by_now(current) : current;
}

/* The class of a port on that side of the tables. NULL: ilm is off, so there is no such place. */
static __always_inline __u32 *class_of(__u32 side, __u32 protocol, __u32 port)
{
	__u32 place = port_key(protocol, port) + side * ILM_PORT_KEYS;
	__u32 key = place / ILM_PORT_LINE;
	struct ilm_port_line *line = bpf_map_lookup_elem(&ports, &key);

	return line ? &line->class[place % ILM_PORT_LINE] : NULL;
}

/*
 * The description of the generation that decides. Never changed while it is active, so it is no
 * more volatile than the tables are.
 */
static __always_inline const struct ilm_generation *generation_of(const struct lookup *l)
{
	return (const struct ilm_generation *)&sides.generations[l->side & (ILM_SIDES - 1)];
}

/* The port where the destination listens: without one of its own, the one that was dialled. */
static __always_inline __u16 port_of_destination(const struct lookup *l, const struct ilm_destination *d)
{
	return d->port ? d->port : l->dialled.port;
}

/* The address and port that the destination stands for. */
static __always_inline void endpoint_of_destination(struct ilm_endpoint *endpoint, const struct lookup *l,
						    const struct ilm_destination *d)
{
	address_copy(endpoint->address, d->address);
	endpoint->port = port_of_destination(l, d);
	endpoint->protocol = l->dialled.protocol;
	endpoint->zero = 0;
}

#endif
