/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The part of the decision that both programs of a program set, `lookup` and `steer`, share. Each
 * concern has its own header:
 *
 *	generation.h	what is known about the packet, and which tables decide it
 *	match.h		which rule applies to it
 *	drain.h		which destinations get nobody new
 *	weights.h	which destination a client draws, where destinations have weights
 *	presence.h	who listens
 *	token.h		how sk_lookup knows that ingress saw the packet
 *	report.h	counters and events
 */
#ifndef ILM_DECIDE_H
#define ILM_DECIDE_H

#include "drain.h"
#include "match.h"
#include "presence.h"
#include "report.h"
#include "token.h"
#include "weights.h"

#endif
