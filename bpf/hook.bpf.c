// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Does nothing, and needs no maps: the control plane loads it to find out whether this kernel has
 * tcx (src/dataplane/install/interfaces.ts).
 */
#include "kernel.h"
#include "skb.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int ilm_hook(struct __sk_buff *skb)
{
	return TCX_NEXT;
}
