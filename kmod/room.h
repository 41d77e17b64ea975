/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_ROOM_H
#define DSM_ROOM_H

#include <linux/atomic.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct dsm_node;
struct dsm_ref;
struct dsm_region;

/**
 * struct dsm_room - chunks that nothing is in are given back when others are needed
 * @work: looks for them
 * @turn: odd while some are hidden; written by @work
 * @asked: how often that was asked for
 * @done: how often it was done; written by @work
 * @changed: woken when @done changes
 */
struct dsm_room {
	struct work_struct work;
	unsigned int turn;
	atomic_long_t asked;
	long done;
	wait_queue_head_t changed;
};

void dsm_room_init(struct dsm_node *node);

int dsm_room_object(struct dsm_region *region, struct dsm_ref *ref, unsigned long end);
int dsm_room_small(struct dsm_region *region, struct dsm_ref *ref, unsigned long end);
int dsm_room_slab(struct dsm_region *region, const void *owner, unsigned int lines,
		  u64 *addr);

#endif /* DSM_ROOM_H */
