// SPDX-License-Identifier: GPL-2.0-only
/* Sessions of the rogue: the set-up of kmod/handshake.c from the other side. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "hmac.h"
#include "rogue-peer.h"

#define BUSY_MS 20

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "as the wire is");

static struct {
	bool known;
	struct dsm_info info;
	unsigned char key[HMAC_BYTES];
	__u32 geometry;
} cluster;

static __u32 crc32_le(__u32 crc, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len--) {
		crc ^= *p++;
		for (unsigned int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc;
}

static void cluster_key(void)
{
	FILE *conf = fopen("/tmp/dsm.conf", "re");
	char line[256], hex[3] = "";

	if (!conf)
		abort();
	while (fgets(line, sizeof(line), conf)) {
		if (strncmp(line, "key ", 4))
			continue;
		for (unsigned int i = 0; i < HMAC_BYTES; i++) {
			memcpy(hex, line + 4 + 2 * i, 2);
			cluster.key[i] = strtoul(hex, NULL, 16);
		}
	}
	fclose(conf);
}

static void cluster_know(void)
{
	__u64 numbers[3];
	int fd;

	if (cluster.known)
		return;
	cluster.info.size = sizeof(cluster.info);
	fd = device_open(O_RDONLY);
	if (fd < 0 || request(fd, DSM_IOC_INFO, &cluster.info))
		abort();
	close(fd);
	numbers[0] = cluster.info.base;
	numbers[1] = cluster.info.span;
	numbers[2] = cluster.info.max_nodes;
	cluster.geometry =
		crc32_le(~0U, cluster.info.name, strlen(cluster.info.name));
	cluster.geometry = crc32_le(cluster.geometry, numbers, sizeof(numbers));
	cluster_key();
	cluster.known = true;
}

static bool config_line(char *line, size_t size, const char *file,
			const char *begin)
{
	char path[256];
	bool found = false;
	FILE *f;

	cluster_know();
	snprintf(path, sizeof(path), "/sys/kernel/config/dsm/%s/%s",
		 cluster.info.name, file);
	f = fopen(path, "re");
	while (f && !found && fgets(line, (int)size, f))
		found = !strncmp(line, begin, strlen(begin));
	if (f)
		fclose(f);
	return found;
}

static __u64 cluster_epoch(void)
{
	char line[64] = "0";

	config_line(line, sizeof(line), "epoch", "");
	return strtoull(line, NULL, 10);
}

bool link_is(unsigned int node, unsigned int peer, const char *state)
{
	char file[32], begin[16], line[64];

	snprintf(file, sizeof(file), "nodes/%u/links", node);
	snprintf(begin, sizeof(begin), "%u ", peer);
	if (!config_line(line, sizeof(line), file, begin))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return !strcmp(line + strlen(begin), state);
}

struct link_wish {
	unsigned int node;
	unsigned int peer;
	const char *state;
};

static bool link_wished(void *arg)
{
	const struct link_wish *wish = arg;

	return link_is(wish->node, wish->peer, wish->state);
}

bool link_becomes(unsigned int node, unsigned int peer, const char *state,
		  unsigned int ms)
{
	struct link_wish wish = { node, peer, state };

	return wait_until(link_wished, &wish, ms);
}

uint64_t ledger_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ((uint64_t)(ts.tv_sec - 1735689600) * 1000000000 +
		(uint64_t)ts.tv_nsec) /
	       32;
}

void open_fill(struct dsm_wire_open *open, unsigned int self, unsigned int peer,
	       unsigned int index)
{
	cluster_know();
	memset(open, 0, sizeof(*open));
	open->magic = DSM_WIRE_MAGIC;
	open->version = DSM_WIRE_VERSION;
	open->from = self;
	open->to = peer;
	open->geometry = cluster.geometry;
	open->conn = index;
	open->epoch = cluster_epoch();
}

void proof_make(const struct proof_of *about, enum proof_role role,
		unsigned int index, __u8 proof[DSM_WIRE_TOKEN_BYTES])
{
	struct {
		char label[8];
		__u32 role;
		__u32 conn;
		struct proof_of about;
	} text = {
		.label = "dsm-auth",
		.role = role,
		.conn = index,
		.about = *about,
	};

	static_assert(sizeof(text) == 104, "no padding");
	cluster_know();
	hmac(cluster.key, &text, sizeof(text), proof);
}

static bool proof_is(const struct proof_of *about, enum proof_role role,
		     unsigned int index, const __u8 *proof)
{
	__u8 want[DSM_WIRE_TOKEN_BYTES];

	proof_make(about, role, index, want);
	return !memcmp(want, proof, sizeof(want));
}

static void nonce(__u8 token[DSM_WIRE_TOKEN_BYTES])
{
	if (getrandom(token, DSM_WIRE_TOKEN_BYTES, 0) != DSM_WIRE_TOKEN_BYTES)
		abort();
}

/* ---- the active side ---- */

int session_open(struct session *s, unsigned int self, unsigned int peer)
{
	const struct dsm_wire_accept *accept = (void *)s->conn[0].data;
	const struct timespec pause = { .tv_nsec = BUSY_MS * 1000000 };
	uint64_t end = now_ms() + STEP_MS;
	struct dsm_wire_open open;
	int err;

	memset(s, 0, sizeof(*s));
	s->self = self;
	s->peer = peer;
	open_fill(&open, self, peer, 0);
	nonce(open.token);
	/* The victim may still be closing the one before. */
	while ((err = conn_open(&s->conn[0], self, peer, &open, sizeof(open),
				false)) == -EBUSY &&
	       now_ms() < end) {
		conn_close(&s->conn[0]);
		nanosleep(&pause, NULL);
	}
	if (err)
		return err;
	s->about.active = self;
	s->about.passive = peer;
	s->about.active_epoch = open.epoch;
	s->about.passive_epoch = accept->open.epoch;
	memcpy(s->about.active_nonce, open.token, sizeof(open.token));
	memcpy(s->about.passive_nonce, accept->open.token, sizeof(open.token));
	if (accept->open.magic != DSM_WIRE_MAGIC || accept->open.from != peer ||
	    !proof_is(&s->about, PROOF_PASSIVE, 0, accept->proof))
		return -EBADE;
	return 0;
}

int session_prove(struct session *s)
{
	struct dsm_wire_message reply;
	struct dsm_wire_proof proof;
	int len;

	proof_make(&s->about, PROOF_ACTIVE, 0, proof.proof);
	len = session_call(s, DSM_MSG_PROOF, &proof, sizeof(proof), &reply);
	if (len != sizeof(s->hello))
		return len < 0 ? len : -EPROTO;
	s->hello = reply.hello;
	return 0;
}

int session_trusted(struct session *s, unsigned int self, unsigned int peer)
{
	int err = session_open(s, self, peer);

	return err ? err : session_prove(s);
}

int session_data(struct session *s, unsigned int index)
{
	const struct dsm_wire_accept *accept = (void *)s->conn[index].data;
	struct dsm_wire_open open;
	int err;

	open_fill(&open, s->self, s->peer, index);
	proof_make(&s->about, PROOF_DATA, index, open.token);
	err = conn_open(&s->conn[index], s->self, s->peer, &open, sizeof(open),
			false);
	if (!err &&
	    !proof_is(&s->about, PROOF_DATA_PASSIVE, index, accept->proof))
		err = -EBADE;
	return err;
}

static void hello_fill(struct dsm_wire_hello *hello,
		       const struct memory *directory)
{
	memset(hello, 0, sizeof(*hello));
	hello->born = ledger_time();
	hello->segment[0].addr = (uintptr_t)directory->bytes;
	hello->segment[0].rkey = directory->mr->rkey;
	hello->segment[0].entries =
		directory->len / sizeof(struct dsm_wire_chunk);
}

int session_hello(struct session *s)
{
	return session_call(s, DSM_MSG_HELLO, &s->ours, sizeof(s->ours), NULL);
}

int session_ready(struct session *s)
{
	return session_call(s, DSM_MSG_READY, NULL, 0, NULL);
}

int session_up(struct session *s, unsigned int self, unsigned int peer,
	       const struct memory *directory)
{
	int err = session_trusted(s, self, peer);

	hello_fill(&s->ours, directory);
	if (!err)
		err = session_hello(s);
	for (unsigned int i = 1; i < ROGUE_CONNS && !err; i++)
		err = session_data(s, i);
	if (!err)
		err = session_ready(s);
	if (!err && !link_becomes(peer, self, "up", STEP_MS))
		err = -ENOLINK;
	return err;
}

/* ---- the passive side ---- */

int session_accept(struct session *s, struct listener *l,
		   struct dsm_wire_accept *accept, size_t at,
		   unsigned char value)
{
	uint64_t end = now_ms() + STEP_MS;
	struct dsm_wire_open open;
	int err;

	s->self = ROGUE_HIGH;
	s->peer = VICTIM;
	/* A request may have been given up while it waited for us. */
	do {
		conn_close(&s->conn[0]);
		err = listener_next(l, 0, &s->conn[0], &open, STEP_MS);
		if (err)
			return err;
		memset(accept, 0, sizeof(*accept));
		open_fill(&accept->open, s->self, s->peer, 0);
		nonce(accept->open.token);
		s->about.active = s->peer;
		s->about.passive = s->self;
		s->about.active_epoch = open.epoch;
		s->about.passive_epoch = accept->open.epoch;
		memcpy(s->about.active_nonce, open.token, sizeof(open.token));
		memcpy(s->about.passive_nonce, accept->open.token,
		       sizeof(open.token));
		proof_make(&s->about, PROOF_PASSIVE, 0, accept->proof);
		((unsigned char *)accept)[at] ^= value;
		err = conn_accept(&s->conn[0], accept, sizeof(*accept));
	} while (err && now_ms() < end);
	return err;
}

static int serve_data(struct session *s, struct listener *l, unsigned int index)
{
	struct dsm_wire_accept accept = {};
	struct dsm_wire_open open;
	int err = listener_next(l, index, &s->conn[index], &open, STEP_MS);

	if (err)
		return err;
	if (!proof_is(&s->about, PROOF_DATA, index, open.token))
		return -EBADE;
	open_fill(&accept.open, s->self, s->peer, index);
	proof_make(&s->about, PROOF_DATA_PASSIVE, index, accept.proof);
	return conn_accept(&s->conn[index], &accept, sizeof(accept));
}

int session_serve(struct session *s, struct listener *l,
		  const struct memory *directory)
{
	struct dsm_wire_accept accept;
	struct dsm_wire_message m;
	int err;

	memset(s, 0, sizeof(*s));
	hello_fill(&s->ours, directory);
	err = session_accept(s, l, &accept, 0, 0);
	if (!err)
		err = session_asked(s, DSM_MSG_PROOF, &m, STEP_MS);
	if (!err && !proof_is(&s->about, PROOF_ACTIVE, 0, m.proof.proof))
		err = -EBADE;
	if (!err)
		err = session_reply(s, &m, 0, &s->ours, sizeof(s->ours));
	if (!err)
		err = session_asked(s, DSM_MSG_HELLO, &m, STEP_MS);
	if (!err)
		err = session_reply(s, &m, 0, NULL, 0);
	s->hello = m.hello;
	for (unsigned int i = 1; i < ROGUE_CONNS && !err; i++)
		err = serve_data(s, l, i);
	if (!err)
		err = session_asked(s, DSM_MSG_READY, &m, STEP_MS);
	if (!err)
		err = session_reply(s, &m, 0, NULL, 0);
	if (!err && !link_becomes(s->peer, s->self, "up", STEP_MS))
		err = -ENOLINK;
	return err;
}

void session_close(struct session *s)
{
	for (unsigned int i = 0; i < ROGUE_CONNS; i++)
		conn_close(&s->conn[i]);
}

/* ---- messages ---- */

size_t message_fill(struct dsm_wire_message *m, unsigned int type,
		    const void *payload, size_t len)
{
	memset(m, 0, sizeof(*m));
	m->head.type = type;
	m->head.len = len;
	if (len)
		memcpy(m->bytes, payload, len);
	return sizeof(m->head) + len;
}

int session_request(struct session *s, unsigned int type, uint32_t call,
		    const void *payload, size_t len)
{
	struct dsm_wire_message m;
	size_t bytes = message_fill(&m, type, payload, len);

	m.head.call = call;
	return conn_send(&s->conn[0], &m, bytes);
}

/* The next message that is an answer, or is a request. */
static int session_next(struct session *s, bool answer,
			struct dsm_wire_message *m, unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	uint64_t now;

	while ((now = now_ms()) <= end) {
		int len = conn_receive(&s->conn[0], m, end - now);

		if (len < 0)
			return len;
		if (!(m->head.type & DSM_MSG_REPLY) == !answer)
			return len;
	}
	return -ETIMEDOUT;
}

int session_answer(struct session *s, struct dsm_wire_message *m,
		   unsigned int ms)
{
	return session_next(s, true, m, ms);
}

int session_asked(struct session *s, unsigned int type,
		  struct dsm_wire_message *m, unsigned int ms)
{
	int len;

	do {
		len = session_next(s, false, m, ms);
	} while (len >= 0 && m->head.type != type);
	return len < 0 ? len : 0;
}

int session_reply(struct session *s, const struct dsm_wire_message *request,
		  int error, const void *payload, size_t len)
{
	struct dsm_wire_message m;
	size_t bytes = message_fill(&m, request->head.type | DSM_MSG_REPLY,
				    payload, len);

	m.head.call = request->head.call;
	m.head.error = error;
	return conn_send(&s->conn[0], &m, bytes);
}

int session_call(struct session *s, unsigned int type, const void *payload,
		 size_t len, struct dsm_wire_message *reply)
{
	static uint32_t call = ROGUE_CALL;
	struct dsm_wire_message m;
	int err = session_request(s, type, ++call, payload, len);

	if (err)
		return err;
	/* Answers to what was only sent may still come. */
	do {
		err = session_answer(s, &m, STEP_MS);
	} while (err >= 0 && m.head.call != call);
	if (err < 0)
		return err;
	if (m.head.type != (type | DSM_MSG_REPLY) || m.head.reserved ||
	    m.head.len != err - (int)sizeof(m.head))
		return -EBADMSG;
	if (reply)
		*reply = m;
	return m.head.error ? -(int)m.head.error : m.head.len;
}

/* ---- the bystander ---- */

#define SHARED_BYTES (1UL << 20)
#define SHARED_SEED 11

const char *shared_region(void)
{
	const char *name = getenv("ROGUE_REGION");

	if (!name)
		abort();
	return name;
}

static long job_share(struct dsm *dsm, void *arg)
{
	struct dsm_ref ref;
	void *bytes;

	(void)arg;
	if (dsm_lookup(dsm, "shared", 0, NULL))
		return 0;
	bytes = dsm_alloc(dsm, SHARED_BYTES, &ref);
	if (!bytes)
		return -errno;
	pattern_fill(bytes, SHARED_BYTES, SHARED_SEED);
	if (dsm_freeze(dsm, &ref) || dsm_publish(dsm, "shared", &ref))
		return -errno;
	return 0;
}

/* Some page, which probably is not here yet. */
static long job_read(struct dsm *dsm, void *arg)
{
	const uint64_t *words = dsm_lookup(dsm, "shared", 0, NULL);
	uint32_t state = (uint32_t)now_ms() | 1;
	size_t first;

	(void)arg;
	if (!words)
		return -errno;
	first = next_random(&state) % (SHARED_BYTES / PAGE_BYTES) *
		(PAGE_BYTES / sizeof(*words));
	for (size_t i = first; i < first + PAGE_BYTES / sizeof(*words); i++)
		if (words[i] != pattern_word(i, SHARED_SEED))
			return -EILSEQ;
	return 0;
}

static long on_node(unsigned int node, job_fn fn)
{
	struct worker w;
	long result = worker_start(&w, node, shared_region(), O_RDWR);

	if (!result)
		result = worker_run(&w, fn);
	worker_stop(&w);
	return result;
}

bool bystander_reads(const struct counters *before)
{
	struct counters now = counters_since(BYSTANDER, 0, before);
	long err = on_node(VICTIM, job_share);

	if (!err)
		err = on_node(BYSTANDER, job_read);
	if (err || COUNT(now, LINKS_LOST) || !link_is(BYSTANDER, VICTIM, "up"))
		fprintf(stderr, "# bystander: %ld, %llu links lost\n", err,
			(unsigned long long)COUNT(now, LINKS_LOST));
	return !err && !COUNT(now, LINKS_LOST) &&
	       link_is(BYSTANDER, VICTIM, "up");
}
