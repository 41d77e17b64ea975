// SPDX-License-Identifier: GPL-2.0-only
/*
 * An exclusive borrow ended as a shared one.
 * rejected: releasing object 'box->ref' using shared access, expected exclusive access
 */
#include "types.h"

int f(struct dsm *dsm, point_box *box)
{
	if (!dsm_box_borrow_mut(dsm, box, 0))
		return -1;
	return dsm_box_return(dsm, box);
}
