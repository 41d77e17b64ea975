/* SPDX-License-Identifier: GPL-2.0-only */
/* What the programs here borrow. */
#ifndef TYPES_H
#define TYPES_H

#include <dsm.h>

struct point {
	int x, y;
};

DSM_BOX_TYPE(struct point);
typedef DSM_BOX(struct point) point_box;

/* Of a list, or of a tree. */
struct node;
DSM_BOX_TYPE(struct node);
typedef DSM_BOX(struct node) node_box;

struct node {
	node_box left, right, next;
	int value;
};

#endif /* TYPES_H */
