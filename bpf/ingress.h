/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The program attached to the interfaces. It calls the ingress program of the active program set,
 * so one map update switches all interfaces at once, and a change of rules does not touch
 * interfaces.
 */
#ifndef ILM_INGRESS_H
#define ILM_INGRESS_H

#include "maps.h"
#include "skb.h"

SEC("tc")
int ilm_ingress(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &ingress, ILM_INGRESS_STEER);
	/* No program set needs ingress. */
	return TCX_NEXT;
}

#endif
