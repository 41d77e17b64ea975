// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocation in a partition that is full: chunks that nothing is in any more, of
 * whichever region and kind, are given back first.
 *
 *	empty -> hidden from processes and the directory
 *	      -> REVOKE: every peer lets go of its keys and copies
 *	      -> registrations end, the memory is free
 *
 * That takes a message to each peer, so it is done only where an allocation has failed.
 * A peer that cannot be told may still have copies, and what is here next could be taken
 * for what they hold: then the chunk is shown again.  Of a fenced one nothing is left.
 */
#include "node.h"
#include "object.h"
#include "room.h"
#include "slab.h"

enum { DSM_ROOM_MS = 10000 };	/* for chunks that are given back by others */

/* Under dsm_chunks.lock. */
static bool dsm_room_is_empty(struct dsm_chunk *chunk)
{
	/* Those of a region that has ended are on their way. */
	if (chunk->dead || READ_ONCE(chunk->region->gone))
		return false;
	if (chunk->kind == DSM_CHUNK_SMALL)
		return dsm_slabs_leave(chunk);
	return !chunk->region->placing && dsm_objects_leave(chunk);
}

/* Hide the chunks that nothing is in.  Each keeps its region. */
static void dsm_room_hide(struct dsm_node *node, struct list_head *hidden)
{
	struct dsm_chunks *chunks = &node->chunks;
	unsigned long index;

	for (index = 0; index < chunks->nr; index++) {
		struct dsm_chunk *chunk;

		/* Each for itself: others allocate meanwhile. */
		mutex_lock(&chunks->lock);
		chunk = xa_load(&chunks->table, index);
		if (chunk && dsm_room_is_empty(chunk)) {
			kref_get(&chunk->region->ref);
			dsm_chunk_hide(chunk, hidden);
		}
		mutex_unlock(&chunks->lock);
		cond_resched();
	}
}

/* Take neighbours of one region off the list, in order.  Returns how many. */
static u32 dsm_room_run(struct list_head *hidden, struct list_head *run)
{
	struct dsm_chunk *first = list_first_entry(hidden, struct dsm_chunk, list);
	struct dsm_chunk *chunk, *next;
	u32 nr = 0;

	list_for_each_entry_safe(chunk, next, hidden, list) {
		if (chunk->region != first->region || chunk->index != first->index + nr)
			break;
		list_move_tail(&chunk->list, run);
		nr++;
	}
	return nr;
}

static void dsm_room_work(struct work_struct *work)
{
	struct dsm_room *room = container_of(work, struct dsm_room, work);
	struct dsm_node *node = container_of(room, struct dsm_node, room);
	unsigned long released = READ_ONCE(node->chunks.released);
	long asked = atomic_long_read(&room->asked);
	bool told = true;
	LIST_HEAD(hidden);

	/* Before any is hidden, and after: who missed one under dsm_chunks.lock sees it. */
	WRITE_ONCE(room->turn, room->turn + 1);
	dsm_room_hide(node, &hidden);
	/* Of a region that has ended just now. */
	if (list_empty(&hidden))
		wait_event_timeout(node->chunks.changed,
				   !READ_ONCE(node->chunks.leaving) ||
				   READ_ONCE(node->chunks.released) != released,
				   msecs_to_jiffies(DSM_ROOM_MS));
	while (!list_empty(&hidden)) {
		struct dsm_chunk *chunk;
		struct dsm_region *region;
		LIST_HEAD(run);
		u32 nr = dsm_room_run(&hidden, &run);

		chunk = list_first_entry(&run, struct dsm_chunk, list);
		region = chunk->region;
		/* Who cannot be told of one cannot be told of the others, either. */
		told = told && dsm_dir_recall(node, region->id, chunk->index, nr, false);
		if (!told && dsm_chunks_show(region, &run))
			goto put;
		/* If the region has ended nothing of it is taken for something else. */
		if (READ_ONCE(region->gone))
			dsm_dir_recall(node, region->id, chunk->index, nr, true);
		dsm_chunks_release(node, region, &run);
put:
		while (nr--)
			dsm_region_put(region);
	}
	WRITE_ONCE(room->turn, room->turn + 1);
	/* Pairs with who waits: what was released is seen with this. */
	smp_store_release(&room->done, asked);
	wake_up_all(&room->changed);
}

void dsm_room_init(struct dsm_node *node)
{
	INIT_WORK(&node->room.work, dsm_room_work);
	init_waitqueue_head(&node->room.changed);
}

static bool dsm_room_is_done(struct dsm_room *room, long ticket)
{
	/* Pairs with the work's release: what was released is seen with it. */
	return smp_load_acquire(&room->done) - ticket >= 0;
}

/**
 * struct dsm_room_try - an attempt to allocate
 * @released: chunks that had been given back when it began
 * @turn: of the room's work, then
 * @last: there is to be none after it
 */
struct dsm_room_try {
	unsigned long released;
	unsigned int turn;
	bool last;
};

static void dsm_room_begin(struct dsm_node *node, struct dsm_room_try *try)
{
	try->released = READ_ONCE(node->chunks.released);
	try->turn = READ_ONCE(node->room.turn);
}

/*
 * Shall an attempt that gave *@err be followed by another?  Where not, *@err says why: as
 * it was; -EINTR; -EAGAIN: room is being made, but @end has come.
 */
static bool dsm_room_made(struct dsm_node *node, struct dsm_room_try *try,
			  unsigned long end, int *err)
{
	struct dsm_room *room = &node->room;
	long left = MAX_SCHEDULE_TIMEOUT;
	bool hidden, released;
	long ticket;

	/* The kernel may be full before the partition is. */
	if (try->last || (*err != -ENOSPC && *err != -ENOMEM))
		return false;
	/* What it would have taken may have been hidden, and is shown again. */
	hidden = try->turn & 1 || READ_ONCE(room->turn) != try->turn;
	ticket = atomic_long_inc_return(&room->asked);
	queue_work(node->ends, &room->work);
	if (end)
		left = time_before(jiffies, end) ? end - jiffies : 1;
	left = wait_event_killable_timeout(room->changed, dsm_room_is_done(room, ticket),
					   left);
	if (left <= 0) {
		*err = left ? -EINTR : -EAGAIN;
		return false;
	}
	released = READ_ONCE(node->chunks.released) != try->released;
	/* What was given back may have been its own, and too little again: not for ever. */
	try->last = !released || *err == -ENOMEM;
	return released || hidden;
}

/**
 * dsm_room_object() - dsm_object_alloc(), with room made for it
 * @region: that it will belong to
 * @ref: in: size; out: the handle
 * @end: jiffies after which to give up, or 0
 *
 * Context: process, killable.
 * Return: as dsm_object_alloc().
 */
int dsm_room_object(struct dsm_region *region, struct dsm_ref *ref, unsigned long end)
{
	struct dsm_node *node = region->node;
	struct dsm_room_try try = {};
	int err;

	/* What never fits must not cost others anything. */
	if (ref->size > (u64)node->chunks.nr << DSM_CHUNK_SHIFT)
		return dsm_object_alloc(region, ref, end);
	do {
		dsm_room_begin(node, &try);
		err = dsm_object_alloc(region, ref, end);
	} while (dsm_room_made(node, &try, end, &err));
	return err;
}

/**
 * dsm_room_small() - dsm_slab_alloc(), with room made for it
 * @region: to allocate in
 * @ref: in: size; out: the handle
 * @end: jiffies after which to give up, or 0
 *
 * Context: process, killable.
 * Return: as dsm_slab_alloc(); -EAGAIN (@end).
 */
int dsm_room_small(struct dsm_region *region, struct dsm_ref *ref, unsigned long end)
{
	struct dsm_node *node = region->node;
	struct dsm_room_try try = {};
	int err;

	do {
		dsm_room_begin(node, &try);
		err = dsm_slab_alloc(region, ref);
	} while (dsm_room_made(node, &try, end, &err));
	return err;
}

/**
 * dsm_room_slab() - dsm_slab_get(), with room made for it
 * @region: to allocate in
 * @owner: an attached file
 * @lines: of each object
 * @addr: out: the slab
 *
 * Context: process, killable.
 * Return: as dsm_slab_get().
 */
int dsm_room_slab(struct dsm_region *region, const void *owner, unsigned int lines,
		  u64 *addr)
{
	struct dsm_node *node = region->node;
	struct dsm_room_try try = {};
	int err;

	do {
		dsm_room_begin(node, &try);
		err = dsm_slab_get(region, owner, lines, addr);
	} while (dsm_room_made(node, &try, 0, &err));
	return err;
}
