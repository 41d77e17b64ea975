// SPDX-License-Identifier: GPL-2.0-only
/*
 * What peers have claimed of this node's objects, see claim.c for their side.
 *
 * The home looks at claims when it needs room: LIVE(v) that is FREED(v) becomes
 * EXCL(v), then the claim 0, by the home's own device, and the lines can be used
 * again.  What a dead peer was taking is gone: its MOVING becomes FREED.
 */
#include <linux/dma-mapping.h>
#include <linux/slab.h>
#include "claimed.h"
#include "node.h"

struct dsm_claimed_op {
	struct dsm_op op;
	struct completion done;
};

static void dsm_claimed_done(struct dsm_op *op)
{
	complete(&container_of(op, struct dsm_claimed_op, op)->done);
}

/*
 * Compare-and-swap a claim of our own, by our device: the CPU's would not exclude
 * those of peers.  Returns 1: it held @expect; 0: it did not, or was not asked;
 * -EHOSTDOWN: nobody knows.
 */
static int dsm_claimed_swap(struct dsm_chunk *chunk, unsigned int i, u64 expect, u64 want)
{
	struct dsm_node *node = chunk->node;
	struct dsm_claimed_op own = {
		.op.done = dsm_claimed_done,
		.done = COMPLETION_INITIALIZER_ONSTACK(own.done),
	};
	struct ib_sge sge = {
		.length = sizeof(u64),
		.lkey = node->pd->local_dma_lkey,
	};
	struct ib_atomic_wr wr = {
		.wr.opcode = IB_WR_ATOMIC_CMP_AND_SWP,
		.wr.sg_list = &sge,
		.wr.num_sge = 1,
		.remote_addr = chunk->claims_mr.mr->iova + i * sizeof(u64),
		.rkey = chunk->claims_mr.mr->rkey,
		.compare_add = expect,
		.swap = want,
	};
	struct dsm_session *s;
	int ret = 0;
	u64 *found;

	found = kmalloc(sizeof(*found), GFP_KERNEL);
	if (!found)
		return 0;
	*found = DSM_NOT_WRITTEN;
	sge.addr = ib_dma_map_single(node->device, found, sizeof(*found), DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(node->device, sge.addr))
		goto free;
	s = dsm_link_get(node->links[node->id]);
	if (!s)
		goto unmap;
	if (dsm_op_post(&own.op, dsm_session_data(s), &wr.wr, true))
		goto unmap;
	dsm_stat_add(node->stat, DSM_COUNTER_ATOMICS_OWN, 1);
	wait_for_completion(&own.done);
	ret = -EHOSTDOWN;
unmap:
	ib_dma_unmap_single(node->device, sge.addr, sizeof(*found), DMA_FROM_DEVICE);
	if (ret && !own.op.error && *found != DSM_NOT_WRITTEN)
		ret = *found == expect;
free:
	kfree(found);
	return ret;
}

/**
 * dsm_claimed_reclaim() - has a peer moved or dropped what is here?
 * @chunk: ours
 * @i: of a word
 *
 * Context: process; sleeps if so.
 * Return: true: the word is in EXCL and the claim is 0: its lines can be freed.
 */
bool dsm_claimed_reclaim(struct dsm_chunk *chunk, unsigned int i)
{
	u64 word = READ_ONCE(*dsm_chunk_word(chunk, i));
	u64 v = dsm_word_version(word);
	u64 freed = DSM_CLAIM(DSM_CLAIM_FREED, 0, v);
	u64 excl = DSM_WORD(DSM_STATE_EXCL, dsm_word_lines(word), v);
	int ret;

	if (dsm_word_state(word) != DSM_STATE_LIVE &&
	    dsm_word_state(word) != DSM_STATE_POISON)
		return false;
	if (READ_ONCE(*dsm_chunk_claim(chunk, i)) != freed)
		return false;
	if (!dsm_word_change(chunk, i, word, excl))
		return false;
	ret = dsm_claimed_swap(chunk, i, freed, 0);
	/* FREED(v) is changed by us alone: if it is gone, that was us. */
	if (ret < 0 && READ_ONCE(*dsm_chunk_claim(chunk, i)) != freed)
		ret = 1;
	if (ret > 0)
		return true;
	/* Where nobody knows it stays EXCL: never back to what can be taken again. */
	if (!ret)
		dsm_word_change(chunk, i, excl, word);
	return false;
}

/* Of a dead peer: tried again while our own device is not there for a moment. */
static void dsm_claimed_bury(struct dsm_chunk *chunk, unsigned int i, u64 claim)
{
	struct dsm_node *node = chunk->node;
	u64 v = dsm_word_version(claim), want = 0;
	unsigned int tries;

	/* One for a version to come would lie in wait for it. */
	if (dsm_word_version(READ_ONCE(*dsm_chunk_word(chunk, i))) == v)
		want = DSM_CLAIM(DSM_CLAIM_FREED, 0, v);
	for (tries = 0; tries < DSM_CLAIM_TRIES; tries++) {
		dsm_claimed_swap(chunk, i, claim, want);
		if (READ_ONCE(*dsm_chunk_claim(chunk, i)) != claim ||
		    dsm_link_wait(node->links[node->id], TASK_UNINTERRUPTIBLE))
			break;
	}
}

/**
 * dsm_claimed_sweep() - a peer is dead: what it was moving is gone
 * @node: ours
 * @peer: none of its queue pairs is left
 *
 * Never back to LIVE: it may have used what it took.  Context: process.
 */
void dsm_claimed_sweep(struct dsm_node *node, u32 peer)
{
	unsigned int index, i;

	for (index = 0; index < node->chunks.nr; index++) {
		struct dsm_chunk *chunk = dsm_chunk_get(node, index);

		if (!chunk)
			continue;
		for (i = 0; i < dsm_chunk_word_pages(chunk) * DSM_PAGE_WORDS; i++) {
			u64 claim = READ_ONCE(*dsm_chunk_claim(chunk, i));

			if (dsm_claim_state(claim) == DSM_CLAIM_MOVING &&
			    dsm_claim_node(claim) == peer)
				dsm_claimed_bury(chunk, i, claim);
		}
		dsm_chunk_put(chunk);
		cond_resched();
	}
}
