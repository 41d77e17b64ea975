// SPDX-License-Identifier: GPL-2.0-only
/*
 * Claims: how a node takes an object of a peer away, without the peer's CPU.
 *
 *	take:	CAS 0 -> MOVING(me, v), READ words, READ bytes		one chain
 *		words say LIVE(v): CAS MOVING -> FREED(v)		not awaited
 *		they do not: CAS MOVING -> 0
 *	drop:	READ word; it says LIVE(v): CAS 0 -> FREED(v)		not awaited
 *
 * A compare-and-swap that finds a claim for an older version replaces it if the
 * word says LIVE(v); an equal or a newer one it leaves alone.  At most one node ever
 * finds 0, or an older claim, for v.  (Without a look at the word a handle that
 * nobody gave out could replace the claim of an honest mover, or lie in wait for a
 * version to come.)
 *
 * A lost link is not a death.  What was in flight is posted again on the next
 * session, and MOVING(me, v) found then is the first one's success.  So there is at
 * most one pending request of this node for an address, and it stays in the table
 * until its outcome is known to the home.
 *
 * What the home does with claims is in claimed.c.
 */
#include <linux/dma-mapping.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "claim.h"
#include "node.h"
#include "trace.h"

/**
 * struct dsm_haul - a compare-and-swap with what is to be READ behind it
 * @op: the requests
 * @done: completed when they have ended
 * @sample: where the claim and the object's word go, if they are asked for
 * @cas: of the claim, if any
 * @cas_sge: where the claim goes
 * @words: READ of ledger words, if any
 * @words_sge: where they go
 * @last: last page of what is READ, with its mark, see dsm_read_mark()
 * @mark: the same
 * @nr_reads: READs of payload
 * @nr_sge: pages that they fill
 * @sge: their places
 * @reads: the READs
 */
struct dsm_haul {
	struct dsm_op op;
	struct completion done;
	struct ib_sge sample;
	struct ib_atomic_wr cas;
	struct ib_sge cas_sge;
	struct ib_rdma_wr words;
	struct ib_sge words_sge;
	void *last;
	u64 mark;
	unsigned int nr_reads;
	unsigned int nr_sge;
	struct ib_sge *sge;
	struct ib_rdma_wr reads[];
};

/* Where an object is in its home's partition. */
struct dsm_claim_place {
	struct dsm_link *link;
	bool large;
	u64 page;			/* of the partition */
	unsigned int line;		/* of the page */
	unsigned int lines;
};

static void dsm_claim_where(const struct dsm_claim *c, struct dsm_claim_place *at)
{
	struct dsm_node *node = c->region->node;
	u64 offset = c->object.addr - node->config.geometry.base;
	u32 home = dsm_home(node, offset >> PAGE_SHIFT);

	at->link = node->links[home];
	at->lines = dsm_word_lines(c->object.version);
	at->large = at->lines == DSM_LINES_LARGE;
	at->page = (offset >> PAGE_SHIFT) - dsm_partition(node, home);
	at->line = (offset % PAGE_SIZE) >> DSM_LINE_SHIFT;
}

/* Of the claim and the ledger word, in their chunk. */
static unsigned int dsm_claim_index(const struct dsm_claim_place *at)
{
	unsigned int page = at->page % DSM_CHUNK_PAGES;

	return at->large ? page : page * DSM_PAGE_LINES + at->line;
}

static unsigned int dsm_claim_page_bytes(const struct dsm_claim_place *at)
{
	return at->large ? PAGE_SIZE : at->lines << DSM_LINE_SHIFT;
}

/* ---- the table ---- */

int dsm_claims_init(struct dsm_node *node)
{
	xa_init(&node->claims.table);
	node->claims.wq = alloc_workqueue("dsm-%u-claims", WQ_UNBOUND, 0, node->id);
	return node->claims.wq ? 0 : -ENOMEM;
}

static unsigned long dsm_claim_key(const struct dsm_claim *c)
{
	return (c->object.addr - c->region->node->config.geometry.base) >> DSM_LINE_SHIFT;
}

static void dsm_claim_put(struct dsm_claim *c)
{
	if (!refcount_dec_and_test(&c->ref))
		return;
	dsm_region_put(c->region);
	kfree(c->sample);
	kfree(c);
}

/* The outcome is known, or will never be: the table's reference ends. */
static void dsm_claim_forget(struct dsm_claim *c)
{
	struct dsm_claims *claims = &c->region->node->claims;

	xa_erase(&claims->table, dsm_claim_key(c));
	atomic_dec(&claims->nr);
	dsm_claim_put(c);
}

static void dsm_claim_work(struct work_struct *work);

static struct dsm_claim *dsm_claim_begin(struct dsm_region *region,
					 const struct dsm_ref *ref)
{
	struct dsm_node *node = region->node;
	struct dsm_claim_place at;
	struct dsm_claim *c;
	int err;

	c = kzalloc(sizeof(*c), GFP_KERNEL);
	if (!c)
		return ERR_PTR(-ENOMEM);
	c->sample = kmalloc(sizeof(*c->sample), GFP_KERNEL);
	if (!c->sample) {
		kfree(c);
		return ERR_PTR(-ENOMEM);
	}
	refcount_set(&c->ref, 1);
	kref_get(&region->ref);
	c->region = region;
	c->object = *ref;
	INIT_DELAYED_WORK(&c->work, dsm_claim_work);
	dsm_claim_where(c, &at);
	err = -EACCES;
	if (!at.link)
		goto put;
	c->born = READ_ONCE(at.link->born);
	err = xa_insert(&node->claims.table, dsm_claim_key(c), c, GFP_KERNEL);
	if (err)
		goto put;
	atomic_inc(&node->claims.nr);
	return c;
put:
	dsm_claim_put(c);
	return ERR_PTR(err);
}

/* ---- one chain ---- */

static void dsm_haul_done(struct dsm_op *op)
{
	complete(&container_of(op, struct dsm_haul, op)->done);
}

static struct dsm_haul *dsm_haul_alloc(unsigned int nr_sge, unsigned int nr_reads)
{
	struct dsm_haul *h;

	h = kvzalloc(struct_size(h, reads, nr_reads) + nr_sge * sizeof(*h->sge),
		     GFP_KERNEL);
	if (!h)
		return NULL;
	h->sge = (struct ib_sge *)&h->reads[nr_reads];
	h->op.done = dsm_haul_done;
	init_completion(&h->done);
	return h;
}

static void dsm_haul_read(struct dsm_node *node, struct ib_rdma_wr *wr,
			  struct ib_sge *sge, unsigned int nr, u64 addr, u32 key)
{
	wr->wr.opcode = IB_WR_RDMA_READ;
	wr->wr.sg_list = sge;
	wr->wr.num_sge = nr;
	wr->remote_addr = addr;
	wr->rkey = key;
}

static int dsm_haul_map(struct dsm_node *node, struct ib_sge *sge, void *buffer,
			size_t len)
{
	sge->addr = ib_dma_map_single(node->device, buffer, len, DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(node->device, sge->addr))
		return -ENOMEM;
	sge->length = len;
	sge->lkey = node->pd->local_dma_lkey;
	return 0;
}

static void dsm_haul_unmap(struct dsm_node *node, struct dsm_haul *h)
{
	unsigned int i;

	if (h->sample.length)
		ib_dma_unmap_single(node->device, h->sample.addr, h->sample.length,
				    DMA_FROM_DEVICE);
	if (h->words_sge.length > sizeof(u64))
		ib_dma_unmap_single(node->device, h->words_sge.addr,
				    h->words_sge.length, DMA_FROM_DEVICE);
	for (i = 0; i < h->nr_sge; i++)
		ib_dma_unmap_page(node->device, h->sge[i].addr, h->sge[i].length,
				  DMA_FROM_DEVICE);
}

static void dsm_haul_count(struct dsm_region *region, const struct dsm_haul *h, u64 bytes)
{
	struct dsm_stat __percpu *stats[] = { region->node->stat, region->stat };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(stats); i++) {
		dsm_stat_add(stats[i], DSM_COUNTER_ATOMICS, !!h->cas_sge.length);
		dsm_stat_add(stats[i], DSM_COUNTER_READS_WORDS, !!h->words_sge.length);
		dsm_stat_add(stats[i], DSM_COUNTER_READS, h->nr_reads);
		dsm_stat_add(stats[i], DSM_COUNTER_BYTES_READ,
			     bytes + h->words_sge.length);
	}
}

/**
 * struct dsm_claim_step - what to post
 * @page: of the home's partition where it begins; all is in one chunk
 * @cas: compare-and-swap the claim
 * @expect: expected there
 * @want: to be there
 * @words: where to put the ledger words
 * @nr_words: 1: the object's, into the sample; else all of the chunk; or 0
 * @pages: where to put the bytes, or NULL
 * @nr_pages: how many
 * @offset: into the only page, of an object smaller than a page
 */
struct dsm_claim_step {
	u64 page;
	bool cas;
	u64 expect;
	u64 want;
	u64 *words;
	unsigned int nr_words;
	struct page **pages;
	unsigned int nr_pages;
	unsigned int offset;
};

static int dsm_haul_build(struct dsm_claim *c, const struct dsm_claim_place *at,
			  const struct dsm_claim_step *step,
			  const struct dsm_far_keys *keys, struct dsm_haul *h,
			  struct ib_send_wr **first)
{
	struct dsm_node *node = c->region->node;
	unsigned int i, n, index = dsm_claim_index(at);
	struct ib_send_wr **tail = first;
	u64 from;
	int err;

	if (step->cas || step->nr_words == 1) {
		c->sample->claim = DSM_NOT_WRITTEN;
		c->sample->word = DSM_NOT_WRITTEN;
		err = dsm_haul_map(node, &h->sample, c->sample, sizeof(*c->sample));
		if (err)
			return err;
	}
	if (step->cas) {
		h->cas_sge.addr = h->sample.addr +
				  offsetof(struct dsm_claim_sample, claim);
		h->cas_sge.length = sizeof(u64);
		h->cas_sge.lkey = h->sample.lkey;
		h->cas.wr.opcode = IB_WR_ATOMIC_CMP_AND_SWP;
		h->cas.wr.sg_list = &h->cas_sge;
		h->cas.wr.num_sge = 1;
		h->cas.remote_addr = keys->claims_addr + index * sizeof(u64);
		h->cas.rkey = keys->claims_key;
		h->cas.compare_add = step->expect;
		h->cas.swap = step->want;
		*tail = &h->cas.wr;
		tail = &h->cas.wr.next;
	}
	if (step->nr_words == 1) {
		h->words_sge.addr = h->sample.addr +
				    offsetof(struct dsm_claim_sample, word);
		h->words_sge.length = sizeof(u64);
		h->words_sge.lkey = h->sample.lkey;
	} else if (step->nr_words) {
		memset(step->words, 0xff, step->nr_words * sizeof(u64));
		err = dsm_haul_map(node, &h->words_sge, step->words,
				   step->nr_words * sizeof(u64));
		if (err)
			return err;
	}
	if (step->nr_words) {
		dsm_haul_read(node, &h->words, &h->words_sge, 1, keys->ledger_addr +
			      (step->nr_words == 1 ? index : 0) * sizeof(u64),
			      keys->ledger_key);
		*tail = &h->words.wr;
		tail = &h->words.wr.next;
	}
	if (step->nr_pages) {
		h->last = page_address(step->pages[step->nr_pages - 1]) + step->offset;
		h->mark = dsm_read_mark(h->last, dsm_claim_page_bytes(at));
	}
	from = keys->payload_addr +
	       ((step->page % DSM_CHUNK_PAGES) << PAGE_SHIFT) +
	       (at->large ? 0 : at->line << DSM_LINE_SHIFT);
	for (i = 0; i < step->nr_pages; i += n) {
		unsigned int k;

		n = min(step->nr_pages - i, node->max_sge);
		for (k = i; k < i + n; k++) {
			unsigned int len = dsm_claim_page_bytes(at);

			h->sge[k].addr = ib_dma_map_page(node->device, step->pages[k],
							 step->offset, len,
							 DMA_FROM_DEVICE);
			if (ib_dma_mapping_error(node->device, h->sge[k].addr))
				return -ENOMEM;
			h->sge[k].length = len;
			h->sge[k].lkey = node->pd->local_dma_lkey;
			h->nr_sge = k + 1;
		}
		dsm_haul_read(node, &h->reads[h->nr_reads], &h->sge[i], n,
			      from + ((u64)i << PAGE_SHIFT), keys->payload_key);
		*tail = &h->reads[h->nr_reads].wr;
		tail = &h->reads[h->nr_reads++].wr.next;
	}
	*tail = NULL;
	return 0;
}

/* Post a chain and wait until it has ended, two seconds or so at the most. */
static int dsm_claim_post(struct dsm_claim *c, const struct dsm_claim_place *at,
			  const struct dsm_claim_step *step, bool awaited)
{
	struct dsm_region *region = c->region;
	struct dsm_node *node = region->node;
	struct dsm_session *session;
	struct dsm_far_keys keys;
	struct ib_send_wr *first;
	struct dsm_haul *h;
	struct dsm_far *far;
	int err;

	if (!dsm_region_fetch_begin(region))
		return -EIDRM;
	err = -EHOSTDOWN;
	session = dsm_link_get(at->link);
	if (!session)
		goto end;
	far = dsm_dir_find(at->link, session, step->page / DSM_CHUNK_PAGES, region, true,
			   &keys);
	err = PTR_ERR_OR_ZERO(far);
	if (err)
		goto put;
	err = -ESTALE;
	if (keys.kind != (at->large ? DSM_CHUNK_LARGE : DSM_CHUNK_SMALL))
		goto put_far;
	h = dsm_haul_alloc(step->nr_pages, DIV_ROUND_UP(step->nr_pages, node->max_sge));
	err = -ENOMEM;
	if (!h)
		goto put_far;
	err = dsm_haul_build(c, at, step, &keys, h, &first);
	if (err)
		goto unmap;
	refcount_inc(&session->users);
	err = dsm_op_post(&h->op, dsm_session_data(session), first, true);
	if (!err) {
		dsm_haul_count(region, h, (u64)step->nr_pages * dsm_claim_page_bytes(at));
		if (awaited) {
			dsm_stat_add(node->stat, DSM_COUNTER_ROUND_TRIPS, 1);
			dsm_stat_add(region->stat, DSM_COUNTER_ROUND_TRIPS, 1);
		}
		wait_for_completion(&h->done);
		err = h->op.error;
	}
	if (step->cas)
		trace_dsm_claim(node->id, at->link->peer, c->object.addr, step->expect,
				step->want, c->sample->claim);
unmap:
	dsm_haul_unmap(node, h);
	if (!err && h->last && !dsm_read_came(h->last, dsm_claim_page_bytes(at), h->mark)) {
		dsm_session_hollow(session);
		err = -EHOSTDOWN;
	}
	kvfree(h);
put_far:
	dsm_far_put(far);
put:
	dsm_session_put(session);
end:
	dsm_region_fetch_end(region);
	return err;
}

/* ---- the end of a claim, which nobody waits for ---- */

/* What a compare-and-swap that meant version @v found. */
enum dsm_claim_found {
	DSM_FOUND_EXPECTED,
	DSM_FOUND_OURS,
	DSM_FOUND_OLDER,	/* to be replaced */
	DSM_FOUND_RIVAL,	/* somebody moves it */
	DSM_FOUND_GONE,
	DSM_FOUND_NOTHING,	/* the device did not say */
};

static enum dsm_claim_found dsm_claim_look(const struct dsm_claim *c, u64 expect)
{
	u64 v = dsm_word_version(c->object.version);
	u64 found = c->sample->claim;

	if (found == DSM_NOT_WRITTEN)
		return DSM_FOUND_NOTHING;
	if (found == expect)
		return DSM_FOUND_EXPECTED;
	if (found == DSM_CLAIM(DSM_CLAIM_MOVING, c->region->node->id, v))
		return DSM_FOUND_OURS;
	if (!found || dsm_word_version(found) < v)
		return DSM_FOUND_OLDER;
	if (dsm_word_version(found) == v && dsm_claim_state(found) == DSM_CLAIM_MOVING)
		return DSM_FOUND_RIVAL;
	return DSM_FOUND_GONE;
}

static u64 dsm_claim_ours(const struct dsm_claim *c)
{
	return DSM_CLAIM(DSM_CLAIM_MOVING, c->region->node->id,
			 dsm_word_version(c->object.version));
}

static int dsm_claim_judge(const struct dsm_claim *c, u64 word, unsigned int flags)
{
	int err;

	if (word == DSM_NOT_WRITTEN)
		return -EAGAIN;
	if (word == c->object.version)
		return 0;
	if (dsm_word_state(word) == DSM_STATE_FROZEN)
		return -EROFS;
	err = dsm_word_refuses(c->object.version, word);
	return err == -EOWNERDEAD && flags & DSM_BORROW_ACCEPT ? 0 : err;
}

static int dsm_claim_rest(struct dsm_claim *c, const struct dsm_claim_place *at,
			  struct dsm_claim_step *step, struct page **pages, u64 done,
			  unsigned int flags, bool awaited);

/*
 * A drop looks before it claims; of a large object at all of its words, as they tell
 * its size.  Returns -EAGAIN: again later.
 */
static int dsm_claim_look_words(struct dsm_claim *c, const struct dsm_claim_place *at)
{
	struct dsm_claim_step step = { .page = at->page, .nr_words = 1 };
	int err;

	if (at->large) {
		step.nr_words = DSM_CHUNK_PAGES;
		step.words = kmalloc(PAGE_SIZE, GFP_KERNEL);
		if (!step.words)
			return -EAGAIN;
		err = dsm_claim_rest(c, at, &step, NULL, 0, DSM_BORROW_ACCEPT, false);
		kfree(step.words);
	} else {
		err = dsm_claim_post(c, at, &step, false);
		if (!err)
			err = dsm_claim_judge(c, c->sample->word, DSM_BORROW_ACCEPT);
	}
	return err == -EBUSY || err == -EHOSTDOWN || err == -ENOMEM || err == -EIO ?
	       -EAGAIN : err;
}

/* Is the home in the life in which we claim?  It may never have been up before. */
static bool dsm_claim_same_life(struct dsm_claim *c, const struct dsm_claim_place *at)
{
	u64 born = READ_ONCE(at->link->born);

	if (!c->born)
		c->born = born;
	return c->born == born;
}

/* Bring the claim to c->to.  Returns whether that is done, or cannot be any more. */
static bool dsm_claim_finish(struct dsm_claim *c)
{
	struct dsm_node *node = c->region->node;
	struct dsm_claim_place at;
	unsigned int tries;

	dsm_claim_where(c, &at);
	for (tries = 0; tries < DSM_CLAIM_TRIES; tries++) {
		struct dsm_claim_step step = {
			.page = at.page, .cas = true, .expect = c->expect, .want = c->to,
		};
		int err = 0;

		/* Not node->down: it is set for a moment by a refused one, too. */
		if (percpu_ref_is_dying(&node->users) || READ_ONCE(c->region->gone) ||
		    !dsm_claim_same_life(c, &at))
			return true;
		if (c->drop)
			err = dsm_claim_look_words(c, &at);
		if (err)
			return err != -EAGAIN;
		err = dsm_claim_post(c, &at, &step, false);
		if (err)
			return err != -EHOSTDOWN && err != -ENOMEM && err != -EIO;
		switch (dsm_claim_look(c, c->expect)) {
		case DSM_FOUND_EXPECTED:
			return true;
		case DSM_FOUND_OURS:
			c->expect = dsm_claim_ours(c);
			break;
		case DSM_FOUND_OLDER:
			/* What was to be put back is not there any more. */
			if (!c->drop)
				return true;
			c->expect = c->sample->claim;
			break;
		case DSM_FOUND_NOTHING:
			break;
		case DSM_FOUND_RIVAL:
			/* It may put the object back. */
			return !c->drop;
		default:
			return true;
		}
	}
	return false;
}

static void dsm_claim_work(struct work_struct *work)
{
	struct dsm_claim *c = container_of(to_delayed_work(work), struct dsm_claim, work);

	if (dsm_claim_finish(c))
		dsm_claim_forget(c);
	else
		queue_delayed_work(c->region->node->claims.wq, &c->work,
				   msecs_to_jiffies(DSM_CLAIM_AGAIN_MS));
}

static void dsm_claim_later(struct dsm_claim *c, u64 expect, u64 to)
{
	struct dsm_claims *claims = &c->region->node->claims;

	c->expect = expect;
	c->to = to;
	queue_delayed_work(claims->wq, &c->work, 0);
	/* A caller that is faster than the network is slowed down. */
	if (atomic_read(&claims->nr) > DSM_CLAIM_BACKLOG)
		flush_workqueue(claims->wq);
}

/**
 * dsm_claim_settle() - end a claim that was taken
 * @claim: of dsm_claim_take(); not the caller's any more
 * @taken: the object has moved here; else it stays where it is
 *
 * Nobody waits for that.  Context: process.
 */
void dsm_claim_settle(struct dsm_claim *claim, bool taken)
{
	u64 v = dsm_word_version(claim->object.version);

	dsm_claim_later(claim, dsm_claim_ours(claim),
			taken ? DSM_CLAIM(DSM_CLAIM_FREED, 0, v) : 0);
}

/**
 * dsm_claims_stop() - nothing is pending any more
 * @node: going down, its links are shut
 */
void dsm_claims_stop(struct dsm_node *node)
{
	struct dsm_claims *claims = &node->claims;
	struct dsm_claim *c;
	unsigned long key;

	if (!claims->wq)
		return;
	for (;;) {
		key = 0;
		/* Who forgets one takes it out under the lock, and then puts it. */
		xa_lock(&claims->table);
		c = xa_find(&claims->table, &key, ULONG_MAX, XA_PRESENT);
		if (c)
			refcount_inc(&c->ref);
		xa_unlock(&claims->table);
		if (!c)
			break;
		cancel_delayed_work_sync(&c->work);
		if (xa_load(&claims->table, key) == c)
			dsm_claim_forget(c);
		dsm_claim_put(c);
	}
	destroy_workqueue(claims->wq);
	claims->wq = NULL;
}

/* ---- taking ---- */

/* Do the words of the chunk that the object's @n pages from @k on are in fit it? */
static bool dsm_claim_words_fit(const u64 *words, unsigned int k, unsigned int n,
				bool begins, bool ends)
{
	unsigned int i;

	for (i = begins; i < n; i++) {
		bool last = ends && i == n - 1;

		if (dsm_word_state(words[k + i]) != DSM_STATE_CONT ||
		    dsm_word_lines(words[k + i]) != (last ? DSM_LINES_LARGE : 0))
			return false;
	}
	/* Of a single page the word has no room for the mark. */
	return !begins || !ends || n > 1 || k + n == DSM_CHUNK_PAGES ||
	       dsm_word_state(words[k + n]) != DSM_STATE_CONT;
}

/*
 * The first chain: claim the object and READ as much of it as is in the first
 * chunk.  0: it is claimed, and what was READ is right.  Else it is not, or
 * @claimed says that it has to be put back.
 */
static int dsm_claim_first(struct dsm_claim *c, const struct dsm_claim_place *at,
			   unsigned int flags, struct dsm_claim_step *step,
			   u64 *expect, bool *claimed)
{
	unsigned int k = at->page % DSM_CHUNK_PAGES;
	u64 word;
	int err;

	step->page = at->page;
	step->cas = true;
	step->expect = *expect;
	step->want = dsm_claim_ours(c);
	err = dsm_claim_post(c, at, step, true);
	if (err) {
		/* It may have been carried out. */
		*claimed |= err == -EHOSTDOWN;
		return err;
	}
	word = step->words[at->large ? k : 0];
	switch (dsm_claim_look(c, *expect)) {
	case DSM_FOUND_EXPECTED:
	case DSM_FOUND_OURS:
		break;
	case DSM_FOUND_OLDER:
		*claimed = false;
		*expect = c->sample->claim;
		return dsm_claim_judge(c, word, flags) ?: -EAGAIN;
	case DSM_FOUND_NOTHING:
		*claimed = true;
		return -EAGAIN;
	case DSM_FOUND_RIVAL:
		*claimed = false;
		return -EBUSY;
	default:
		*claimed = false;
		return -ESTALE;
	}
	*claimed = true;
	err = dsm_claim_judge(c, word, flags);
	if (!err && at->large &&
	    !dsm_claim_words_fit(step->words, k,
				 min_t(u64, c->object.size >> PAGE_SHIFT,
				       DSM_CHUNK_PAGES - k), true,
				 k + (c->object.size >> PAGE_SHIFT) <= DSM_CHUNK_PAGES))
		err = -ESTALE;
	return err;
}

/* READ the rest of a large object that is claimed, or without @pages just look. */
static int dsm_claim_rest(struct dsm_claim *c, const struct dsm_claim_place *at,
			  struct dsm_claim_step *step, struct page **pages, u64 done,
			  unsigned int flags, bool awaited)
{
	u64 n = c->object.size >> PAGE_SHIFT;
	unsigned int batch = DSM_CLAIM_READS * c->region->node->max_sge;
	int err = 0;

	step->cas = false;
	while (done < n && !err) {
		unsigned int k = (at->page + done) % DSM_CHUNK_PAGES;

		if (fatal_signal_pending(current))
			return -EINTR;
		step->page = at->page + done;
		step->pages = pages ? pages + done : NULL;
		step->nr_pages = min_t(u64, n - done, min(batch, DSM_CHUNK_PAGES - k));
		err = dsm_claim_post(c, at, pages ? step :
				     &(struct dsm_claim_step){
					.page = step->page, .words = step->words,
					.nr_words = step->nr_words,
				     }, awaited);
		if (!err && step->words[k] == DSM_NOT_WRITTEN)
			err = -EAGAIN;
		if (!err && !done)
			err = dsm_claim_judge(c, step->words[k], flags);
		if (!err && !dsm_claim_words_fit(step->words, k, step->nr_pages, !done,
						 done + step->nr_pages == n))
			err = -ESTALE;
		done += step->nr_pages;
	}
	return err;
}

/**
 * dsm_claim_take() - claim an object of a peer and READ it
 * @region: that it belongs to
 * @ref: its handle, checked for what can be checked here
 * @flags: DSM_BORROW_ACCEPT
 * @pages: where to put the bytes: of a large object one page for each, of a small
 *	   one a single page; NULL: they are not needed
 * @offset: into that page
 * @taken: out: on success, to be settled
 *
 * One round trip, if the object's chunk is known; a large object takes one more for
 * each further chunk.  A lost link is waited for.
 *
 * Context: process; killable.
 * Return: 0, -ESTALE, -EBUSY, -EOWNERDEAD, -EROFS, -EACCES, -EHOSTDOWN, -EIDRM,
 * -EINTR, -ENOMEM.
 */
int dsm_claim_take(struct dsm_region *region, const struct dsm_ref *ref,
		   unsigned int flags, struct page **pages, unsigned int offset,
		   struct dsm_claim **taken)
{
	unsigned long end = jiffies + msecs_to_jiffies(DSM_CLAIM_MS);
	struct dsm_claim_step step = {};
	struct dsm_claim_place at;
	bool claimed = false;
	struct dsm_claim *c;
	u64 expect = 0;
	int err;

	c = dsm_claim_begin(region, ref);
	if (IS_ERR(c))
		return PTR_ERR(c);
	dsm_claim_where(c, &at);
	step.nr_words = at.large ? DSM_CHUNK_PAGES : 1;
	step.words = at.large ? kmalloc(PAGE_SIZE, GFP_KERNEL) : &c->sample->word;
	err = -ENOMEM;
	if (!step.words)
		goto settle;
	for (;;) {
		u64 n = at.large ? ref->size >> PAGE_SHIFT : 1;

		if (at.large)
			n = min3(n, (u64)DSM_CHUNK_PAGES - at.page % DSM_CHUNK_PAGES,
				 (u64)DSM_CLAIM_READS * region->node->max_sge);
		step.pages = pages;
		step.nr_pages = pages ? n : 0;
		step.offset = offset;
		err = dsm_claim_first(c, &at, flags, &step, &expect, &claimed);
		if (!err && at.large)
			err = dsm_claim_rest(c, &at, &step, pages, n, flags, true);
		if (fatal_signal_pending(current))
			err = -EINTR;
		if (err == -EAGAIN && time_before(jiffies, end))
			continue;
		if (err != -EHOSTDOWN || !time_before(jiffies, end))
			break;
		err = dsm_link_wait(at.link, TASK_KILLABLE);
		if (err)
			break;
		/* In a new life of its home there is no such object. */
		err = -ESTALE;
		if (!dsm_claim_same_life(c, &at))
			break;
	}
	if (err == -EAGAIN)
		err = -EHOSTDOWN;
settle:
	if (at.large)
		kfree(step.words);
	if (!err) {
		dsm_stat_add(region->node->stat, DSM_COUNTER_OBJECTS_MOVED, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_OBJECTS_MOVED, 1);
		*taken = c;
	} else if (claimed) {
		dsm_claim_settle(c, false);
	} else {
		dsm_claim_forget(c);
	}
	return err;
}

/**
 * dsm_claim_check() - is this the handle of a large object of a peer?
 * @region: that it belongs to
 * @ref: its handle, checked for what can be checked here
 *
 * One round trip for each chunk that the object is in.  A lost link is waited for.
 *
 * Context: process; killable.
 * Return: as dsm_claim_take(), but no -EROFS.
 */
int dsm_claim_check(struct dsm_region *region, const struct dsm_ref *ref)
{
	unsigned long end = jiffies + msecs_to_jiffies(DSM_CLAIM_MS);
	struct dsm_claim_step step = { .nr_words = DSM_CHUNK_PAGES };
	struct dsm_claim c = { .region = region, .object = *ref };
	struct dsm_claim_place at;
	int err;

	dsm_claim_where(&c, &at);
	step.words = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!step.words)
		return -ENOMEM;
	for (;;) {
		err = dsm_claim_rest(&c, &at, &step, NULL, 0, 0, true);
		if ((err != -EHOSTDOWN && err != -EAGAIN) || time_after(jiffies, end))
			break;
		if (err == -EHOSTDOWN && dsm_link_wait(at.link, TASK_KILLABLE))
			break;
		if (fatal_signal_pending(current))
			break;
	}
	kfree(step.words);
	/* A handle from before the freeze is just old, for a reader. */
	if (err == -EROFS)
		err = -ESTALE;
	return err == -EAGAIN ? -EHOSTDOWN : err;
}

/**
 * dsm_claim_drop() - free an object of a peer
 * @region: that it belongs to
 * @ref: its handle, checked for what can be checked here
 *
 * The request is begun, not awaited.  With a handle that owns nothing it has no
 * effect.
 *
 * Return: 0, -EBUSY, -EACCES, -EHOSTDOWN, -EINTR, -ENOMEM.
 */
int dsm_claim_drop(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_node *node = region->node;
	struct dsm_link *link = node->links[dsm_ref_home(node, ref)];
	struct dsm_claim *c;
	int err;

	err = link ? dsm_link_wait(link, TASK_KILLABLE) : -EACCES;
	if (err)
		return err;
	if (atomic_read(&node->claims.nr) > DSM_CLAIM_MAX)
		return -EBUSY;
	c = dsm_claim_begin(region, ref);
	if (IS_ERR(c))
		return PTR_ERR(c);
	c->drop = true;
	dsm_claim_later(c, 0, DSM_CLAIM(DSM_CLAIM_FREED, 0,
					dsm_word_version(ref->version)));
	return 0;
}
