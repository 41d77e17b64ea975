/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_REGION_H
#define DSM_REGION_H

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include "stat.h"
#include "wire.h"

struct address_space;
struct dsm_node;
struct inode;

/* The windows in the mapping of a region, behind the range itself. */
#define DSM_LEDGER_PGOFF	(DSM_MMAP_LEDGER >> PAGE_SHIFT)
#define DSM_CLAIMS_PGOFF	(DSM_MMAP_CLAIMS >> PAGE_SHIFT)
#define DSM_HELD_PGOFF		(DSM_MMAP_HELD >> PAGE_SHIFT)

/**
 * struct dsm_region - a region as one node sees it
 * @ref: owners: the node's table until it ends, each file, its release, each chunk
 *	 that is given back before that
 * @node: ours; the region holds a reference
 * @id: in the whole cluster, for ever
 * @registrar: node that keeps its record
 * @registrar_born: life in which it told us so, or was told by us; 0: it is we
 * @uid: owner
 * @gid: group
 * @mode: permission bits
 * @name: of the region
 * @inode: anonymous; its mapping is that of all files attached to the region
 * @mapping: of @inode
 * @stat: counters
 * @chunks: of this node's partition; protected by dsm_chunks.lock
 * @placing: chunks are being populated for so many large objects; protected by
 *	     dsm_chunks.lock
 * @copies: of peers' pages, by page of the range; see copy.c
 * @window: read: to map a page of the ledger or claims window; write: to change
 *	    what is to be mapped there
 * @blank: what a store to words of this node finds where there are none
 * @shadows: of peers' small objects, by page of the ledger window; protected by
 *	     @window
 * @fetches: under way; nothing new begins when @gone
 * @idle: woken when @fetches falls to 0
 * @gone: removed, or the node is going down
 * @ending: serialises the end
 * @ended: it is done; protected by @ending
 * @news: woken when a name may have been published
 * @news_seq: counts such news
 * @release: gives the chunks back when it has ended
 * @rcu: the last fetch may just be ending
 */
struct dsm_region {
	struct kref ref;
	struct dsm_node *node;
	u64 id;
	u32 registrar;
	u64 registrar_born;
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
	char name[DSM_NAME_BYTES];
	struct inode *inode;
	struct address_space *mapping;
	struct dsm_stat __percpu *stat;
	struct list_head chunks;
	unsigned int placing;
	struct xarray copies;
	struct rw_semaphore window;	/* shadows, and what processes see */
	struct page *blank;
	struct xarray shadows;
	atomic_t fetches;
	wait_queue_head_t idle;
	bool gone;
	struct mutex ending;	/* ended */
	bool ended;
	wait_queue_head_t news;
	atomic_t news_seq;
	struct work_struct release;
	struct rcu_head rcu;
};

/**
 * struct dsm_regions - the regions that a node knows
 * @lock: serialises changes of @table
 * @table: by id
 * @release: work of a region that has ended
 */
struct dsm_regions {
	struct mutex lock;	/* changes of table */
	struct xarray table;
	work_func_t release;
};

void dsm_regions_init(struct dsm_node *node, work_func_t release);

int dsm_region_create(struct dsm_node *node, const char *name, umode_t mode, u64 *id);
int dsm_region_remove(struct dsm_node *node, const char *name);
struct dsm_region *dsm_region_open(struct dsm_node *node, const char *name);
struct dsm_region *dsm_region_find(struct dsm_node *node, u64 id);
struct dsm_region *dsm_region_next(struct dsm_node *node, unsigned long *index);
void dsm_region_put(struct dsm_region *region);
void dsm_region_forget(struct dsm_region *region);
u64 dsm_region_registrar_born(const struct dsm_region *region);
int dsm_region_restore(struct dsm_region *region);
int dsm_region_permit(const struct dsm_region *region, bool write);

bool dsm_region_fetch_begin(struct dsm_region *region);
void dsm_region_fetch_end(struct dsm_region *region);
void dsm_region_stop_fetches(struct dsm_region *region);

void dsm_region_window_changed(struct dsm_region *region, pgoff_t first,
			       unsigned long nr);

int dsm_region_publish(struct dsm_region *region, const char *name,
		       const struct dsm_ref *ref, bool anew);
int dsm_region_lookup(struct dsm_region *region, const char *name, bool take,
		      unsigned int timeout_ms, struct dsm_ref *ref);
void dsm_region_news(struct dsm_region *region);

#endif /* DSM_REGION_H */
