// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The listing iterators alone, for a namespace in which nothing is loaded. */
#include "listing.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
