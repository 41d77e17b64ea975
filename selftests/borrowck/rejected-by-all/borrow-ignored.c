// SPDX-License-Identifier: GPL-2.0-only
/*
 * A borrow whose result is ignored stays open.
 * rejected: ignoring return value of function declared with 'warn_unused_result' attribute
 */
#include "types.h"

int f(struct dsm *dsm, const point_box *box)
{
	dsm_box_borrow(dsm, box);
	return 0;
}
