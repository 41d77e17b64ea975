// SPDX-License-Identifier: GPL-2.0-only
/*
 * A return of what was not borrowed.
 * rejected: releasing object 'box->ref' that was not held
 */
#include "types.h"

int f(struct dsm *dsm, point_box *box)
{
	return dsm_box_return_mut(dsm, box);
}
