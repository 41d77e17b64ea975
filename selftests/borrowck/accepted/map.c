// SPDX-License-Identifier: GPL-2.0-only
/* A hash table: boxes in an array in an object, each with a list. */
#include "types.h"

#define BUCKETS 64

struct map {
	node_box buckets[BUCKETS];
};

DSM_BOX_TYPE(struct map);
typedef DSM_BOX(struct map) map_box;

int map_add(struct dsm *dsm, map_box *box, unsigned int key, int by)
{
	struct map *map = dsm_box_borrow_mut(dsm, box, 0);
	struct node *n;

	if (!map)
		return -1;
	n = dsm_box_borrow_mut(dsm, &map->buckets[key % BUCKETS], 0);
	if (n) {
		n->value += by;
		dsm_box_return_mut(dsm, &map->buckets[key % BUCKETS]);
	}
	return dsm_box_return_mut(dsm, box);
}
