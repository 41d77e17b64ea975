/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A node: one member of the cluster that lives in this kernel.
 *
 * Lock order, outermost first:
 *
 *	dsm_config_lock, dsm_nodes_change
 *	dsm_file.lock
 *	mmap_lock
 *	dsm_grants.lock
 *	dsm_region.ending
 *	dsm_chunks.lock
 *	dsm_files_lock, dsm_regions.lock, dsm_registrar.lock
 *	a copy's bit lock
 *	dsm_region.window
 *	dsm_chunk.lock
 *	dsm_far.lock
 *	i_mmap_rwsem, page-table locks
 *	dsm_copies.lock, dsm_link.lock, dsm_session.lock (spinlocks, leaves)
 */
#ifndef DSM_NODE_H
#define DSM_NODE_H

#include <linux/kref.h>
#include <linux/percpu-refcount.h>
#include <linux/socket.h>
#include <rdma/ib_verbs.h>
#include "chunk.h"
#include "claim.h"
#include "compat.h"
#include "copy.h"
#include "dir.h"
#include "link.h"
#include "region.h"
#include "registrar.h"
#include "room.h"
#include "stat.h"

enum {
	DSM_MAX_ENDS = 4,		/* regions that are given back at once */
	DSM_KEY_BYTES = 32,
	DSM_DEFAULT_PORT = 7471,
};

/**
 * struct dsm_geometry - the range, the same on all nodes
 * @base: first address
 * @span: bytes
 * @partition_shift: log2 of the bytes of a partition
 * @max_nodes: partitions
 * @crc: of all this and the cluster's name
 */
struct dsm_geometry {
	u64 base;
	u64 span;
	u32 partition_shift;
	u32 max_nodes;
	u32 crc;
};

/**
 * struct dsm_member - a node of the cluster as the configuration gives it
 * @present: it is in the configuration
 * @addr: where it listens
 * @min_epoch: it is refused with a lower one; above 0 if it was ever fenced
 */
struct dsm_member {
	bool present;
	struct sockaddr_storage addr;
	u64 min_epoch;
};

/**
 * struct dsm_node_config - what a node is brought up with
 * @id: its own
 * @geometry: the range
 * @epoch: of the cluster
 * @memory: bytes that its partition may take
 * @cache: bytes that copies may take
 * @key: of the cluster
 * @members: all nodes
 */
struct dsm_node_config {
	u32 id;
	struct dsm_geometry geometry;
	u64 epoch;
	u64 memory;
	u64 cache;
	u8 key[DSM_KEY_BYTES];
	struct dsm_member members[DSM_MAX_NODES];
};

/**
 * struct dsm_node - a local node
 * @config: as it was brought up; @epoch and @min_epoch change with a fence,
 *	    read and written once each
 * @list: of the nodes that are up
 * @ref: owners: the configuration while it is up, each region
 * @users: requests and faults under way; killed when it goes down
 * @drained: completed when @users is
 * @attached: files that are attached to its regions
 * @down: it is going down; every wait ends
 * @born: when it came up, in ledger time
 * @tfm: keyed with the cluster key
 * @wq: links and messages
 * @calls: messages to many peers; waits for nothing on @wq or @ends
 * @ends: regions, and chunks, that give their memory back
 * @recheck: asks whether regions still exist, after a link came up
 * @listener: of the connection manager
 * @device: RDMA device that the node's address is on
 * @pd: protection domain of everything
 * @max_sge: scatter entries that a READ may have here
 * @reads_in_flight: READs and atomics that a connection may have in flight
 * @request: upcall: a trusted peer's request, process context
 * @peer_up: upcall: a link is about to be up; the peer may be in a new life
 * @region_gone: upcall: stop using a region, give its memory back
 * @region_news: upcall: a name may have been published in it
 * @links: by peer, with one to itself
 * @loop: passive side of the link to itself
 * @linked: all of @links are there
 */
struct dsm_node {
	struct dsm_node_config config;
	struct list_head list;
	struct kref ref;
	struct percpu_ref users;
	struct completion drained;
	atomic_t attached;
	bool down;
	u64 born;
	struct dsm_stat __percpu *stat;
	struct crypto_shash *tfm;
	struct workqueue_struct *wq;
	struct workqueue_struct *calls;
	struct workqueue_struct *ends;
	struct delayed_work recheck;
	struct rdma_cm_id *listener;
	struct ib_device *device;
	struct ib_pd *pd;
	u32 id;
	unsigned int max_sge;
	unsigned int reads_in_flight;
	void (*request)(struct dsm_node *node, u32 peer,
			struct dsm_session *session,
			const struct dsm_wire_message *message);
	void (*peer_up)(struct dsm_node *node, u32 peer, bool reborn);
	void (*region_gone)(struct dsm_node *node, u64 region);
	void (*region_news)(struct dsm_node *node, u64 region);
	struct dsm_link *links[DSM_MAX_NODES];
	struct dsm_link *loop;
	bool linked;
	struct dsm_dir dir;
	struct dsm_chunks chunks;
	struct dsm_room room;
	struct dsm_regions regions;
	struct dsm_registrar registrar;
	struct dsm_copies copies;
	struct dsm_claims claims;
};

struct dsm_node *dsm_node_up(const struct dsm_node_config *config);
int dsm_node_down(struct dsm_node *node, bool force);
void dsm_node_fence(struct dsm_node *node, u32 peer, u64 epoch);
int dsm_node_alloc(struct dsm_region *region, u32 home, struct dsm_ref *ref);
struct dsm_node *dsm_node_find(u32 id);
u64 dsm_node_local(void);
void dsm_node_put(struct dsm_node *node);
int dsm_node_init(void);
void dsm_node_exit(void);

/**
 * dsm_node_enter() - use a node that may go down meanwhile
 *
 * Return: false if it is going down.
 */
static inline bool dsm_node_enter(struct dsm_node *node)
{
	return percpu_ref_tryget_live(&node->users);
}

static inline void dsm_node_leave(struct dsm_node *node)
{
	percpu_ref_put(&node->users);
}

static inline u32 dsm_home(const struct dsm_node *node, pgoff_t pgoff)
{
	return pgoff >> (node->config.geometry.partition_shift - PAGE_SHIFT);
}

/* First page of a node's partition, counted from the base of the range. */
static inline pgoff_t dsm_partition(const struct dsm_node *node, u32 id)
{
	return (pgoff_t)id << (node->config.geometry.partition_shift - PAGE_SHIFT);
}

/* Of a handle in the range. */
static inline u32 dsm_ref_home(const struct dsm_node *node, const struct dsm_ref *ref)
{
	return dsm_home(node, (ref->addr - node->config.geometry.base) >> PAGE_SHIFT);
}

static inline bool dsm_ref_local(const struct dsm_node *node, const struct dsm_ref *ref)
{
	return dsm_ref_home(node, ref) == node->id;
}

/**
 * dsm_ref_check() - can a handle be one, as far as can be seen from itself?
 * @node: ours
 * @ref: from user space or from a peer
 *
 * Return: 0, -ERANGE (not in the range), -EINVAL.
 */
static inline int dsm_ref_check(const struct dsm_node *node, const struct dsm_ref *ref)
{
	const struct dsm_geometry *geometry = &node->config.geometry;
	unsigned int lines = dsm_word_lines(ref->version);
	u64 offset = ref->addr - geometry->base;

	if (offset >= geometry->span || ref->size > geometry->span - offset)
		return -ERANGE;
	if (dsm_word_state(ref->version) != DSM_STATE_LIVE &&
	    dsm_word_state(ref->version) != DSM_STATE_FROZEN)
		return -EINVAL;
	if (lines == DSM_LINES_LARGE)
		return ref->size && PAGE_ALIGNED(ref->size) && PAGE_ALIGNED(offset) &&
		       dsm_home(node, offset >> PAGE_SHIFT) ==
		       dsm_home(node, (offset + ref->size - 1) >> PAGE_SHIFT) ? 0 : -EINVAL;
	if (!lines || lines > DSM_LINES_LARGE || offset % DSM_LINE_SIZE ||
	    ref->size != lines * DSM_LINE_SIZE ||
	    offset % PAGE_SIZE + ref->size > PAGE_SIZE ||
	    dsm_word_state(ref->version) != DSM_STATE_LIVE)
		return -EINVAL;
	return 0;
}

#endif /* DSM_NODE_H */
