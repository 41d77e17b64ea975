// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small objects of peers: their bytes are cached in copies of pages, and the words
 * that say so in pages of the ledger window, the shadows.
 *
 *	lock -> set the lines' busy bits -> unlock -> post ... completion:
 *	exact: words of its lines := 0, bytes, head word := LIVE(v); clear the bits
 *
 * An object is fetched for one version: READ word, READ bytes, READ word, and it
 * counts only if both words say exactly what the handle says.  (One word behind the
 * bytes is enough for every handle that was ever given out.  One that somebody made
 * up for a version to come could see bytes being written, and that version after
 * them.)  Who finds lines busy waits and then looks for itself.
 *
 * Objects of a page are fetched side by side.  Where that cannot be, as the page was
 * evicted under a reader or holds words of objects of another size, the fetch keeps
 * the copy locked and has all of it.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include "node.h"
#include "shadow.h"
#include "trace.h"

enum { DSM_PULL_MS = 4000 };		/* a fetch is tried again for so long */

/* Of shadows that had no copies at some time. */
#define DSM_SHADOW_IDLE	XA_MARK_0

/**
 * struct dsm_batch - fetches that one caller waits for
 * @left: under way, and the caller
 * @done: completed by the last
 */
struct dsm_batch {
	atomic_t left;
	struct completion done;
};

struct dsm_pull_words {
	u64 before;
	u64 after;
};

/**
 * struct dsm_pull - the fetch of one object
 * @op: the requests
 * @copy: the page; a reference
 * @far: its chunk, in use
 * @word: the wanted version
 * @line: of the page
 * @lines: of the object
 * @whole: the copy is locked
 * @refill: the whole page is READ, in place
 * @born: life of the chunk
 * @batch: who waits, or NULL
 * @error: of @batch: the result
 * @words: samples
 * @buffer: bytes
 * @wr: READs
 * @sge: where they go
 */
struct dsm_pull {
	struct dsm_op op;
	struct dsm_copy *copy;
	struct dsm_far *far;
	u64 word;
	unsigned int line;
	unsigned int lines;
	bool whole;
	bool refill;
	u64 born;
	struct dsm_batch *batch;
	s32 *error;
	struct dsm_pull_words *words;
	void *buffer;
	struct ib_rdma_wr wr[3];
	struct ib_sge sge[3];
};

/* ---- shadows ---- */

static unsigned long dsm_shadow_index(const struct dsm_copy *copy)
{
	return copy->pgoff >> DSM_WINDOW_SHIFT;
}

static u64 *dsm_shadow_words(const struct dsm_copy *copy)
{
	return (u64 *)page_address(copy->shadow->page) +
	       (copy->pgoff & ((1 << DSM_WINDOW_SHIFT) - 1)) * DSM_PAGE_LINES;
}

static void dsm_shadow_free(struct dsm_region *region, unsigned long index,
			    struct dsm_shadow *s)
{
	xa_erase(&region->shadows, index);
	unmap_mapping_pages(region->mapping, DSM_LEDGER_PGOFF + index, 1, false);
	atomic_long_dec(&region->node->copies.nr);
	__free_page(s->page);
	kfree(s);
}

/* Free the shadows that have no copies.  Under dsm_region.window. */
static void dsm_shadows_reap(struct dsm_region *region)
{
	struct dsm_shadow *s;
	unsigned long index;

	xa_for_each_marked(&region->shadows, index, s, DSM_SHADOW_IDLE) {
		if (atomic_read(&s->copies))
			xa_clear_mark(&region->shadows, index, DSM_SHADOW_IDLE);
		else
			dsm_shadow_free(region, index, s);
	}
}

/* Give a locked copy a place for its words.  Context: process, sleeps. */
static int dsm_shadow_attach(struct dsm_copy *copy)
{
	struct dsm_region *region = copy->region;
	unsigned long index = dsm_shadow_index(copy);
	struct dsm_shadow *s, *new;
	int err;

	down_read(&region->window);
	s = xa_load(&region->shadows, index);
	if (s)
		atomic_inc(&s->copies);
	up_read(&region->window);
	if (s)
		goto attached;
	new = kzalloc(sizeof(*new), GFP_KERNEL);
	if (!new)
		return -ENOMEM;
	new->page = alloc_page(GFP_USER | __GFP_ZERO);
	if (!new->page) {
		kfree(new);
		return -ENOMEM;
	}
	down_write(&region->window);
	s = xa_load(&region->shadows, index);
	err = s ? 0 : xa_err(xa_store(&region->shadows, index, new, GFP_KERNEL));
	if (!s && !err) {
		s = new;
		/* Processes may have seen that there is none. */
		unmap_mapping_pages(region->mapping, DSM_LEDGER_PGOFF + index, 1, false);
		atomic_long_inc(&region->node->copies.nr);
	}
	if (s)
		atomic_inc(&s->copies);
	dsm_shadows_reap(region);
	up_write(&region->window);
	if (s != new) {
		__free_page(new->page);
		kfree(new);
	}
	if (!s)
		return err;
attached:
	copy->shadow = s;
	return 0;
}

/**
 * dsm_shadow_detach() - a copy is going: nothing of it is cached any more
 * @copy: locked and not busy
 *
 * Context: process, also in reclaim.
 */
void dsm_shadow_detach(struct dsm_copy *copy)
{
	struct dsm_region *region = copy->region;
	struct dsm_shadow *s = copy->shadow;
	unsigned int i;

	if (!s)
		return;
	for (i = 0; i < DSM_PAGE_LINES; i++)
		WRITE_ONCE(dsm_shadow_words(copy)[i], 0);
	copy->shadow = NULL;
	if (!atomic_dec_and_test(&s->copies))
		return;
	xa_set_mark(&region->shadows, dsm_shadow_index(copy), DSM_SHADOW_IDLE);
	/* If the lock is taken the next who gets it frees it. */
	if (down_write_trylock(&region->window)) {
		dsm_shadows_reap(region);
		up_write(&region->window);
	}
}

/**
 * dsm_shadows_free() - the region has ended and its copies are gone
 * @region: gone
 */
void dsm_shadows_free(struct dsm_region *region)
{
	struct dsm_shadow *s;
	unsigned long index;

	down_write(&region->window);
	xa_for_each(&region->shadows, index, s)
		dsm_shadow_free(region, index, s);
	up_write(&region->window);
}

/* ---- one fetch ---- */

static u64 dsm_pull_mask(const struct dsm_pull *p)
{
	return GENMASK_ULL(p->line + p->lines - 1, p->line);
}

/* Exact: make it visible.  Context: any. */
static void dsm_pull_install(struct dsm_pull *p)
{
	struct dsm_copy *copy = p->copy;
	u64 *words = dsm_shadow_words(copy);
	unsigned int i, first = p->line, n = p->lines;

	if (copy->lines != p->lines) {
		first = 0;
		n = DSM_PAGE_LINES;
		copy->lines = p->lines;
	}
	for (i = first; i < first + n; i++)
		WRITE_ONCE(words[i], 0);
	smp_wmb();	/* pairs with the check at the end of a borrow */
	if (!p->refill)
		memcpy(page_address(copy->page) + p->line * DSM_LINE_SIZE, p->buffer,
		       p->lines * DSM_LINE_SIZE);
	smp_store_release(&words[p->line], p->word);	/* pairs with a borrow's load */
}

static int dsm_pull_judge(const struct dsm_pull *p)
{
	u64 word = p->words->after;

	if (word == p->word)
		return p->words->before == word ? 0 : -EAGAIN;
	if (word == DSM_NOT_WRITTEN)
		return -EAGAIN;
	return dsm_word_refuses(p->word, word);
}

static void dsm_pull_unmap(struct dsm_pull *p)
{
	struct ib_device *dev = p->copy->region->node->device;

	if (p->sge[0].length)
		ib_dma_unmap_single(dev, p->sge[0].addr, sizeof(*p->words),
				    DMA_FROM_DEVICE);
	if (p->sge[1].length && p->refill)
		ib_dma_unmap_page(dev, p->sge[1].addr, PAGE_SIZE, DMA_FROM_DEVICE);
	else if (p->sge[1].length)
		ib_dma_unmap_single(dev, p->sge[1].addr, p->sge[1].length,
				    DMA_FROM_DEVICE);
}

static void dsm_pull_free(struct dsm_pull *p)
{
	dsm_copy_put(p->copy);
	dsm_far_put(p->far);
	kfree(p->buffer);
	kfree(p->words);
	kfree(p);
}

static void dsm_batch_put(struct dsm_batch *batch)
{
	if (atomic_dec_and_test(&batch->left))
		complete(&batch->done);
}

/* Context: any. */
static void dsm_pull_finish(struct dsm_pull *p, int err)
{
	struct dsm_copy *copy = p->copy;
	struct dsm_region *region = copy->region;
	struct dsm_batch *batch = p->batch;

	dsm_pull_unmap(p);
	/* It succeeded, but did it come?  See dsm_read_mark(). */
	if (!err && p->words->after == DSM_NOT_WRITTEN)
		err = -EAGAIN;
	if (!err && p->refill) {
		copy->born = p->born;
		set_bit(DSM_COPY_SMALL, &copy->flags);
		set_bit(DSM_COPY_PRESENT, &copy->flags);
	}
	err = err ?: dsm_pull_judge(p);
	if (!err) {
		dsm_pull_install(p);
		set_bit(DSM_COPY_REFERENCED, &copy->flags);
		dsm_stat_add(region->node->stat, DSM_COUNTER_OBJECTS_FETCHED, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_OBJECTS_FETCHED, 1);
	}
	trace_dsm_pulled(region->node->id, copy->pgoff, p->line, p->lines, err);
	if (p->whole) {
		dsm_copy_unlock(copy);
	} else {
		atomic64_andnot(dsm_pull_mask(p), &copy->busy);
		smp_mb__after_atomic();	/* pairs with the waiters' prepare_to_wait() */
		wake_up_var(&copy->busy);
	}
	if (batch)
		*p->error = err;
	dsm_pull_free(p);
	dsm_region_fetch_end(region);
	if (batch)
		dsm_batch_put(batch);
}

static void dsm_pull_done(struct dsm_op *op)
{
	dsm_pull_finish(container_of(op, struct dsm_pull, op), op->error);
}

static int dsm_pull_build(struct dsm_pull *p, const struct dsm_far_keys *keys)
{
	struct dsm_region *region = p->copy->region;
	struct dsm_node *node = region->node;
	unsigned int page = p->copy->pgoff % DSM_CHUNK_PAGES;
	unsigned int i, len = p->lines * DSM_LINE_SIZE;
	u64 bytes = keys->payload_addr + ((u64)page << PAGE_SHIFT);
	u64 word = keys->ledger_addr +
		   (page * DSM_PAGE_LINES + p->line) * sizeof(u64);
	u64 dma;

	p->words = kmalloc(sizeof(*p->words), GFP_KERNEL);
	if (!p->words)
		return -ENOMEM;
	p->words->before = DSM_NOT_WRITTEN;
	p->words->after = DSM_NOT_WRITTEN;
	dma = ib_dma_map_single(node->device, p->words, sizeof(*p->words),
				DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(node->device, dma))
		return -ENOMEM;
	p->sge[0].addr = dma + offsetof(struct dsm_pull_words, before);
	p->sge[0].length = sizeof(u64);
	p->sge[2].addr = dma + offsetof(struct dsm_pull_words, after);
	p->sge[2].length = sizeof(u64);
	if (p->refill) {
		dma = ib_dma_map_page(node->device, p->copy->page, 0, PAGE_SIZE,
				      DMA_FROM_DEVICE);
		len = PAGE_SIZE;
	} else {
		p->buffer = kmalloc(len, GFP_KERNEL);
		if (!p->buffer)
			return -ENOMEM;
		dma = ib_dma_map_single(node->device, p->buffer, len, DMA_FROM_DEVICE);
		bytes += p->line * DSM_LINE_SIZE;
	}
	if (ib_dma_mapping_error(node->device, dma))
		return -ENOMEM;
	p->sge[1].addr = dma;
	p->sge[1].length = len;
	for (i = 0; i < 3; i++) {
		p->sge[i].lkey = node->pd->local_dma_lkey;
		p->wr[i].wr.opcode = IB_WR_RDMA_READ;
		p->wr[i].wr.sg_list = &p->sge[i];
		p->wr[i].wr.num_sge = 1;
		p->wr[i].wr.next = i < 2 ? &p->wr[i + 1].wr : NULL;
		p->wr[i].remote_addr = i == 1 ? bytes : word;
		p->wr[i].rkey = i == 1 ? keys->payload_key : keys->ledger_key;
	}
	return 0;
}

static void dsm_pull_count(struct dsm_stat __percpu *stat, unsigned int bytes)
{
	dsm_stat_add(stat, DSM_COUNTER_READS, 1);
	dsm_stat_add(stat, DSM_COUNTER_READS_WORDS, 2);
	dsm_stat_add(stat, DSM_COUNTER_BYTES_READ, bytes + 2 * sizeof(u64));
}

/* An empty page for a locked copy that is not busy. */
static void dsm_pull_fresh(struct dsm_copy *copy, u64 born)
{
	u64 *words = dsm_shadow_words(copy);
	unsigned int i;

	for (i = 0; i < DSM_PAGE_LINES; i++)
		WRITE_ONCE(words[i], 0);
	unmap_mapping_pages(copy->region->mapping, copy->pgoff, 1, false);
	clear_highpage(copy->page);
	copy->word = 0;
	copy->end = 0;
	copy->lines = 0;
	copy->born = born;
	set_bit(DSM_COPY_SMALL, &copy->flags);
	set_bit(DSM_COPY_PRESENT, &copy->flags);
}

/*
 * Lock the copy, wait until the object's lines are free, or all where all are
 * needed, and mark them busy.  Returns 0; 1: it is here; -EINTR, -EAGAIN (dead, or
 * not @wait), -ENOMEM.
 */
static int dsm_pull_begin(struct dsm_pull *p, const struct dsm_far_keys *keys, bool wait)
{
	struct dsm_copy *copy = p->copy;
	u64 mask = dsm_pull_mask(p);
	u64 need;
	int err;

	for (;;) {
		if (!dsm_copy_trylock(copy)) {
			if (!wait)
				return -EAGAIN;
			if (dsm_copy_lock(copy, TASK_KILLABLE))
				return -EINTR;
		}
		err = -EAGAIN;
		if (dsm_copy_test(copy, DSM_COPY_DEAD))
			goto unlock;
		err = copy->shadow ? 0 : dsm_shadow_attach(copy);
		if (err)
			goto unlock;
		if (READ_ONCE(dsm_shadow_words(copy)[p->line]) == p->word) {
			err = 1;
			goto unlock;
		}
		/* Never here before in this life: it is filled object by object. */
		if (copy->born != keys->born && !atomic64_read(&copy->busy))
			dsm_pull_fresh(copy, keys->born);
		p->refill = !dsm_copy_test(copy, DSM_COPY_PRESENT);
		p->whole = p->refill || (copy->lines && copy->lines != p->lines) ||
			   copy->born != keys->born;
		need = p->whole ? ~0ULL : mask;
		if (!(atomic64_read(&copy->busy) & need))
			break;
		dsm_copy_unlock(copy);
		if (!wait)
			return -EAGAIN;
		if (wait_var_event_killable(&copy->busy,
					    !(atomic64_read(&copy->busy) & need)))
			return -EINTR;
	}
	if (!p->whole) {
		copy->lines = p->lines;
		atomic64_or(mask, &copy->busy);
		dsm_copy_unlock(copy);
	}
	return 0;
unlock:
	dsm_copy_unlock(copy);
	return err;
}

/*
 * Begin to fetch one object.  Returns 0: @batch will hear of it; 1: it is here; or a
 * negative errno, -EAGAIN and -EHOSTDOWN among them.
 */
static int dsm_pull_post(struct dsm_region *region, const struct dsm_ref *ref,
			 struct dsm_batch *batch, s32 *error, bool wait)
{
	struct dsm_node *node = region->node;
	pgoff_t pgoff = (ref->addr - node->config.geometry.base) >> PAGE_SHIFT;
	struct dsm_link *link = node->links[dsm_home(node, pgoff)];
	pgoff_t base = dsm_partition(node, dsm_home(node, pgoff));
	struct dsm_session *session;
	struct dsm_far_keys keys;
	struct dsm_pull *p;
	struct dsm_far *far;
	unsigned int bytes;
	int err;

	if (!dsm_region_fetch_begin(region))
		return -EIDRM;
	err = -EHOSTDOWN;
	session = dsm_link_get(link);
	if (!session)
		goto end;
	far = dsm_dir_find(link, session, (pgoff - base) / DSM_CHUNK_PAGES, region, wait,
			   &keys);
	err = PTR_ERR_OR_ZERO(far);
	if (err)
		goto put;
	err = -ESTALE;
	if (keys.kind != DSM_CHUNK_SMALL)
		goto put_far;
	err = -ENOMEM;
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		goto put_far;
	p->copy = dsm_copy_make(region, pgoff, wait);
	if (IS_ERR(p->copy)) {
		err = PTR_ERR(p->copy);
		kfree(p);
		goto put_far;
	}
	p->far = far;
	p->op.done = dsm_pull_done;
	p->word = ref->version;
	p->line = (ref->addr % PAGE_SIZE) >> DSM_LINE_SHIFT;
	p->lines = dsm_word_lines(ref->version);
	p->born = keys.born;
	p->batch = batch;
	p->error = error;
	err = dsm_pull_begin(p, &keys, wait);
	if (err) {
		dsm_pull_free(p);
		goto put;
	}
	if (batch)
		atomic_inc(&batch->left);
	trace_dsm_pull(node->id, dsm_home(node, pgoff), pgoff, p->line, p->lines, p->whole);
	err = dsm_pull_build(p, &keys);
	bytes = p->sge[1].length;
	if (!err)
		err = dsm_op_post(&p->op, dsm_session_data(session), &p->wr[0].wr, wait);
	else
		dsm_session_put(session);
	if (err) {
		dsm_pull_finish(p, err);
		return 0;
	}
	/* It may have ended already; the caller keeps the region. */
	dsm_pull_count(node->stat, bytes);
	dsm_pull_count(region->stat, bytes);
	return 0;

put_far:
	dsm_far_put(far);
put:
	dsm_session_put(session);
end:
	dsm_region_fetch_end(region);
	return err;
}

/* ---- many ---- */

/* What the ledger says of a handle of this node; 1: what the handle says. */
static int dsm_shadow_own(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_node *node = region->node;
	u64 page = ((ref->addr - node->config.geometry.base) >> PAGE_SHIFT) -
		   dsm_partition(node, node->id);
	struct dsm_chunk *chunk = dsm_chunk_get(node, page / DSM_CHUNK_PAGES);
	unsigned int line = page % DSM_CHUNK_PAGES * DSM_PAGE_LINES +
			    ((ref->addr % PAGE_SIZE) >> DSM_LINE_SHIFT);
	int err = -ESTALE;
	u64 word;

	if (!chunk)
		return -EACCES;
	if (chunk->region != region) {
		err = -EACCES;
	} else if (chunk->kind == DSM_CHUNK_SMALL) {
		word = READ_ONCE(*dsm_chunk_word(chunk, line));
		if (word == ref->version)
			err = 1;
		else
			err = dsm_word_refuses(ref->version, word);
	}
	dsm_chunk_put(chunk);
	return err;
}

static int dsm_shadow_one(struct dsm_region *region, const struct dsm_ref *ref,
			  struct dsm_batch *batch, s32 *error, bool wait)
{
	struct dsm_node *node = region->node;
	u32 home;
	int err;

	err = dsm_ref_check(node, ref);
	if (err)
		return err;
	if (dsm_word_lines(ref->version) == DSM_LINES_LARGE)
		return -EINVAL;
	home = dsm_home(node, (ref->addr - node->config.geometry.base) >> PAGE_SHIFT);
	if (home == node->id)
		return dsm_shadow_own(region, ref);
	if (!node->links[home])
		return -EACCES;
	return dsm_pull_post(region, ref, batch, error, wait);
}

/* One pass over those whose error is -EAGAIN. */
static void dsm_shadow_pass(struct dsm_region *region, const struct dsm_ref *refs,
			    unsigned int nr, s32 *errors, bool wait, bool *posted)
{
	struct dsm_batch batch = {
		.left = ATOMIC_INIT(1),
		.done = COMPLETION_INITIALIZER_ONSTACK(batch.done),
	};
	unsigned int i;

	for (i = 0; i < nr && !fatal_signal_pending(current); i++) {
		int err;

		if (errors[i] != -EAGAIN)
			continue;
		errors[i] = 0;	/* of one that is posted the end writes it */
		err = dsm_shadow_one(region, &refs[i], wait ? &batch : NULL,
				     &errors[i], wait);
		if (err)
			errors[i] = min(err, 0);
		else
			*posted = true;
	}
	if (!wait)
		return;
	dsm_batch_put(&batch);
	wait_for_completion(&batch.done);
}

/* Which of them can be tried again?  Waits for links that were lost. */
static bool dsm_shadow_again(struct dsm_node *node, const struct dsm_ref *refs,
			     unsigned int nr, s32 *errors)
{
	bool again = false;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (errors[i] == -EHOSTDOWN &&
		    !dsm_link_wait(node->links[dsm_ref_home(node, &refs[i])],
				   TASK_KILLABLE))
			errors[i] = -EAGAIN;
		again |= errors[i] == -EAGAIN;
	}
	return again;
}

/**
 * dsm_shadow_fetch() - have small objects here
 * @region: that they belong to
 * @refs: handles, from user space, not checked
 * @nr: how many
 * @errors: out: 0 or a negative errno for each
 * @wait: for them; else they are hints
 *
 * A lost link is waited for.  Context: process; every request ends within seconds.
 * Return: 0 or -EINTR: then @errors mean nothing.
 */
int dsm_shadow_fetch(struct dsm_region *region, const struct dsm_ref *refs,
		     unsigned int nr, s32 *errors, bool wait)
{
	struct dsm_node *node = region->node;
	unsigned long end = jiffies + msecs_to_jiffies(DSM_PULL_MS);
	bool posted = false;
	unsigned int i;

	for (i = 0; i < nr; i++)
		errors[i] = -EAGAIN;
	for (;;) {
		dsm_shadow_pass(region, refs, nr, errors, wait, &posted);
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!wait)
			return 0;
		if (time_after(jiffies, end) ||
		    !dsm_shadow_again(node, refs, nr, errors))
			break;
		cond_resched();
	}
	/* The object changes all the time: somebody has it. */
	for (i = 0; i < nr; i++)
		if (errors[i] == -EAGAIN)
			errors[i] = -EBUSY;
	if (posted) {
		dsm_stat_add(node->stat, DSM_COUNTER_ROUND_TRIPS, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_ROUND_TRIPS, 1);
	}
	return 0;
}
