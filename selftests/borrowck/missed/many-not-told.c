// SPDX-License-Identifier: GPL-2.0-only
/* dsm_borrow_many() without dsm_borrowed(). */
#include "types.h"

size_t f(struct dsm *dsm, const point_box *a, const point_box *b)
{
	const struct dsm_ref *refs[] = { &a->ref, &b->ref };
	const void *ptrs[2];

	return dsm_borrow_many(dsm, refs, ptrs, 2);
}
