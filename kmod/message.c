// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages of a session: requests and answers over its control connection.
 *
 * A node has DSM_CALLS requests under way at the most and posts a receive for
 * each answer to them, for as many requests of the peer, and a few more; a
 * receive is posted again when its request has been handled.  So no message
 * comes without a receive for it.  Answers are taken in the completion, requests
 * in a work of their own: a handler may ask a peer that asks us.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "node.h"
#include "session.h"

struct dsm_send {
	struct ib_cqe cqe;
	struct dsm_session *session;
	dma_addr_t dma;
	const char *last;	/* why the session ends with it, or NULL */
	struct dsm_wire_message message;
};

static void dsm_send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct dsm_send *send = container_of(wc->wr_cqe, struct dsm_send, cqe);
	struct dsm_session *s = send->session;

	if (wc->status != IB_WC_SUCCESS)
		dsm_session_fail(s, ib_wc_status_msg(wc->status));
	else if (send->last)
		dsm_session_fail(s, send->last);
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
	case DSM_MSG_ALLOC:
		return DSM_COUNTER_MESSAGES_ALLOC;
	case DSM_MSG_REVOKE:
	case DSM_MSG_REGION_ENDED:
	case DSM_MSG_REGION_GONE:
		return DSM_COUNTER_MESSAGES_REVOKE;
	default:
		return DSM_COUNTER_MESSAGES_REGION;
	}
}

static int dsm_session_send(struct dsm_session *s, unsigned int type, u32 call,
			    int error, const void *payload, size_t len,
			    const char *last)
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
	send->last = last;
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
				error ? 0 : len, NULL);
}

/**
 * dsm_session_refuse() - answer a request with an error and give the session up
 * @session: that it came on
 * @request: that should not have been made
 * @error: a negative errno
 * @why: for the log; a constant string
 *
 * The session fails when the peer has the answer, so that it learns why, or has
 * not acknowledged it in time.  Until then nothing it asks is listened to.
 */
void dsm_session_refuse(struct dsm_session *session,
			const struct dsm_wire_message *request, int error,
			const char *why)
{
	set_bit(DSM_SESSION_REFUSED, &session->flags);
	dsm_stat_add(session->node->stat, DSM_COUNTER_MESSAGES_REFUSED, 1);
	if (dsm_session_send(session, le16_to_cpu(request->head.type) | DSM_MSG_REPLY,
			     le32_to_cpu(request->head.call), error, NULL, 0, why))
		dsm_session_fail(session, why);
}

static struct dsm_call *dsm_call_claim(struct dsm_session *s, unsigned int type,
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
		call->type = type;
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

static bool dsm_call_may_begin(struct dsm_session *s, unsigned int type,
			       struct dsm_wire_message *reply, struct dsm_call **call)
{
	if (test_bit(DSM_SESSION_FAILED, &s->flags))
		return true;
	*call = dsm_call_claim(s, type, reply);
	return *call;
}

static bool dsm_call_is_over(struct dsm_session *s, struct dsm_call *call)
{
	return completion_done(&call->done) || test_bit(DSM_SESSION_FAILED, &s->flags);
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
					   dsm_call_may_begin(session, type, reply, &call),
					   left);
	if (!call && left < 0)
		return -EINTR;
	if (!call) {
		dsm_session_fail(session, "requests pile up");
		return -EHOSTDOWN;
	}
	err = dsm_session_send(session, type, call->id, 0, payload, len, NULL);
	if (err)
		goto release;
	left = wait_event_killable_timeout(session->room,
					   dsm_call_is_over(session, call),
					   max(left, 1L));
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

/* Returns false if it answers something else than what was asked. */
static bool dsm_session_answer(struct dsm_session *s,
			       const struct dsm_wire_message *message, size_t len)
{
	u32 id = le32_to_cpu(message->head.call);
	u32 error = le32_to_cpu(message->head.error);
	struct dsm_call *call = &s->calls[id % DSM_CALLS];
	bool fits = true;

	spin_lock(&s->lock);
	/* Of a call that was interrupted the answer comes late. */
	if (call->busy && call->id == id && !completion_done(&call->done))
		fits = le16_to_cpu(message->head.type) == (call->type | DSM_MSG_REPLY);
	else
		call = NULL;
	if (call && fits) {
		call->error = error < DSM_WIRE_MAX_ERROR ? -(int)error : -EPROTO;
		if (call->reply) {
			memset(call->reply, 0, sizeof(*call->reply));
			memcpy(call->reply, message, len);
		}
		complete(&call->done);
	}
	spin_unlock(&s->lock);
	wake_up_all(&s->room);
	return fits;
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

	if (!test_bit(DSM_SESSION_REFUSED, &s->flags))
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
	    (!(type & DSM_MSG_REPLY) && message->head.error) ||
	    (type & ~DSM_MSG_REPLY) == 0 || (type & ~DSM_MSG_REPLY) >= DSM_MSG_NR)
		goto refuse;
	dsm_stat_add(s->node->stat, DSM_COUNTER_MESSAGES_RECEIVED, 1);
	if (type & DSM_MSG_REPLY) {
		if (!dsm_session_answer(s, message, wc->byte_len))
			goto refuse;
		dsm_receive_again(receive);
		return;
	}
	if (!dsm_session_get(s))
		return;
	queue_work(s->node->wq, &receive->work);
	return;
refuse:
	dsm_stat_add(s->node->stat, DSM_COUNTER_MESSAGES_REFUSED, 1);
	dsm_session_fail(s, "malformed message");
}

/**
 * dsm_receives_post() - be ready for messages
 * @s: whose control connection has a queue pair
 */
int dsm_receives_post(struct dsm_session *s)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < DSM_RECEIVES && !err; i++)
		err = dsm_receive_post(&s->receives[i]);
	return err;
}

/**
 * dsm_receives_free() - free the receive buffers
 * @s: whose control connection has no queue pair
 */
void dsm_receives_free(struct dsm_session *s)
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

/**
 * dsm_receives_alloc() - set the receive buffers up
 * @s: a new session
 *
 * On failure dsm_receives_free() cleans up.  Return: 0 or -ENOMEM.
 */
int dsm_receives_alloc(struct dsm_session *s)
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
