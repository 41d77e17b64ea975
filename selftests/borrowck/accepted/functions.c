// SPDX-License-Identifier: GPL-2.0-only
/* Functions that take objects borrowed, and that borrow them. */
#include "types.h"

int sum(const struct point *p, const struct dsm_ref *ref) DSM_REQUIRES(ref);
void move(struct point *p, struct dsm_ref *ref) DSM_REQUIRES_MUT(ref);
int erase(struct dsm *dsm, struct dsm_ref *ref) DSM_EXCLUDES(ref);
const struct point *point_open(struct dsm *dsm, const point_box *box)
	DSM_BORROWS(box->ref);
void point_close(struct dsm *dsm, const point_box *box) DSM_RETURNS(box->ref);
struct point *point_edit(struct dsm *dsm, point_box *box)
	DSM_BORROWS_MUT(box->ref);
void point_done(struct dsm *dsm, point_box *box) DSM_RETURNS_MUT(box->ref);

int sum(const struct point *p, const struct dsm_ref *ref)
{
	return ref->size ? p->x + p->y : 0;
}

void move(struct point *p, struct dsm_ref *ref)
{
	p->x = sum(p, ref);
}

int erase(struct dsm *dsm, struct dsm_ref *ref)
{
	return dsm_drop(dsm, ref);
}

const struct point *point_open(struct dsm *dsm, const point_box *box)
{
	return dsm_box_borrow(dsm, box);
}

void point_close(struct dsm *dsm, const point_box *box)
{
	dsm_box_return(dsm, box);
}

struct point *point_edit(struct dsm *dsm, point_box *box)
{
	return dsm_box_borrow_mut(dsm, box, 0);
}

void point_done(struct dsm *dsm, point_box *box)
{
	dsm_box_return_mut(dsm, box);
}

int f(struct dsm *dsm, point_box *box)
{
	const struct point *p = point_open(dsm, box);
	struct point *q;
	int ret;

	if (!p)
		return -1;
	ret = sum(p, &box->ref);
	point_close(dsm, box);

	q = point_edit(dsm, box);
	if (!q)
		return -1;
	move(q, &box->ref);
	point_done(dsm, box);
	return erase(dsm, &box->ref) ? -1 : ret;
}
