// SPDX-License-Identifier: GPL-2.0-only
/*
 * The chunk directory: what a node tells of its chunks by letting peers READ
 * it, and what this node knows of its peers' chunks from having READ theirs.
 */
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include "dir.h"
#include "node.h"

static struct dsm_wire_chunk *dsm_dir_entry(struct dsm_node *node, unsigned int index)
{
	struct page *page = node->dir.pages[index / DSM_DIR_PAGE_ENTRIES];

	return (struct dsm_wire_chunk *)page_address(page) +
	       index % DSM_DIR_PAGE_ENTRIES;
}

/**
 * dsm_dir_write() - tell of a chunk, or with an entry of zeroes that it is gone
 * @node: ours
 * @index: of the chunk
 * @entry: what to say; head and tail are filled in here
 *
 * Context: under dsm_chunks.lock.
 */
void dsm_dir_write(struct dsm_node *node, unsigned int index,
		   const struct dsm_wire_chunk *entry)
{
	struct dsm_wire_chunk *to = dsm_dir_entry(node, index);
	struct dsm_wire_chunk new = *entry;

	node->dir.generation += 2;
	/* Odd at both ends while the rest changes: a peer sees a torn READ. */
	WRITE_ONCE(to->head, cpu_to_le32(node->dir.generation - 1));
	WRITE_ONCE(to->tail, cpu_to_le32(node->dir.generation - 1));
	dma_wmb();	/* pairs with the order in which the NIC samples */
	new.head = to->head;
	new.tail = to->tail;
	memcpy(to, &new, sizeof(new));
	dma_wmb();	/* the same */
	WRITE_ONCE(to->tail, cpu_to_le32(node->dir.generation));
	WRITE_ONCE(to->head, cpu_to_le32(node->dir.generation));
}

/**
 * dsm_dir_hello() - tell where peers find the directory
 * @node: ours
 * @hello: out: its segments
 */
void dsm_dir_hello(const struct dsm_node *node, struct dsm_wire_hello *hello)
{
	const struct dsm_dir *dir = &node->dir;
	unsigned int i;

	for (i = 0; i < DSM_WIRE_SEGMENTS && dir->mr[i].mr; i++) {
		hello->segment[i].addr = cpu_to_le64(dir->mr[i].mr->iova);
		hello->segment[i].rkey = cpu_to_le32(dir->mr[i].mr->rkey);
		hello->segment[i].entries =
			cpu_to_le32(dir->mr[i].pages * DSM_DIR_PAGE_ENTRIES);
	}
}

/**
 * dsm_dir_alloc() - set up and register the node's own directory
 * @node: whose link to itself is up
 * @entries: chunks that the node may have
 *
 * On failure dsm_dir_free() cleans up.
 */
int dsm_dir_alloc(struct dsm_node *node, unsigned int entries)
{
	struct dsm_dir *dir = &node->dir;
	unsigned int i, n;
	int err;

	n = max_t(unsigned int, DIV_ROUND_UP(entries, DSM_DIR_PAGE_ENTRIES),
		  DSM_PING_MAX_BYTES / PAGE_SIZE);
	if (n > DSM_WIRE_SEGMENTS * DSM_MR_MAX_PAGES)
		return -EINVAL;
	dir->pages = kvcalloc(n, sizeof(*dir->pages), GFP_KERNEL);
	if (!dir->pages)
		return -ENOMEM;
	dir->nr_pages = n;
	for (i = 0; i < n; i++) {
		dir->pages[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!dir->pages[i])
			return -ENOMEM;
	}
	for (i = 0; i * DSM_MR_MAX_PAGES < n; i++) {
		unsigned int first = i * DSM_MR_MAX_PAGES;

		err = dsm_mr_register(node, &dir->mr[i], dir->pages + first,
				      min_t(unsigned int, n - first, DSM_MR_MAX_PAGES),
				      IB_ACCESS_REMOTE_READ);
		if (err)
			return err;
	}
	return 0;
}

void dsm_dir_free(struct dsm_node *node)
{
	struct dsm_dir *dir = &node->dir;
	unsigned int i;

	for (i = 0; i < DSM_WIRE_SEGMENTS; i++)
		dsm_mr_unregister(node, &dir->mr[i]);
	for (i = 0; i < dir->nr_pages; i++)
		if (dir->pages[i])
			__free_page(dir->pages[i]);
	kvfree(dir->pages);
	dir->pages = NULL;
	dir->nr_pages = 0;
}

/**
 * dsm_dir_recall() - have peers let go of keys of our chunks
 * @node: ours
 * @region: id of the region that they belong to
 * @first: of the chunks, which the directory names no more
 * @nr: how many
 * @cut: who does not answer loses its queue pairs
 *
 * Context: process, not a message's handler; as long as two calls take at the most.
 * Return: whether all have let go of the keys, and of what they had cached.
 */
bool dsm_dir_recall(struct dsm_node *node, u64 region, u32 first, u32 nr, bool cut)
{
	struct dsm_wire_revoke wire = {
		.region = cpu_to_le64(region),
		.first = cpu_to_le32(first),
		.nr = cpu_to_le32(nr),
	};
	DECLARE_BITMAP(silent, DSM_MAX_NODES) = {};
	unsigned int i;

	dsm_link_call_all(node, DSM_MSG_REVOKE, &wire, sizeof(wire), silent);
	for_each_set_bit(i, silent, DSM_MAX_NODES) {
		if (cut)
			dsm_link_reset(node->links[i], false);
		/* Who was not there in our life, or is dead, has nothing of it. */
		if (dsm_link_is_lifeless(node->links[i]))
			clear_bit(i, silent);
	}
	return bitmap_empty(silent, DSM_MAX_NODES);
}

/* ---- the peers' ---- */

static struct dsm_far *dsm_dir_get_far(struct dsm_link *link, unsigned int index)
{
	struct dsm_far *far, *old;

	far = xa_load(&link->far, index);
	if (far)
		return far;
	far = kzalloc(sizeof(*far), GFP_KERNEL);
	if (!far)
		return ERR_PTR(-ENOMEM);
	mutex_init(&far->lock);
	old = xa_cmpxchg(&link->far, index, NULL, far, GFP_KERNEL);
	if (!old)
		return far;
	kfree(far);
	return xa_is_err(old) ? ERR_PTR(xa_err(old)) : old;
}

static void dsm_dir_count(struct dsm_stat __percpu *stat)
{
	dsm_stat_add(stat, DSM_COUNTER_READS_DIRECTORY, 1);
	dsm_stat_add(stat, DSM_COUNTER_ROUND_TRIPS, 1);
	dsm_stat_add(stat, DSM_COUNTER_BYTES_READ, sizeof(struct dsm_wire_chunk));
}

/*
 * An aligned line of 64 bytes is sampled as a whole by the devices that we know;
 * the generations tell where one does not.
 */
static int dsm_dir_read(struct dsm_session *s, unsigned int index,
			const struct dsm_region *region, struct dsm_wire_chunk *entry)
{
	const struct dsm_wire_segment *segment =
		&s->hello.segment[index / DSM_DIR_SEGMENT_ENTRIES];
	unsigned int tries, slot = index % DSM_DIR_SEGMENT_ENTRIES;
	int err;

	for (tries = 0; tries < 8; tries++) {
		err = dsm_session_read(s, le64_to_cpu(segment->addr) + slot * sizeof(*entry),
				       le32_to_cpu(segment->rkey), entry, sizeof(*entry));
		if (err)
			return err;
		dsm_dir_count(s->node->stat);
		dsm_dir_count(region->stat);
		if (entry->head == entry->tail && !(le32_to_cpu(entry->head) & 1))
			break;
	}
	/* A version that no word can hold must not raise what we have seen. */
	if (tries == 8 || le64_to_cpu(entry->born) > DSM_WORD_VERSION_MASK ||
	    memchr_inv(entry->reserved, 0, sizeof(entry->reserved)))
		return -EIO;
	return 0;
}

static void dsm_far_fill(struct dsm_link *link, struct dsm_far *far, u32 serial,
			 const struct dsm_wire_chunk *entry)
{
	if (far->keys.born != le64_to_cpu(entry->born))
		bitmap_zero(far->frozen, DSM_CHUNK_PAGES);
	far->serial = serial;
	far->valid = entry->kind == DSM_CHUNK_LARGE || entry->kind == DSM_CHUNK_SMALL;
	far->region = le64_to_cpu(entry->region);
	far->keys.kind = entry->kind;
	far->keys.born = le64_to_cpu(entry->born);
	far->keys.payload_addr = le64_to_cpu(entry->payload_addr);
	far->keys.payload_key = le32_to_cpu(entry->payload_key);
	far->keys.ledger_addr = le64_to_cpu(entry->ledger_addr);
	far->keys.ledger_key = le32_to_cpu(entry->ledger_key);
	far->keys.claims_addr = le64_to_cpu(entry->claims_addr);
	far->keys.claims_key = le32_to_cpu(entry->claims_key);
	dsm_link_saw(link, far->keys.born);
}

/**
 * dsm_dir_find() - learn of a peer's chunk
 * @link: to the peer
 * @session: of it, that the caller has got
 * @index: of the chunk in the peer's partition
 * @region: that the caller works in
 * @wait: for the network, if the chunk is not known; else -EAGAIN
 * @keys: out: what it is, and where in this session
 *
 * Takes one round trip the first time in a session, none later.  The keys are good
 * until dsm_far_put().
 *
 * Context: process; sleeps.
 * Return: the chunk, to be put.  ERR_PTR: -EACCES (none, or another region's),
 * -EHOSTDOWN, -ENOMEM, -EIO, -EAGAIN.
 */
struct dsm_far *dsm_dir_find(struct dsm_link *link, struct dsm_session *session,
			     unsigned int index, const struct dsm_region *region,
			     bool wait, struct dsm_far_keys *keys)
{
	struct dsm_wire_chunk *entry;
	struct dsm_far *far;
	bool known;
	int err = 0;

	if (index / DSM_DIR_SEGMENT_ENTRIES >= DSM_WIRE_SEGMENTS ||
	    index % DSM_DIR_SEGMENT_ENTRIES >=
	    le32_to_cpu(session->hello.segment[index / DSM_DIR_SEGMENT_ENTRIES].entries))
		return ERR_PTR(-EACCES);
	far = dsm_dir_get_far(link, index);
	if (IS_ERR(far))
		return far;
	if (wait)
		mutex_lock(&far->lock);
	else if (!mutex_trylock(&far->lock))
		return ERR_PTR(-EAGAIN);
	known = far->valid && far->serial == session->serial &&
		far->region == region->id;
	if (!known && !wait) {
		err = -EAGAIN;
	} else if (!known) {
		entry = kmalloc(sizeof(*entry), GFP_KERNEL);
		err = entry ? dsm_dir_read(session, index, region, entry) : -ENOMEM;
		/* Of another's chunk nothing is noted: keys of ours may be in use. */
		if (!err && le64_to_cpu(entry->region) != region->id)
			err = -EACCES;
		if (!err)
			dsm_far_fill(link, far, session->serial, entry);
		kfree(entry);
		if (!err && !far->valid)
			err = -EACCES;
	}
	if (!err)
		atomic_inc(&far->users);
	*keys = far->keys;
	mutex_unlock(&far->lock);
	return err ? ERR_PTR(err) : far;
}

/**
 * dsm_far_put() - end the use of a chunk's keys
 * @far: of dsm_dir_find()
 *
 * Context: any.
 */
void dsm_far_put(struct dsm_far *far)
{
	if (!atomic_dec_and_test(&far->users))
		return;
	smp_mb__after_atomic();	/* pairs with the waiters' prepare_to_wait() */
	wake_up_var(&far->users);
}

/**
 * dsm_dir_revoke() - use no key of a peer's chunks any more
 * @link: to the peer
 * @region: id of the region whose chunks they are
 * @first: chunk of its partition
 * @nr: how many
 *
 * Context: process; until all that is under way with those keys has ended, as every
 * request of a link does.
 */
void dsm_dir_revoke(struct dsm_link *link, u64 region, u32 first, u32 nr)
{
	struct dsm_far *far;
	unsigned long index;
	bool ours;

	xa_for_each_range(&link->far, index, far, first, (unsigned long)first + nr - 1) {
		mutex_lock(&far->lock);
		ours = far->region == region;
		if (ours)
			far->valid = false;
		mutex_unlock(&far->lock);
		if (ours)
			wait_var_event(&far->users, !atomic_read(&far->users));
	}
}

/* The link is ending: nobody uses it any more. */
void dsm_dir_forget_peer(struct dsm_link *link)
{
	struct dsm_far *far;
	unsigned long index;

	xa_for_each(&link->far, index, far) {
		xa_erase(&link->far, index);
		kfree(far);
	}
}
