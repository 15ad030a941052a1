// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Only the listing iterators, for a namespace in which nothing is loaded. */
#include "abi.h"
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile struct ilm_listing_constants constants = {};

#include "listing.h"
