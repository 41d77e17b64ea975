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

#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "node.h"
#include "session.h"
#include "trace.h"

struct dsm_send {
	struct ib_cqe cqe;
	struct dsm_session *session;
	dma_addr_t dma;
	struct dsm_wire_message message;
};

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

static void dsm_conn_release(struct dsm_conn *conn, unsigned int requests)
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

static int dsm_conn_reserve(struct dsm_conn *conn, int requests, bool wait)
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
 * @first: the chain; completion and signal flags are filled in here
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
 * @len: bytes
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
	return err;
}

/* ---- messages ---- */

static void dsm_send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct dsm_send *send = container_of(wc->wr_cqe, struct dsm_send, cqe);
	struct dsm_session *s = send->session;

	if (wc->status != IB_WC_SUCCESS)
		dsm_session_fail(s, ib_wc_status_msg(wc->status));
	ib_dma_unmap_single(s->node->device, send->dma,
			    sizeof(send->message), DMA_TO_DEVICE);
	dsm_conn_release(&s->conn[0], 1);
	kfree(send);
	dsm_session_put(s);
}

static enum dsm_counter dsm_message_counter(unsigned int type)
{
	switch (type & ~DSM_MSG_REPLY) {
	case DSM_MSG_PROOF:
	case DSM_MSG_HELLO:
	case DSM_MSG_READY:
		return DSM_COUNTER_MESSAGES_HELLO;
	case DSM_MSG_NAME_PUBLISH:
	case DSM_MSG_NAME_LOOKUP:
	case DSM_MSG_NAME_NEWS:
		return DSM_COUNTER_MESSAGES_NAME;
	case DSM_MSG_REVOKE:
	case DSM_MSG_REGION_GONE:
		return DSM_COUNTER_MESSAGES_REVOKE;
	default:
		return DSM_COUNTER_MESSAGES_REGION;
	}
}

static int dsm_session_send(struct dsm_session *s, unsigned int type, u32 call,
			    int error, const void *payload, size_t len)
{
	struct ib_device *dev = s->node->device;
	struct dsm_conn *conn = &s->conn[0];
	struct ib_send_wr wr = {
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
		.num_sge = 1,
	};
	struct dsm_send *send;
	struct ib_sge sge;
	int err;

	if (WARN_ON_ONCE(len > sizeof(send->message.bytes)))
		return -EINVAL;
	send = kzalloc(sizeof(*send), GFP_KERNEL);
	if (!send)
		return -ENOMEM;
	send->session = s;
	send->cqe.done = dsm_send_done;
	send->message.head.type = cpu_to_le16(type);
	send->message.head.len = cpu_to_le16(len);
	send->message.head.call = cpu_to_le32(call);
	send->message.head.error = cpu_to_le32(-error);
	if (len)
		memcpy(send->message.bytes, payload, len);

	if (!dsm_session_get(s)) {
		err = -EHOSTDOWN;
		goto free;
	}
	send->dma = ib_dma_map_single(dev, &send->message,
				      sizeof(send->message), DMA_TO_DEVICE);
	if (ib_dma_mapping_error(dev, send->dma)) {
		err = -ENOMEM;
		goto put;
	}
	err = dsm_conn_reserve(conn, 1, true);
	if (err)
		goto unmap;
	sge.addr = send->dma;
	sge.length = sizeof(send->message.head) + len;
	sge.lkey = s->node->pd->local_dma_lkey;
	wr.wr_cqe = &send->cqe;
	wr.sg_list = &sge;
	err = ib_post_send(conn->qp, &wr, NULL);
	if (err) {
		dsm_session_fail(s, "send failed");
		err = -EHOSTDOWN;
		goto release;
	}
	dsm_stat_add(s->node->stat, DSM_COUNTER_MESSAGES_SENT, 1);
	dsm_stat_add(s->node->stat, dsm_message_counter(type), 1);
	return 0;

release:
	dsm_conn_release(conn, 1);
unmap:
	ib_dma_unmap_single(dev, send->dma, sizeof(send->message), DMA_TO_DEVICE);
put:
	dsm_session_put(s);
free:
	kfree(send);
	return err;
}

/**
 * dsm_session_reply() - answer a request
 * @session: that it came on
 * @request: the request
 * @error: 0 or a negative errno
 * @payload: of the answer
 * @len: bytes of it
 */
int dsm_session_reply(struct dsm_session *session,
		      const struct dsm_wire_message *request, int error,
		      const void *payload, size_t len)
{
	return dsm_session_send(session,
				le16_to_cpu(request->head.type) | DSM_MSG_REPLY,
				le32_to_cpu(request->head.call), error, payload,
				error ? 0 : len);
}

static struct dsm_call *dsm_call_claim(struct dsm_session *s,
				       struct dsm_wire_message *reply)
{
	struct dsm_call *found = NULL;
	unsigned int i;

	spin_lock_bh(&s->lock);
	for (i = 0; i < DSM_CALLS; i++) {
		struct dsm_call *call = &s->calls[i];

		if (call->busy)
			continue;
		call->busy = true;
		call->error = -EHOSTDOWN;
		call->reply = reply;
		/* The slot in the low bits, the rest tells a late answer. */
		call->id += DSM_CALLS;
		reinit_completion(&call->done);
		found = call;
		break;
	}
	spin_unlock_bh(&s->lock);
	return found;
}

static int dsm_call_release(struct dsm_session *s, struct dsm_call *call)
{
	int err;

	spin_lock_bh(&s->lock);
	err = call->error;
	call->busy = false;
	call->reply = NULL;
	spin_unlock_bh(&s->lock);
	wake_up_all(&s->room);
	return err;
}

/**
 * dsm_session_call() - send a request and wait for the answer
 * @session: that the caller has got
 * @type: of the request
 * @payload: what it says
 * @len: bytes of it
 * @reply: out: the answer; may be NULL
 * @timeout_ms: how long to wait for it
 *
 * Context: process; sleeps, killable.
 * Return: the peer's answer (0 or a negative errno), -EHOSTDOWN if the session
 * failed or the peer kept silent, -EINTR, -ENOMEM.
 */
int dsm_session_call(struct dsm_session *session, enum dsm_wire_type type,
		     const void *payload, size_t len,
		     struct dsm_wire_message *reply, unsigned int timeout_ms)
{
	struct dsm_call *call = NULL;
	long left = msecs_to_jiffies(timeout_ms);
	int err;

	left = wait_event_killable_timeout(session->room,
		test_bit(DSM_SESSION_FAILED, &session->flags) ||
		(call = dsm_call_claim(session, reply)), left);
	if (!call && left < 0)
		return -EINTR;
	if (!call) {
		dsm_session_fail(session, "requests pile up");
		return -EHOSTDOWN;
	}
	err = dsm_session_send(session, type, call->id, 0, payload, len);
	if (err)
		goto release;
	left = wait_event_killable_timeout(session->room,
		completion_done(&call->done) ||
		test_bit(DSM_SESSION_FAILED, &session->flags), max(left, 1L));
	if (left <= 0) {
		dsm_call_release(session, call);
		if (left < 0)
			return -EINTR;
		/* A peer that acknowledges but never answers is as good as dead. */
		dsm_session_fail(session, "no answer");
		return -EHOSTDOWN;
	}
	return dsm_call_release(session, call);
release:
	dsm_call_release(session, call);
	return err;
}

static void dsm_session_answer(struct dsm_session *s,
			       const struct dsm_wire_message *message, size_t len)
{
	u32 id = le32_to_cpu(message->head.call);
	u32 error = le32_to_cpu(message->head.error);
	struct dsm_call *call = &s->calls[id % DSM_CALLS];

	spin_lock(&s->lock);
	if (call->busy && call->id == id && !completion_done(&call->done)) {
		call->error = error < DSM_WIRE_MAX_ERROR ? -(int)error : -EPROTO;
		if (call->reply) {
			memset(call->reply, 0, sizeof(*call->reply));
			memcpy(call->reply, message, len);
		}
		complete(&call->done);
	}
	spin_unlock(&s->lock);
	wake_up_all(&s->room);
}

static int dsm_receive_post(struct dsm_receive *receive)
{
	struct dsm_session *s = receive->session;
	struct ib_sge sge = {
		.addr = receive->dma,
		.length = DSM_WIRE_MESSAGE_BYTES,
		.lkey = s->node->pd->local_dma_lkey,
	};
	struct ib_recv_wr wr = {
		.wr_cqe = &receive->cqe,
		.sg_list = &sge,
		.num_sge = 1,
	};

	return ib_post_recv(s->conn[0].qp, &wr, NULL);
}

static void dsm_receive_again(struct dsm_receive *receive)
{
	struct dsm_session *s = receive->session;

	memset(receive->message, 0, DSM_WIRE_MESSAGE_BYTES);
	ib_dma_sync_single_for_device(s->node->device, receive->dma,
				      DSM_WIRE_MESSAGE_BYTES, DMA_FROM_DEVICE);
	if (!test_bit(DSM_SESSION_FAILED, &s->flags) && dsm_receive_post(receive))
		dsm_session_fail(s, "receive failed");
}

static void dsm_receive_work(struct work_struct *work)
{
	struct dsm_receive *receive = container_of(work, struct dsm_receive, work);
	struct dsm_session *s = receive->session;

	s->request(s, receive->message);
	dsm_receive_again(receive);
	dsm_session_put(s);
}

static void dsm_receive_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct dsm_receive *receive = container_of(wc->wr_cqe, struct dsm_receive, cqe);
	const struct dsm_wire_message *message = receive->message;
	struct dsm_session *s = receive->session;
	unsigned int type;

	if (wc->status != IB_WC_SUCCESS) {
		dsm_session_fail(s, ib_wc_status_msg(wc->status));
		return;
	}
	ib_dma_sync_single_for_cpu(s->node->device, receive->dma,
				   DSM_WIRE_MESSAGE_BYTES, DMA_FROM_DEVICE);
	type = le16_to_cpu(message->head.type);
	if (wc->byte_len < sizeof(message->head) ||
	    wc->byte_len > sizeof(*message) ||
	    le16_to_cpu(message->head.len) != wc->byte_len - sizeof(message->head) ||
	    message->head.reserved ||
	    (type & ~DSM_MSG_REPLY) == 0 || (type & ~DSM_MSG_REPLY) >= DSM_MSG_NR) {
		dsm_stat_add(s->node->stat, DSM_COUNTER_MESSAGES_REFUSED, 1);
		dsm_session_fail(s, "malformed message");
		return;
	}
	dsm_stat_add(s->node->stat, DSM_COUNTER_MESSAGES_RECEIVED, 1);
	if (type & DSM_MSG_REPLY) {
		dsm_session_answer(s, message, wc->byte_len);
		dsm_receive_again(receive);
		return;
	}
	if (!dsm_session_get(s))
		return;
	queue_work(s->node->wq, &receive->work);
}

static int dsm_receives_post(struct dsm_session *s)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < DSM_RECEIVES && !err; i++)
		err = dsm_receive_post(&s->receives[i]);
	return err;
}

static void dsm_receives_free(struct dsm_session *s)
{
	unsigned int i;

	if (!s->receives)
		return;
	for (i = 0; i < DSM_RECEIVES; i++) {
		struct dsm_receive *receive = &s->receives[i];

		if (!receive->message)
			break;
		ib_dma_unmap_single(s->node->device, receive->dma,
				    DSM_WIRE_MESSAGE_BYTES, DMA_FROM_DEVICE);
		kfree(receive->message);
	}
	kvfree(s->receives);
}

static int dsm_receives_alloc(struct dsm_session *s)
{
	struct ib_device *dev = s->node->device;
	unsigned int i;

	s->receives = kvcalloc(DSM_RECEIVES, sizeof(*s->receives), GFP_KERNEL);
	if (!s->receives)
		return -ENOMEM;
	for (i = 0; i < DSM_RECEIVES; i++) {
		struct dsm_receive *receive = &s->receives[i];
		void *message = kzalloc(DSM_WIRE_MESSAGE_BYTES, GFP_KERNEL);

		if (!message)
			return -ENOMEM;
		receive->dma = ib_dma_map_single(dev, message,
						 DSM_WIRE_MESSAGE_BYTES,
						 DMA_FROM_DEVICE);
		if (ib_dma_mapping_error(dev, receive->dma)) {
			kfree(message);
			return -ENOMEM;
		}
		receive->message = message;
		receive->session = s;
		receive->cqe.done = dsm_receive_done;
		INIT_WORK(&receive->work, dsm_receive_work);
	}
	return 0;
}

/* ---- connections ---- */

static void dsm_conn_qp_event(struct ib_event *event, void *context)
{
	struct dsm_conn *conn = context;

	struct rdma_cm_id *id = smp_load_acquire(&conn->id);

	if (event->event == IB_EVENT_COMM_EST) {
		if (id)
			rdma_notify(id, event->event);
	} else if (event->event != IB_EVENT_QP_LAST_WQE_REACHED) {
		dsm_session_fail(conn->session, ib_event_msg(event->event));
	}
}

/* Context: of the connection manager, process; one event of an id at a time. */
static int dsm_conn_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct dsm_conn *conn = id->context;
	struct dsm_session *s = conn->session;

	switch (event->event) {
	case RDMA_CM_EVENT_ESTABLISHED:
		if (s->active && event->param.conn.private_data)
			memcpy(&conn->reply, event->param.conn.private_data,
			       min_t(size_t, sizeof(conn->reply),
				     event->param.conn.private_data_len));
		WRITE_ONCE(conn->established, true);
		smp_mb();	/* pairs with that in dsm_link_ready() */
		if (!s->active && test_bit(DSM_SESSION_READY, &s->flags))
			s->changed(s);
		break;
	case RDMA_CM_EVENT_REJECTED:
		if (event->param.conn.private_data &&
		    event->param.conn.private_data_len >= sizeof(struct dsm_wire_reject)) {
			const struct dsm_wire_reject *r = event->param.conn.private_data;
			u32 error = le32_to_cpu(r->error);

			if (r->magic == cpu_to_le32(DSM_WIRE_MAGIC) &&
			    error && error <= MAX_ERRNO)
				conn->status = -(int)error;
		}
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		/* So that what is posted is flushed now, not after the retries. */
		rdma_disconnect(id);
		fallthrough;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
	case RDMA_CM_EVENT_ADDR_CHANGE:
		dsm_session_fail(s, rdma_event_msg(event->event));
		break;
	default:
		break;
	}
	conn->step = event->event;
	if (event->event != RDMA_CM_EVENT_REJECTED || !conn->status)
		conn->status = event->status;
	complete(&conn->event);
	wake_up_all(&s->room);
	return 0;
}

static int dsm_conn_wait(struct dsm_conn *conn, enum rdma_cm_event_type want)
{
	struct dsm_session *s = conn->session;

	/* Who gives the session up meanwhile ends the wait. */
	if (!wait_event_timeout(s->room, try_wait_for_completion(&conn->event) ||
				test_bit(DSM_SESSION_FAILED, &s->flags),
				msecs_to_jiffies(DSM_CM_TIMEOUT_MS)))
		return -EHOSTDOWN;
	if (conn->step == want)
		return 0;
	if (conn->step == RDMA_CM_EVENT_REJECTED && conn->status == -EKEYREJECTED)
		return -EKEYREJECTED;
	return -EHOSTDOWN;
}

static void dsm_conn_destroy_qp(struct dsm_conn *conn, struct rdma_cm_id *id)
{
	ib_drain_qp(conn->qp);
	rdma_destroy_qp(id);
	ib_free_cq(conn->cq);
}

static int dsm_conn_create_qp(struct dsm_conn *conn, struct rdma_cm_id *id)
{
	struct dsm_session *s = conn->session;
	unsigned int requests = conn->index ? DSM_DATA_REQUESTS : DSM_CONTROL_REQUESTS;
	unsigned int receives = conn->index ? 1 : DSM_RECEIVES;
	/* Draining posts one more to each queue. */
	struct ib_qp_init_attr attr = {
		.event_handler = dsm_conn_qp_event,
		.qp_context = conn,
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
		.cap.max_send_wr = requests + 1,
		.cap.max_recv_wr = receives + 1,
		.cap.max_send_sge = conn->index ? s->node->max_sge : 1,
		.cap.max_recv_sge = 1,
	};
	int err;

	if (id->device != s->node->device)
		return -EXDEV;
	conn->cq = ib_alloc_cq_any(id->device, conn, requests + receives + 2,
				   IB_POLL_SOFTIRQ);
	if (IS_ERR(conn->cq))
		return PTR_ERR(conn->cq);
	attr.send_cq = conn->cq;
	attr.recv_cq = conn->cq;
	err = rdma_create_qp(id, s->node->pd, &attr);
	if (err) {
		ib_free_cq(conn->cq);
		return err;
	}
	conn->qp = id->qp;
	atomic_set(&conn->free, requests);
	err = conn->index == 0 ? dsm_receives_post(s) : 0;
	if (err)
		dsm_conn_destroy_qp(conn, id);
	return err;
}

static void dsm_conn_param(struct dsm_conn *conn, struct rdma_conn_param *param)
{
	unsigned int depth = conn->index ? conn->session->node->reads_in_flight : 0;

	param->responder_resources = depth;
	param->initiator_depth = depth;
	param->retry_count = DSM_RETRIES;
	param->rnr_retry_count = DSM_RETRIES;
}

/**
 * dsm_conn_connect() - connect to a peer and wait until it has accepted
 * @conn: of an active session
 * @from: our address; the port is chosen by the system
 * @to: the peer's address and port
 * @open: private data
 *
 * Context: process; each of three steps takes DSM_CM_TIMEOUT_MS at the most.
 * Return: 0 with @conn->reply filled, -EHOSTDOWN, -EKEYREJECTED or an error of
 * the RDMA core.
 */
int dsm_conn_connect(struct dsm_conn *conn, const struct sockaddr_storage *from,
		     const struct sockaddr_storage *to,
		     const struct dsm_wire_open *open)
{
	struct rdma_conn_param param = {
		.private_data = open,
		.private_data_len = sizeof(*open),
	};
	struct sockaddr_storage src = *from, dst = *to;
	struct rdma_cm_id *id;
	int err;

	if (src.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&src)->sin6_port = 0;
	else
		((struct sockaddr_in *)&src)->sin_port = 0;

	id = rdma_create_id(&init_net, dsm_conn_event, conn, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(id))
		return PTR_ERR(id);
	err = rdma_resolve_addr(id, (struct sockaddr *)&src,
				(struct sockaddr *)&dst, DSM_CM_TIMEOUT_MS);
	if (!err)
		err = dsm_conn_wait(conn, RDMA_CM_EVENT_ADDR_RESOLVED);
	if (err)
		goto destroy;
	rdma_set_ack_timeout(id, DSM_ACK_TIMEOUT);
	rdma_set_min_rnr_timer(id, DSM_RNR_TIMER);
	err = rdma_resolve_route(id, DSM_CM_TIMEOUT_MS);
	if (!err)
		err = dsm_conn_wait(conn, RDMA_CM_EVENT_ROUTE_RESOLVED);
	if (err)
		goto destroy;
	err = dsm_conn_create_qp(conn, id);
	if (err)
		goto destroy;
	/* From here on dsm_session_close() takes the connection apart. */
	smp_store_release(&conn->id, id);
	dsm_conn_param(conn, &param);
	err = rdma_connect(id, &param);
	if (err)
		return err;
	return dsm_conn_wait(conn, RDMA_CM_EVENT_ESTABLISHED);

destroy:
	rdma_destroy_id(id);
	return err;
}

/**
 * dsm_conn_accept() - accept a peer's connection
 * @conn: of a passive session
 * @id: as it came with the request
 * @accept: private data
 *
 * Context: handler of the connection manager.
 * Return: 0, or an error and @conn does not own @id: the handler must return
 * it, so that the connection manager destroys @id.
 */
int dsm_conn_accept(struct dsm_conn *conn, struct rdma_cm_id *id,
		    const struct dsm_wire_accept *accept)
{
	struct rdma_conn_param param = {
		.private_data = accept,
		.private_data_len = sizeof(*accept),
	};
	int err;

	rdma_set_ack_timeout(id, DSM_ACK_TIMEOUT);
	rdma_set_min_rnr_timer(id, DSM_RNR_TIMER);
	err = dsm_conn_create_qp(conn, id);
	if (err)
		return err;
	id->context = conn;
	id->event_handler = dsm_conn_event;
	dsm_conn_param(conn, &param);
	err = rdma_accept(id, &param);
	if (err) {
		dsm_conn_destroy_qp(conn, id);
		return err;
	}
	/* Pairs with the loads of those that close the session or hear of it. */
	smp_store_release(&conn->id, id);
	return 0;
}

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
