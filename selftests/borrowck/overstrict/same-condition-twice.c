// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each path must be right, those that cannot be taken, too.
 * rejected: 'box->ref' is not held on every path through here
 */
#include "types.h"

int f(struct dsm *dsm, point_box *box, int locked)
{
	if (locked) {
		if (!dsm_box_borrow_mut(dsm, box, 0))
			return -1;
	}
	if (locked)
		dsm_box_return_mut(dsm, box);
	return 0;
}
