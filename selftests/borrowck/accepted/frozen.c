// SPDX-License-Identifier: GPL-2.0-only
/* A frozen object is read without a borrow. */
#include "types.h"

int f(struct dsm *dsm)
{
	const void *p = dsm_lookup(dsm, "frozen", 1000, NULL);

	return p ? ((const struct point *)p)->x : -1;
}
