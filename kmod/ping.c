// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timed READs of a peer's directory: what the network and the devices can do,
 * to hold faults against.
 */
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include "node.h"
#include "ping.h"

struct dsm_ping {
	struct dsm_session *session;
	const struct dsm_ping_args *args;
	u64 *samples;
	atomic_t begun;		/* READs */
	atomic_t ended;
	atomic_t in_flight;	/* requests that go on by themselves */
	int err;
	struct completion done;
};

struct dsm_ping_op {
	struct dsm_op op;
	struct dsm_ping *ping;
	struct ib_rdma_wr wr;
	struct ib_sge sge;
	void *buffer;
	ktime_t start;
};

static int dsm_ping_post(struct dsm_ping_op *p, bool wait)
{
	struct dsm_node *node = p->ping->session->node;
	int err;

	refcount_inc(&p->ping->session->users);
	p->start = ktime_get();
	err = dsm_op_post(&p->op, dsm_session_data(p->ping->session), &p->wr.wr, wait);
	dsm_stat_add(node->stat, DSM_COUNTER_READS_PING, !err);
	return err;
}

static void dsm_ping_sample(struct dsm_ping_op *p)
{
	struct dsm_ping *ping = p->ping;

	ping->samples[atomic_inc_return(&ping->ended) - 1] =
		ktime_to_ns(ktime_sub(ktime_get(), p->start));
}

/*
 * One READ at a time: the caller sleeps until it is there, as a fault does.
 * More: the next READ is posted at once and the last one wakes the caller.
 */
static void dsm_ping_done(struct dsm_op *op)
{
	struct dsm_ping_op *p = container_of(op, struct dsm_ping_op, op);
	struct dsm_ping *ping = p->ping;
	int err = op->error;

	if (!err) {
		if (ping->args->depth > 1)
			dsm_ping_sample(p);
		if (ping->args->depth > 1 && !READ_ONCE(ping->err) &&
		    atomic_inc_return(&ping->begun) <= ping->args->count) {
			err = dsm_ping_post(p, false);
			if (!err)
				return;
		}
	}
	if (err)
		WRITE_ONCE(ping->err, err);
	if (atomic_dec_and_test(&ping->in_flight))
		complete(&ping->done);
}

static int dsm_ping_one_by_one(struct dsm_ping *ping, struct dsm_ping_op *p)
{
	unsigned int i;
	int err;

	for (i = 0; i < ping->args->count; i++) {
		atomic_set(&ping->in_flight, 1);
		err = dsm_ping_post(p, true);
		if (err)
			return err;
		wait_for_completion(&ping->done);
		if (ping->err)
			return ping->err;
		dsm_ping_sample(p);
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

static int dsm_ping_side_by_side(struct dsm_ping *ping, struct dsm_ping_op *ops)
{
	unsigned int i, depth = ping->args->depth;

	atomic_set(&ping->begun, depth);
	atomic_set(&ping->in_flight, depth);
	for (i = 0; i < depth; i++) {
		int err = dsm_ping_post(&ops[i], false);

		if (err) {
			WRITE_ONCE(ping->err, err);
			if (atomic_dec_and_test(&ping->in_flight))
				complete(&ping->done);
		}
	}
	if (wait_for_completion_killable(&ping->done)) {
		WRITE_ONCE(ping->err, -EINTR);	/* nothing more is posted */
		wait_for_completion(&ping->done);
	}
	return ping->err;
}

static int dsm_ping_compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static int dsm_ping_run(struct dsm_ping *ping, struct dsm_ping_op *ops,
			struct dsm_ping_args *args)
{
	ktime_t start = ktime_get();
	int err;

	err = args->depth > 1 ? dsm_ping_side_by_side(ping, ops) :
				dsm_ping_one_by_one(ping, ops);
	if (err)
		return err;
	args->total_ns = ktime_to_ns(ktime_sub(ktime_get(), start));
	sort(ping->samples, args->count, sizeof(u64), dsm_ping_compare, NULL);
	args->min_ns = ping->samples[0];
	args->median_ns = ping->samples[args->count / 2];
	args->p99_ns = ping->samples[(u64)args->count * 99 / 100];
	args->max_ns = ping->samples[args->count - 1];
	return 0;
}

/**
 * dsm_ping() - time READs of a peer
 * @node: ours, entered
 * @args: as DSM_IOC_PING says
 *
 * Context: process; sleeps until all READs have ended, or one has failed.
 * Return: 0, -EINVAL, -ENOENT (no such peer), -EHOSTDOWN, -ENOMEM, -EINTR.
 */
int dsm_ping(struct dsm_node *node, struct dsm_ping_args *args)
{
	struct dsm_ping ping = {
		.args = args,
		.done = COMPLETION_INITIALIZER_ONSTACK(ping.done),
	};
	struct dsm_ping_op *ops;
	unsigned int i = 0;
	int err;

	if (!args->bytes || args->bytes > DSM_PING_MAX_BYTES ||
	    !args->depth || args->depth > DSM_PING_MAX_DEPTH ||
	    !args->count || args->count > DSM_PING_MAX_COUNT)
		return -EINVAL;
	if (args->peer >= DSM_MAX_NODES || args->peer == node->id ||
	    !node->links[args->peer])
		return -ENOENT;
	args->depth = min(args->depth, args->count);
	err = dsm_link_wait(node->links[args->peer], TASK_KILLABLE);
	if (err)
		return err;
	ping.session = dsm_link_get(node->links[args->peer]);
	if (!ping.session)
		return -EHOSTDOWN;
	err = -ENOMEM;
	ping.samples = kvcalloc(args->count, sizeof(u64), GFP_KERNEL);
	ops = kvcalloc(args->depth, sizeof(*ops), GFP_KERNEL);
	if (!ping.samples || !ops)
		goto free;
	for (; i < args->depth; i++) {
		struct dsm_ping_op *p = &ops[i];

		p->buffer = kmalloc(args->bytes, GFP_KERNEL);
		if (!p->buffer)
			goto free;
		p->sge.addr = ib_dma_map_single(node->device, p->buffer, args->bytes,
						DMA_FROM_DEVICE);
		if (ib_dma_mapping_error(node->device, p->sge.addr)) {
			kfree(p->buffer);
			goto free;
		}
		p->ping = &ping;
		p->op.done = dsm_ping_done;
		p->sge.length = args->bytes;
		p->sge.lkey = node->pd->local_dma_lkey;
		p->wr.wr.opcode = IB_WR_RDMA_READ;
		p->wr.wr.sg_list = &p->sge;
		p->wr.wr.num_sge = 1;
		p->wr.remote_addr = le64_to_cpu(ping.session->hello.segment[0].addr);
		p->wr.rkey = le32_to_cpu(ping.session->hello.segment[0].rkey);
	}
	err = dsm_ping_run(&ping, ops, args);
free:
	while (i--) {
		ib_dma_unmap_single(node->device, ops[i].sge.addr, args->bytes,
				    DMA_FROM_DEVICE);
		kfree(ops[i].buffer);
	}
	kvfree(ops);
	kvfree(ping.samples);
	dsm_session_put(ping.session);
	return err;
}
