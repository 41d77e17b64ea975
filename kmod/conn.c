// SPDX-License-Identifier: GPL-2.0-only
/* Connections of a session: queue pairs that the connection manager connects. */
#include <linux/slab.h>
#include "node.h"
#include "session.h"

static void dsm_conn_qp_event(struct ib_event *event, void *context)
{
	struct dsm_conn *conn = context;

	/* Pairs with the release of who connects or accepts. */
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
		smp_mb();	/* pairs with that in dsm_handshake_ready() */
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

/**
 * dsm_conn_destroy_qp() - flush the queue pair and free it
 * @conn: that has one
 * @id: its rdma_cm id
 *
 * Context: process.  All that was posted has completed when it returns.
 */
void dsm_conn_destroy_qp(struct dsm_conn *conn, struct rdma_cm_id *id)
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
	/* From here on dsm_session_close() takes it apart: pairs with its loads. */
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
