/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The part of the decision that both programs of a program set share, `lookup` and `steer`. Each
 * concern has a header of its own:
 *
 *	generation.h	what is known of the packet, and by which tables it is decided
 *	match.h		which rule is for it
 *	weights.h	which destination a client draws, where they have weights
 *	presence.h	who listens
 *	token.h		by what sk_lookup knows that ingress saw the packet
 *	report.h	counters and events
 */
#ifndef ILM_DECIDE_H
#define ILM_DECIDE_H

#include "match.h"
#include "presence.h"
#include "report.h"
#include "token.h"
#include "weights.h"

#endif
