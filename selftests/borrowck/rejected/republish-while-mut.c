// SPDX-License-Identifier: GPL-2.0-only
/*
 * Given away while it is written.
 * rejected: cannot call function 'dsm_republish' while object 'box->ref' is held
 */
#include "types.h"

int f(struct dsm *dsm, point_box *box)
{
	if (!dsm_box_borrow_mut(dsm, box, 0))
		return -1;
	dsm_republish(dsm, "object", &box->ref);
	return dsm_box_return_mut(dsm, box);
}
