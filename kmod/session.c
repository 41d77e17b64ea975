// SPDX-License-Identifier: GPL-2.0-only
/*
 * A session is one life of a link.  It has a control connection for messages
 * and data connections for one-sided requests:
 *
 *	alloc -> connect or accept each connection -> used -> fail -> close
 *
 * Anything that goes wrong with any of its connections fails the session as a
 * whole; the link then closes it and begins another.  Every request that was
 * posted completes: with the peer's answer, after the retries (about two
 * seconds), or flushed when the session closes.
 *
 * The control connection has no right to READ or to do atomics at either side.
 * Data connections are accepted only from a peer that proved the cluster key.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/moduleparam.h>
#include <linux/slab.h>
#include "node.h"
#include "session.h"
#include "trace.h"

static bool dsm_ordered_reads = true;
module_param_named(ordered_reads, dsm_ordered_reads, bool, 0444);
MODULE_PARM_DESC(ordered_reads,
		 "the device samples chained READs in order (default Y)");

/**
 * dsm_session_get() - use a session
 * @session: found under RCU or by a user
 *
 * Return: false if it has failed or is being taken apart.
 */
bool dsm_session_get(struct dsm_session *session)
{
	if (test_bit(DSM_SESSION_FAILED, &session->flags))
		return false;
	return refcount_inc_not_zero(&session->users);
}

void dsm_session_put(struct dsm_session *session)
{
	if (refcount_dec_and_test(&session->users))
		complete(&session->idle);
}

/**
 * dsm_session_fail() - give a session up
 * @session: any
 * @why: for the log
 *
 * Context: any.  The owner hears of it once and closes the session later.
 */
void dsm_session_fail(struct dsm_session *session, const char *why)
{
	if (test_and_set_bit(DSM_SESSION_FAILED, &session->flags))
		return;
	session->why = why;
	trace_dsm_session_fail(session->node->id, session->auth.active,
			       session->auth.passive, why);
	session->changed(session);
}

bool dsm_session_established(const struct dsm_session *session)
{
	unsigned int i;

	for (i = 0; i < DSM_CONNS; i++)
		if (!READ_ONCE(session->conn[i].established))
			return false;
	return true;
}

/* ---- requests and their completions ---- */

/**
 * dsm_conn_release() - requests have completed
 * @conn: that they were posted on
 * @requests: how many
 *
 * Context: any.
 */
void dsm_conn_release(struct dsm_conn *conn, unsigned int requests)
{
	atomic_add(requests, &conn->free);
	/* The wait queue's own barrier pairs with dsm_conn_reserve(). */
	if (wq_has_sleeper(&conn->session->room))
		wake_up_all(&conn->session->room);
}

static bool dsm_conn_tryreserve(struct dsm_conn *conn, int requests)
{
	int free = atomic_read(&conn->free);

	do {
		if (free < requests)
			return false;
	} while (!atomic_try_cmpxchg(&conn->free, &free, free - requests));
	return true;
}

/**
 * dsm_conn_reserve() - find room in the send queue
 * @conn: to post on
 * @requests: how many
 * @wait: sleep until there is, DSM_CALL_TIMEOUT_MS at the most
 *
 * Return: 0, -EAGAIN (no room and not @wait), -EHOSTDOWN.
 */
int dsm_conn_reserve(struct dsm_conn *conn, int requests, bool wait)
{
	struct dsm_session *s = conn->session;

	if (dsm_conn_tryreserve(conn, requests))
		return 0;
	if (!wait)
		return -EAGAIN;
	if (!wait_event_timeout(s->room,
				dsm_conn_tryreserve(conn, requests) ||
				test_bit(DSM_SESSION_FAILED, &s->flags),
				msecs_to_jiffies(DSM_CALL_TIMEOUT_MS)))
		return -EHOSTDOWN;
	if (!test_bit(DSM_SESSION_FAILED, &s->flags))
		return 0;
	return -EHOSTDOWN;
}

static void dsm_op_error(struct dsm_op *op, const struct ib_wc *wc)
{
	struct dsm_session *s = op->conn->session;

	if (op->error)
		return;
	op->error = -EHOSTDOWN;
	dsm_stat_add(s->node->stat, DSM_COUNTER_ERRORS, 1);
	dsm_session_fail(s, ib_wc_status_msg(wc->status));
}

/**
 * dsm_session_hollow() - a READ succeeded without its bytes
 * @session: that it was made in; it fails
 *
 * Context: any.
 */
void dsm_session_hollow(struct dsm_session *session)
{
	dsm_stat_add(session->node->stat, DSM_COUNTER_ERRORS, 1);
	dsm_session_fail(session, "a READ came without its bytes");
}

static void dsm_op_early(struct ib_cq *cq, struct ib_wc *wc)
{
	dsm_op_error(container_of(wc->wr_cqe, struct dsm_op, early), wc);
}

static void dsm_op_last(struct ib_cq *cq, struct ib_wc *wc)
{
	struct dsm_op *op = container_of(wc->wr_cqe, struct dsm_op, last);
	struct dsm_conn *conn = op->conn;

	if (wc->status != IB_WC_SUCCESS)
		dsm_op_error(op, wc);
	dsm_conn_release(conn, op->requests);
	op->done(op);
	dsm_session_put(conn->session);
}

/**
 * dsm_session_data() - pick a connection for one-sided requests
 * @session: in use
 */
struct dsm_conn *dsm_session_data(struct dsm_session *session)
{
	return &session->conn[1 + raw_smp_processor_id() % (DSM_CONNS - 1)];
}

/**
 * dsm_op_post() - post a chain of one-sided requests
 * @op: with @done set; lives until @done is called
 * @conn: of a session that the caller has got; the op takes over that use
 * @first: the chain; completion and flags are filled in here
 * @wait: the caller will wait for it: sleep for room in the send queue, up to
 *	  DSM_CALL_TIMEOUT_MS
 *
 * Return: 0, and @done will be called; or -EHOSTDOWN, -EAGAIN (no room and
 * not @wait), and the session has been put.
 */
int dsm_op_post(struct dsm_op *op, struct dsm_conn *conn,
		struct ib_send_wr *first, bool wait)
{
	const struct ib_send_wr *bad;
	struct ib_send_wr *wr;
	int err;

	op->conn = conn;
	op->error = 0;
	op->requests = 0;
	op->last.done = dsm_op_last;
	op->early.done = dsm_op_early;
	for (wr = first; wr; wr = wr->next) {
		wr->wr_cqe = wr->next ? &op->early : &op->last;
		wr->send_flags = wr->next ? 0 : IB_SEND_SIGNALED;
		/* A fence waits for the READs and atomics before it. */
		if (!dsm_ordered_reads && wr != first)
			wr->send_flags |= IB_SEND_FENCE;
		op->requests++;
	}
	err = dsm_conn_reserve(conn, op->requests, wait);
	if (err)
		goto put;
	/*
	 * A software device runs the request in a softirq: at once here, where
	 * somebody is going to wait for it, instead of in a thread later.
	 */
	if (wait)
		local_bh_disable();
	err = ib_post_send(conn->qp, first, &bad);
	if (wait)
		local_bh_enable();
	if (err) {
		/* There was room for all of them. */
		WARN_ON_ONCE(bad != first);
		dsm_conn_release(conn, op->requests);
		dsm_session_fail(conn->session, "post failed");
		err = -EHOSTDOWN;
		goto put;
	}
	return 0;
put:
	dsm_session_put(conn->session);
	return err;
}

struct dsm_sync {
	struct dsm_op op;
	struct completion done;
};

static void dsm_sync_done(struct dsm_op *op)
{
	complete(&container_of(op, struct dsm_sync, op)->done);
}

/**
 * dsm_session_read() - READ some bytes of the peer's memory and wait for them
 * @session: that the caller has got
 * @addr: remote address
 * @rkey: its key
 * @to: kmalloc()ed buffer
 * @len: bytes, a multiple of 8
 *
 * Context: process; sleeps until the request completes, about two seconds at
 * the most.
 * Return: 0 or -EHOSTDOWN, -ENOMEM.
 */
int dsm_session_read(struct dsm_session *session, u64 addr, u32 rkey, void *to,
		     size_t len)
{
	struct ib_device *dev = session->node->device;
	struct dsm_sync sync = {
		.op.done = dsm_sync_done,
		.done = COMPLETION_INITIALIZER_ONSTACK(sync.done),
	};
	u64 mark = dsm_read_mark(to, len);
	struct ib_sge sge = {
		.addr = ib_dma_map_single(dev, to, len, DMA_FROM_DEVICE),
		.length = len,
		.lkey = session->node->pd->local_dma_lkey,
	};
	struct ib_rdma_wr wr = {
		.wr.opcode = IB_WR_RDMA_READ,
		.wr.sg_list = &sge,
		.wr.num_sge = 1,
		.remote_addr = addr,
		.rkey = rkey,
	};
	int err;

	if (ib_dma_mapping_error(dev, sge.addr))
		return -ENOMEM;
	refcount_inc(&session->users);
	err = dsm_op_post(&sync.op, dsm_session_data(session), &wr.wr, true);
	if (!err) {
		wait_for_completion(&sync.done);
		err = sync.op.error;
	}
	ib_dma_unmap_single(dev, sge.addr, len, DMA_FROM_DEVICE);
	if (!err && !dsm_read_came(to, len, mark)) {
		dsm_session_hollow(session);
		err = -EHOSTDOWN;
	}
	return err;
}

/* ---- life ---- */

/**
 * dsm_session_alloc() - begin a session
 * @node: that we are
 * @active: we will connect
 *
 * The caller sets @owner, @changed and @request before it connects or accepts.
 * Return: the session or an ERR_PTR.
 */
struct dsm_session *dsm_session_alloc(struct dsm_node *node, bool active)
{
	struct dsm_session *s = kzalloc(sizeof(*s), GFP_KERNEL);
	unsigned int i;

	if (!s)
		return ERR_PTR(-ENOMEM);
	s->node = node;
	s->active = active;
	refcount_set(&s->users, 1);
	init_completion(&s->idle);
	spin_lock_init(&s->lock);
	init_waitqueue_head(&s->room);
	for (i = 0; i < DSM_CALLS; i++) {
		s->calls[i].id = i;
		init_completion(&s->calls[i].done);
	}
	for (i = 0; i < DSM_CONNS; i++) {
		s->conn[i].session = s;
		s->conn[i].index = i;
		init_completion(&s->conn[i].event);
	}
	if (dsm_receives_alloc(s)) {
		dsm_receives_free(s);
		kfree(s);
		return ERR_PTR(-ENOMEM);
	}
	return s;
}

/**
 * dsm_session_close() - disconnect, wait for all users, free
 * @session: that readers can no longer find (a grace period has passed)
 *
 * Context: process, not in a handler of the connection manager.
 */
void dsm_session_close(struct dsm_session *session)
{
	unsigned int i;

	set_bit(DSM_SESSION_FAILED, &session->flags);
	wake_up_all(&session->room);
	spin_lock_bh(&session->lock);
	for (i = 0; i < DSM_CALLS; i++)
		if (session->calls[i].busy)
			complete(&session->calls[i].done);
	spin_unlock_bh(&session->lock);

	/* Flush what is posted; a handler may still be adding a connection. */
	for (i = 0; i < DSM_CONNS; i++) {
		/* Pairs with the release of who connects or accepts. */
		struct rdma_cm_id *id = smp_load_acquire(&session->conn[i].id);

		if (!id)
			continue;
		rdma_disconnect(id);
		ib_drain_qp(session->conn[i].qp);
	}
	dsm_session_put(session);
	wait_for_completion(&session->idle);
	for (i = 0; i < DSM_CONNS; i++) {
		struct dsm_conn *conn = &session->conn[i];

		if (!conn->id)
			continue;
		rdma_disconnect(conn->id);
		dsm_conn_destroy_qp(conn, conn->id);
		rdma_destroy_id(conn->id);
	}
	dsm_receives_free(session);
	kfree_rcu(session, rcu);
}
