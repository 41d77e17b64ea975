// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fetch: one READ of neighbouring pages of a peer into their copies, with ledger words
 * where they say what the bytes are.  See copy.c for what may be cached.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "copy.h"
#include "fetch.h"
#include "node.h"
#include "trace.h"

/**
 * struct dsm_fetch - one READ of neighbouring pages, with ledger words if needed
 * @op: the requests
 * @region: of the pages; a fetch in it has begun
 * @far: the peer's chunk, in use
 * @head_far: the same, of @head, if that is in another chunk
 * @want: word of the wanted version; 0: frozen pages, or small objects
 * @head: the first page of the wanted object
 * @end: the page behind it
 * @words: of a version the object's word, sampled after the bytes; else those of the
 *	   chunk, sampled before the bytes.  NULL: all pages are known to be frozen
 * @words_dma: the same for the device
 * @words_mark: see dsm_read_mark()
 * @pages_mark: the same
 * @small: pages of small objects: no word says what all their bytes are
 * @born: life of the chunk
 * @awaited: somebody waits for it
 * @index: of the first page in its chunk
 * @nr: pages
 * @words_wr: READ of the words
 * @pages_wr: READ of the pages
 * @words_sge: where the words go
 * @sge: where the pages go
 * @copy: the copies, locked, with a reference each
 */
struct dsm_fetch {
	struct dsm_op op;
	struct dsm_region *region;
	struct dsm_far *far;
	struct dsm_far *head_far;
	u64 want;
	pgoff_t head;
	pgoff_t end;
	u64 *words;
	u64 words_dma;
	u64 words_mark;
	u64 pages_mark;
	bool small;
	u64 born;
	bool awaited;
	unsigned int index;
	unsigned int nr;
	struct ib_rdma_wr words_wr;
	struct ib_rdma_wr pages_wr;
	struct ib_sge words_sge;
	struct ib_sge sge[DSM_READ_PAGES];
	struct dsm_copy *copy[DSM_READ_PAGES];
};

/* Who reads ahead must not leave its own failure to those that fault later. */
static int dsm_fetch_failure(int err, bool awaited)
{
	return awaited || err == -EACCES || err == -EIDRM ? err : -EAGAIN;
}

static void dsm_fetch_unmap(struct dsm_fetch *f)
{
	struct ib_device *dev = f->region->node->device;
	unsigned int i;

	for (i = 0; i < f->nr && f->sge[i].length; i++)
		ib_dma_unmap_page(dev, f->sge[i].addr, PAGE_SIZE, DMA_FROM_DEVICE);
	if (f->words_sge.length)
		ib_dma_unmap_single(dev, f->words_dma, f->words_sge.length,
				    DMA_FROM_DEVICE);
}

/* What page @i of a fetch turned out to be.  Sets the word that its copy holds. */
static int dsm_fetch_judge(const struct dsm_fetch *f, unsigned int i, u64 *word)
{
	*word = DSM_WORD(DSM_STATE_FROZEN, 0, 0);
	if (f->small)
		*word = 0;
	else if (f->want && *f->words == f->want)
		*word = f->want;
	else if (f->want)
		return -ESTALE;
	/* By its own sample of the words, not by what others learnt since. */
	else if (f->words && dsm_word_state(f->words[f->index + i]) != DSM_STATE_FROZEN)
		return -EACCES;
	return 0;
}

static size_t dsm_fetch_words_bytes(const struct dsm_fetch *f)
{
	return f->want ? sizeof(u64) : PAGE_SIZE;
}

static void *dsm_fetch_last_page(const struct dsm_fetch *f)
{
	return page_address(f->copy[f->nr - 1]->page);
}

/* It succeeded; did the bytes come, too? */
static bool dsm_fetch_came(const struct dsm_fetch *f)
{
	return dsm_read_came(dsm_fetch_last_page(f), PAGE_SIZE, f->pages_mark) &&
	       (!f->words || dsm_read_came(f->words, dsm_fetch_words_bytes(f),
					      f->words_mark));
}

static void dsm_fetch_free(struct dsm_fetch *f)
{
	if (f->far)
		dsm_far_put(f->far);
	if (f->head_far)
		dsm_far_put(f->head_far);
	kfree(f->words);
	kfree(f);
}

/* The fetch is over: give every copy its result.  Context: any. */
static void dsm_fetch_finish(struct dsm_fetch *f, int error)
{
	struct dsm_region *region = f->region;
	unsigned int i, fetched = 0;

	dsm_fetch_unmap(f);
	if (!error && !dsm_fetch_came(f)) {
		dsm_session_hollow(f->op.conn->session);
		error = -EHOSTDOWN;
	}
	if (!error && f->words && !f->want)
		for (i = 0; i < DSM_CHUNK_PAGES; i++)
			if (dsm_word_state(f->words[i]) == DSM_STATE_FROZEN)
				set_bit(i, f->far->frozen);
	for (i = 0; i < f->nr; i++) {
		struct dsm_copy *copy = f->copy[i];
		int err = error ?: dsm_fetch_judge(f, i, &copy->word);

		if (err) {
			copy->err = dsm_fetch_failure(err, f->awaited);
			copy->tried = f->want;
		} else {
			fetched++;
			copy->err = 0;
			copy->born = f->born;
			copy->end = copy->pgoff == f->head ? f->end : 0;
			assign_bit(DSM_COPY_SMALL, &copy->flags, f->small);
			set_bit(DSM_COPY_PRESENT, &copy->flags);
		}
		trace_dsm_fetched(region->node->id, copy->pgoff, err);
		dsm_copy_unlock(copy);
		dsm_copy_put(copy);
	}
	dsm_stat_add(region->node->stat, DSM_COUNTER_PAGES_FETCHED, fetched);
	dsm_stat_add(region->stat, DSM_COUNTER_PAGES_FETCHED, fetched);
	dsm_fetch_free(f);
	dsm_region_fetch_end(region);
}

static void dsm_fetch_done(struct dsm_op *op)
{
	dsm_fetch_finish(container_of(op, struct dsm_fetch, op), op->error);
}

/* Lay out the requests.  @word_addr, @word_key: where the words are. */
static int dsm_fetch_map(struct dsm_fetch *f, const struct dsm_far_keys *keys,
			 u64 word_addr, u32 word_key, struct ib_send_wr **first)
{
	struct dsm_node *node = f->region->node;
	u32 lkey = node->pd->local_dma_lkey;
	unsigned int i;

	*first = &f->pages_wr.wr;
	f->pages_mark = dsm_read_mark(dsm_fetch_last_page(f), PAGE_SIZE);
	if (f->words) {
		size_t len = dsm_fetch_words_bytes(f);

		f->words_mark = dsm_read_mark(f->words, len);
		f->words_dma = ib_dma_map_single(node->device, f->words, len,
						 DMA_FROM_DEVICE);
		if (ib_dma_mapping_error(node->device, f->words_dma))
			return -ENOMEM;
		f->words_sge.addr = f->words_dma;
		f->words_sge.length = len;
		f->words_sge.lkey = lkey;
		f->words_wr.wr.opcode = IB_WR_RDMA_READ;
		f->words_wr.wr.sg_list = &f->words_sge;
		f->words_wr.wr.num_sge = 1;
		f->words_wr.remote_addr = word_addr;
		f->words_wr.rkey = word_key;
		if (f->want) {
			f->pages_wr.wr.next = &f->words_wr.wr;
		} else {
			f->words_wr.wr.next = &f->pages_wr.wr;
			*first = &f->words_wr.wr;
		}
	}
	f->pages_wr.wr.opcode = IB_WR_RDMA_READ;
	f->pages_wr.wr.sg_list = f->sge;
	f->pages_wr.wr.num_sge = f->nr;
	f->pages_wr.remote_addr = keys->payload_addr + ((u64)f->index << PAGE_SHIFT);
	f->pages_wr.rkey = keys->payload_key;
	for (i = 0; i < f->nr; i++) {
		f->sge[i].addr = ib_dma_map_page(node->device, f->copy[i]->page, 0,
						 PAGE_SIZE, DMA_FROM_DEVICE);
		if (ib_dma_mapping_error(node->device, f->sge[i].addr))
			return -ENOMEM;
		f->sge[i].length = PAGE_SIZE;
		f->sge[i].lkey = lkey;
	}
	return 0;
}

static bool dsm_fetch_known(const struct dsm_far *far, unsigned int index,
			    unsigned int nr)
{
	return find_next_zero_bit(far->frozen, index + nr, index) >= index + nr;
}

static void dsm_fetch_count(struct dsm_stat __percpu *stat, unsigned int nr,
			    unsigned int words)
{
	dsm_stat_add(stat, DSM_COUNTER_READS, 1);
	dsm_stat_add(stat, DSM_COUNTER_READS_WORDS, !!words);
	dsm_stat_add(stat, DSM_COUNTER_BYTES_READ, (nr << PAGE_SHIFT) + words);
}

/*
 * Find where the requests of a fetch go, and allocate what they need.  On failure
 * dsm_fetch_post() cleans up.
 */
static int dsm_fetch_plan(struct dsm_fetch *f, struct dsm_session *session,
			  const struct dsm_want *want, struct ib_send_wr **first)
{
	struct dsm_region *region = f->region;
	struct dsm_node *node = region->node;
	pgoff_t pgoff = f->copy[0]->pgoff;
	u32 home = dsm_home(node, pgoff);
	pgoff_t base = dsm_partition(node, home);
	struct dsm_link *link = node->links[home];
	struct dsm_far_keys keys, head;
	struct dsm_far *far;
	unsigned int i;
	u64 word_addr;

	far = dsm_dir_find(link, session, (pgoff - base) / DSM_CHUNK_PAGES, region,
			   f->awaited, &keys);
	/* What was borrowed was there. */
	if (IS_ERR(far))
		return want && far == ERR_PTR(-EACCES) ? -ESTALE : PTR_ERR(far);
	f->far = far;
	head = keys;
	f->small = keys.kind == DSM_CHUNK_SMALL;
	if (f->small && want)
		return -ESTALE;
	f->born = keys.born;
	word_addr = keys.ledger_addr;
	if (f->small) {
		/* A reader that lost its page wants that life's bytes or none. */
		for (i = 0; i < f->nr; i++)
			if (f->copy[i]->born && f->copy[i]->born != f->born)
				return -ESTALE;
	} else if (want) {
		if ((want->first ^ pgoff) / DSM_CHUNK_PAGES) {
			far = dsm_dir_find(link, session,
					   (want->first - base) / DSM_CHUNK_PAGES,
					   region, f->awaited, &head);
			if (IS_ERR(far))
				return PTR_ERR(far);
			f->head_far = far;
			if (head.kind != DSM_CHUNK_LARGE)
				return -ESTALE;
		}
		f->want = want->word;
		f->head = want->first;
		f->end = want->end;
		word_addr = head.ledger_addr +
			    want->first % DSM_CHUNK_PAGES * sizeof(u64);
	}
	if (!f->small && (f->want || !dsm_fetch_known(f->far, f->index, f->nr))) {
		f->words = kmalloc(dsm_fetch_words_bytes(f), GFP_KERNEL);
		if (!f->words)
			return -ENOMEM;
	}
	return dsm_fetch_map(f, &keys, word_addr, head.ledger_key, first);
}

/**
 * dsm_fetch_post() - begin to fetch neighbouring pages
 * @copies: locked, not present, of one chunk, in order; the locks pass over to
 *	    the fetch, whose end unlocks them, and so does a failure here
 * @nr: how many, at most DSM_READ_PAGES
 * @want: the version, or NULL
 * @wait: for room in the send queue; else -EAGAIN
 *
 * Return: 0 or a negative errno.
 */
int dsm_fetch_post(struct dsm_copy **copies, unsigned int nr,
		   const struct dsm_want *want, bool wait)
{
	struct dsm_region *region = copies[0]->region;
	struct dsm_node *node = region->node;
	pgoff_t first = copies[0]->pgoff;
	u32 home = dsm_home(node, first);
	struct dsm_session *session;
	struct ib_send_wr *wr;
	unsigned int i, words;
	struct dsm_fetch *f;
	int err;

	if (!dsm_region_fetch_begin(region)) {
		err = -EIDRM;
		goto unlock;
	}
	err = -EHOSTDOWN;
	session = dsm_link_get(node->links[home]);
	if (!session)
		goto end;
	err = -ENOMEM;
	f = kzalloc(sizeof(*f), GFP_KERNEL);
	if (!f)
		goto put;
	f->region = region;
	f->awaited = wait;
	f->index = first % DSM_CHUNK_PAGES;
	f->op.done = dsm_fetch_done;
	for (i = 0; i < nr; i++)
		f->copy[i] = copies[i];
	f->nr = nr;
	err = dsm_fetch_plan(f, session, want, &wr);
	if (err)
		goto unmap;
	words = f->words_sge.length;
	trace_dsm_fetch(node->id, home, first, nr, words);
	for (i = 0; i < nr; i++)
		refcount_inc(&copies[i]->ref);
	err = dsm_op_post(&f->op, dsm_session_data(session), wr, wait);
	if (err) {
		/* The session is put already; the copies get the error. */
		dsm_fetch_finish(f, err);
		return err;
	}
	dsm_fetch_count(node->stat, nr, words);
	dsm_fetch_count(region->stat, nr, words);
	return 0;

unmap:
	dsm_fetch_unmap(f);
	dsm_fetch_free(f);
put:
	dsm_session_put(session);
end:
	dsm_region_fetch_end(region);
unlock:
	for (i = 0; i < nr; i++) {
		copies[i]->err = dsm_fetch_failure(err, wait);
		copies[i]->tried = want ? want->word : 0;
		dsm_copy_unlock(copies[i]);
	}
	return err;
}
