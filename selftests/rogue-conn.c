// SPDX-License-Identifier: GPL-2.0-only
/* Connections of the rogue: librdmacm with every step bounded. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <rdma/rdma_verbs.h>

#include "rogue-peer.h"

#define SLOT_BYTES 512 /* more than a message, for those that are too long */
#define SLOTS 48
#define SENDS 256
#define RETRIES 6 /* 7 would be for ever */
#define ACK_TIMEOUT 14 /* 4.096 us * 2^14, seven times: half a second */
#define CLOSED_POLL_MS 100
#define ESTABLISHED_US 10000

unsigned int conn_receives = SLOTS;

/* All connections of a process share one, with what is registered in it. */
static struct ibv_pd *domain;

static int domain_open(void)
{
	struct ibv_context **devices;
	int nr;

	if (domain)
		return 0;
	/* This makes the provider known that is linked in. */
	ibv_free_device_list(ibv_get_device_list(&nr));
	devices = rdma_get_devices(&nr);
	if (!devices || !nr)
		return -ENODEV;
	domain = ibv_alloc_pd(devices[0]);
	rdma_free_devices(devices);
	return domain ? 0 : -ENOMEM;
}

int memory_map(struct memory *m, size_t len, int access)
{
	int err = domain_open();

	if (err)
		return err;
	m->len = len;
	/* Shared, so that a fork changes nothing about it. */
	m->bytes = mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->bytes == MAP_FAILED)
		return -ENOMEM;
	m->mr = ibv_reg_mr(domain, m->bytes, len,
			   access | IBV_ACCESS_LOCAL_WRITE);
	return m->mr ? 0 : -errno;
}

void memory_unmap(struct memory *m)
{
	if (m->mr)
		ibv_dereg_mr(m->mr);
	if (m->bytes && m->bytes != MAP_FAILED)
		munmap(m->bytes, m->len);
	memset(m, 0, sizeof(*m));
}

static struct sockaddr_in node_address(unsigned int node, unsigned int port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(0x0a4d0000 + (node ? node : 10)),
	};

	return in;
}

/* The next event's type, or -ETIMEDOUT. */
static int conn_event(struct conn *c, int *status, unsigned int ms)
{
	struct pollfd pfd = { .fd = c->events->fd, .events = POLLIN };
	struct rdma_cm_event *event;
	int type;

	if (poll(&pfd, 1, (int)ms) != 1)
		return -ETIMEDOUT;
	if (rdma_get_cm_event(c->events, &event))
		return -errno;
	type = event->event;
	*status = event->status;
	memset(c->data, 0, sizeof(c->data));
	if (event->param.conn.private_data)
		memcpy(c->data, event->param.conn.private_data,
		       event->param.conn.private_data_len);
	rdma_ack_cm_event(event);
	if (type == RDMA_CM_EVENT_DISCONNECTED) {
		c->closed = true;
		rdma_disconnect(c->id);
	}
	return type;
}

static int conn_step(struct conn *c, int want)
{
	struct dsm_wire_reject *reject = (void *)c->data;
	int status;
	int type = conn_event(c, &status, STEP_MS);

	if (type == want)
		return 0;
	if (type < 0)
		return type;
	if (type == RDMA_CM_EVENT_REJECTED && reject->magic == DSM_WIRE_MAGIC)
		return -(int)reject->error;
	return type == RDMA_CM_EVENT_REJECTED ? -ECONNREFUSED : -EIO;
}

static int conn_post_receive(struct conn *c, unsigned char *slot)
{
	return rdma_post_recv(c->id, slot, slot, SLOT_BYTES, c->mr);
}

static int conn_create_qp(struct conn *c)
{
	struct ibv_qp_init_attr attr = {
		.cap.max_send_wr = SENDS,
		.cap.max_recv_wr = SLOTS,
		.cap.max_send_sge = 1,
		.cap.max_recv_sge = 1,
		.qp_type = IBV_QPT_RC,
	};
	__u8 timeout = ACK_TIMEOUT;
	int err = domain_open();

	if (!err &&
	    rdma_set_option(c->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT,
			    &timeout, sizeof(timeout)))
		err = -errno;
	if (err)
		return err;
	c->slots = mmap(NULL, (SLOTS + 1) * SLOT_BYTES, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->slots == MAP_FAILED) {
		c->slots = NULL;
		return -ENOMEM;
	}
	c->mr = ibv_reg_mr(domain, c->slots, (SLOTS + 1) * SLOT_BYTES,
			   IBV_ACCESS_LOCAL_WRITE);
	if (!c->mr || rdma_create_qp(c->id, domain, &attr))
		return -errno;
	for (unsigned int i = 0; i < conn_receives; i++)
		if (conn_post_receive(c, c->slots + i * SLOT_BYTES))
			return -errno;
	return 0;
}

static void conn_param(struct rdma_conn_param *param, const void *data,
		       size_t len)
{
	memset(param, 0, sizeof(*param));
	param->private_data = data;
	param->private_data_len = len;
	param->responder_resources = 16;
	param->initiator_depth = 16;
	param->retry_count = RETRIES;
	param->rnr_retry_count = RETRIES;
}

int conn_open(struct conn *c, unsigned int self, unsigned int peer,
	      const void *data, size_t len, bool half)
{
	struct sockaddr_in from = node_address(self, 0);
	struct sockaddr_in to = node_address(peer, ROGUE_PORT);
	static unsigned int half_number;
	struct rdma_conn_param param;
	int err = domain_open();

	memset(c, 0, sizeof(*c));
	if (err)
		return err;
	c->events = rdma_create_event_channel();
	if (!c->events || rdma_create_id(c->events, &c->id, c, RDMA_PS_TCP))
		return -errno;
	if (rdma_resolve_addr(c->id, (struct sockaddr *)&from,
			      (struct sockaddr *)&to, STEP_MS))
		return -errno;
	err = conn_step(c, RDMA_CM_EVENT_ADDR_RESOLVED);
	if (!err && rdma_resolve_route(c->id, STEP_MS))
		err = -errno;
	if (!err)
		err = conn_step(c, RDMA_CM_EVENT_ROUTE_RESOLVED);
	if (!err && !half)
		err = conn_create_qp(c);
	if (err)
		return err;
	conn_param(&param, data, len);
	/* Of a half one, which has none: two of one number are refused. */
	param.qp_num = 0xab0000 + half_number++;
	if (rdma_connect(c->id, &param))
		return -errno;
	/* What has no queue pair is left to us to establish. */
	return conn_step(c, half ? RDMA_CM_EVENT_CONNECT_RESPONSE
				 : RDMA_CM_EVENT_ESTABLISHED);
}

void conn_close(struct conn *c)
{
	if (c->id) {
		rdma_disconnect(c->id);
		if (c->id->qp)
			rdma_destroy_qp(c->id);
		if (c->mr)
			ibv_dereg_mr(c->mr);
		rdma_destroy_id(c->id);
	}
	if (c->slots)
		munmap(c->slots, (SLOTS + 1) * SLOT_BYTES);
	if (c->events)
		rdma_destroy_event_channel(c->events);
	memset(c, 0, sizeof(*c));
}

/* 0 with one completion, or -ETIMEDOUT. */
static int queue_wait(struct ibv_cq *cq, struct ibv_wc *wc, unsigned int ms)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	uint64_t end = now_ms() + ms;

	while (!ibv_poll_cq(cq, 1, wc)) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/*
 * A request of no bytes: it needs no key and changes nothing, but is acknowledged
 * by a queue pair only.  The victim cannot say that it disconnects where it was
 * not told yet that we are connected.
 */
static bool conn_is_dead(struct conn *c)
{
	struct ibv_send_wr *bad, wr = {
		.opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED,
	};
	struct ibv_wc wc;

	return ibv_post_send(c->id->qp, &wr, &bad) ||
	       queue_wait(c->id->send_cq, &wc, STEP_MS) || wc.status;
}

bool conn_is_closed(struct conn *c, unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	int status;

	if (c->closed)
		return true;
	do {
		if (conn_event(c, &status,
			       ms < CLOSED_POLL_MS ? ms : CLOSED_POLL_MS) ==
			    -ETIMEDOUT &&
		    ms && c->id->qp)
			c->closed = conn_is_dead(c);
	} while (!c->closed && now_ms() <= end);
	return c->closed;
}

static int conn_begin(struct conn *c, enum ibv_wr_opcode opcode, void *local,
		      size_t len, struct ibv_mr *mr, uint64_t addr,
		      uint32_t rkey)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)local,
		.length = (uint32_t)len,
		.lkey = mr->lkey,
	};
	struct ibv_send_wr wr = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = opcode,
		.send_flags = IBV_SEND_SIGNALED,
	};
	struct ibv_send_wr *bad;

	if (opcode == IBV_WR_ATOMIC_CMP_AND_SWP) {
		wr.wr.atomic.remote_addr = addr;
		wr.wr.atomic.rkey = rkey;
		wr.wr.atomic.swap = ~0ULL;
	} else {
		wr.wr.rdma.remote_addr = addr;
		wr.wr.rdma.rkey = rkey;
	}
	return -ibv_post_send(c->id->qp, &wr, &bad);
}

int conn_post(struct conn *c, enum ibv_wr_opcode opcode, void *local,
	      size_t len, struct ibv_mr *mr, uint64_t addr, uint32_t rkey)
{
	struct ibv_wc wc;
	int err = conn_begin(c, opcode, local, len, mr, addr, rkey);

	if (!err)
		err = queue_wait(c->id->send_cq, &wc, STEP_MS);
	return err ? err : -(int)wc.status;
}

int conn_send(struct conn *c, const void *bytes, size_t len)
{
	unsigned char *slot = c->slots + SLOTS * SLOT_BYTES;

	memcpy(slot, bytes, len);
	return conn_post(c, IBV_WR_SEND, slot, len, c->mr, 0, 0);
}

int conn_flood(struct conn *c, const void *bytes, size_t len,
	       unsigned int count)
{
	unsigned char *slot = c->slots + SLOTS * SLOT_BYTES;
	int err = 0;

	memcpy(slot, bytes, len);
	while (count-- && !err)
		err = conn_begin(c, IBV_WR_SEND, slot, len, c->mr, 0, 0);
	return err;
}

int conn_receive(struct conn *c, struct dsm_wire_message *message,
		 unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	unsigned char *slot;
	struct ibv_wc wc;
	int err;

	/* What came before the end counts. */
	while ((err = queue_wait(c->id->recv_cq, &wc,
				 ms < CLOSED_POLL_MS ? ms : CLOSED_POLL_MS)))
		if (c->closed || now_ms() >= end)
			return c->closed ? -ECONNRESET : err;
		else
			conn_is_closed(c, 1);
	if (wc.status)
		return -ECONNRESET;
	slot = (unsigned char *)(uintptr_t)wc.wr_id;
	memset(message, 0, sizeof(*message));
	if (wc.byte_len > sizeof(*message))
		return -EMSGSIZE;
	memcpy(message, slot, wc.byte_len);
	conn_post_receive(c, slot);
	return (int)wc.byte_len;
}

/* ---- the passive side ---- */

int listener_open(struct listener *l, unsigned int self)
{
	struct sockaddr_in at = node_address(self, ROGUE_PORT);
	int err = domain_open();

	if (err)
		return err;
	l->events = rdma_create_event_channel();
	if (!l->events ||
	    rdma_create_id(l->events, &l->id, NULL, RDMA_PS_TCP) ||
	    rdma_bind_addr(l->id, (struct sockaddr *)&at) ||
	    rdma_listen(l->id, 16))
		return -errno;
	return 0;
}

void listener_close(struct listener *l)
{
	if (l->id)
		rdma_destroy_id(l->id);
	if (l->events)
		rdma_destroy_event_channel(l->events);
	memset(l, 0, sizeof(*l));
}

int listener_next(struct listener *l, unsigned int index, struct conn *c,
		  struct dsm_wire_open *open, unsigned int ms)
{
	struct pollfd pfd = { .fd = l->events->fd, .events = POLLIN };
	uint64_t end = now_ms() + ms;
	struct rdma_cm_event *event;
	struct rdma_cm_id *id;
	uint64_t now;

	memset(c, 0, sizeof(*c));
	while ((now = now_ms()) <= end) {
		if (poll(&pfd, 1, (int)(end - now)) != 1)
			break;
		if (rdma_get_cm_event(l->events, &event))
			return -errno;
		id = event->id;
		if (event->event != RDMA_CM_EVENT_CONNECT_REQUEST) {
			rdma_ack_cm_event(event);
			continue;
		}
		memcpy(open, event->param.conn.private_data, sizeof(*open));
		rdma_ack_cm_event(event);
		if (open->from != VICTIM || open->conn != index) {
			rdma_reject(id, NULL, 0);
			rdma_destroy_id(id);
			continue;
		}
		c->events = rdma_create_event_channel();
		if (!c->events || rdma_migrate_id(id, c->events))
			return -errno;
		c->id = id;
		return 0;
	}
	return -ETIMEDOUT;
}

int conn_accept(struct conn *c, const void *data, size_t len)
{
	struct rdma_conn_param param;
	int err = conn_create_qp(c);

	if (err)
		return err;
	conn_param(&param, data, len);
	if (rdma_accept(c->id, &param))
		return -errno;
	return conn_step(c, RDMA_CM_EVENT_ESTABLISHED);
}
