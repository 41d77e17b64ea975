// SPDX-License-Identifier: GPL-2.0-only
/*
 * A rogue peer and memory: what it lets the victim READ, and what it tries to do
 * to the victim's by requests of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "harness.h"
#include "rogue-peer.h"

#define SEED 77
#define CHUNK_PAGES (CHUNK_BYTES / PAGE_BYTES)
#define FROZEN(lines) DSM_WORD(DSM_STATE_FROZEN, lines, 5)

FIXTURE(page)
{
	struct counters victim;
	struct counters bystander;
	struct memory directory;
	struct memory payload;
	struct memory ledger;
	struct session s;
	struct worker w; /* at the victim, in the shared region */
	uint64_t region;
};

FIXTURE_SETUP(page)
{
	struct dsm_region_args found;
	uint64_t *words;

	ASSERT_EQ(0, counters_read(VICTIM, 0, &self->victim));
	ASSERT_EQ(0, counters_read(BYSTANDER, 0, &self->bystander));
	ASSERT_EQ(0, region_find(shared_region(), &found));
	self->region = found.id;
	ASSERT_EQ(0, worker_start(&self->w, VICTIM, shared_region(), O_RDWR));
	ASSERT_EQ(0, memory_map(&self->directory, DIRECTORY_BYTES,
				IBV_ACCESS_REMOTE_READ));
	ASSERT_EQ(0, memory_map(&self->payload, CHUNK_BYTES,
				IBV_ACCESS_REMOTE_READ));
	ASSERT_EQ(0, memory_map(&self->ledger, PAGE_BYTES,
				IBV_ACCESS_REMOTE_READ));
	pattern_fill(self->payload.bytes, CHUNK_BYTES, SEED);
	words = self->ledger.bytes;
	for (unsigned int i = 0; i < CHUNK_PAGES; i++)
		words[i] = FROZEN(i ? 0 : DSM_LINES_LARGE);
}

FIXTURE_TEARDOWN(page)
{
	session_close(&self->s);
	worker_stop(&self->w);
	memory_unmap(&self->ledger);
	memory_unmap(&self->payload);
	memory_unmap(&self->directory);
	EXPECT_TRUE(bystander_reads(&self->bystander));
}

static struct dsm_wire_chunk *entry(FIXTURE_DATA(page) * self,
				    unsigned int chunk)
{
	return (struct dsm_wire_chunk *)self->directory.bytes + chunk;
}

/* An entry as it should be. */
static struct dsm_wire_chunk *tell(FIXTURE_DATA(page) * self,
				   unsigned int chunk)
{
	struct dsm_wire_chunk *e = entry(self, chunk);

	memset(e, 0, sizeof(*e));
	e->head = e->tail = 2;
	e->kind = DSM_CHUNK_LARGE;
	e->region = self->region;
	e->born = 1000;
	e->payload_addr = (uintptr_t)self->payload.bytes;
	e->payload_key = self->payload.mr->rkey;
	e->ledger_addr = (uintptr_t)self->ledger.bytes;
	e->ledger_key = self->ledger.mr->rkey;
	return e;
}

/* What a process of the victim finds at a page of ours. */
struct look {
	size_t page;
	int signal;
	ssize_t wrong; /* offset of the first byte that is not SEED's, or -1 */
	uint64_t ms;
};

static long job_look(struct dsm *dsm, void *arg)
{
	struct look *look = arg;
	uint64_t start = now_ms();
	struct dsm_info info = { .size = sizeof(info) };
	const uint64_t *words;
	int fd;

	(void)dsm;
	fd = device_open(O_RDONLY);
	if (fd < 0 || request(fd, DSM_IOC_INFO, &info))
		return -errno;
	close(fd);
	words = (const uint64_t *)(uintptr_t)(info.base +
					      look->page * PAGE_BYTES);
	look->signal = probe_read(words);
	look->wrong = -1;
	if (!look->signal)
		for (size_t i = 0; i < PAGE_BYTES / 8 && look->wrong < 0; i++)
			if (words[i] !=
			    pattern_word(look->page % CHUNK_PAGES *
							 (PAGE_BYTES / 8) +
						 i,
					 SEED))
				look->wrong = (ssize_t)i * 8;
	look->ms = now_ms() - start;
	return 0;
}

static struct look look_at(FIXTURE_DATA(page) * self, size_t page)
{
	struct look *look = self->w.arg;

	memset(look, 0, sizeof(*look));
	look->page = page;
	if (worker_run(&self->w, job_look))
		look->signal = -1;
	return *look;
}

/* ---- what the victim READs ---- */

TEST_F(page, good_pages_are_read)
{
	struct look look;

	tell(self, 0);
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	for (size_t page = 0; page < CHUNK_PAGES; page += 100) {
		look = look_at(self, page);
		EXPECT_EQ(0, look.signal);
		EXPECT_EQ(-1, look.wrong);
	}
}

/* Known to be bad without a READ that fails: the link stays. */
TEST_F(page, bad_entries)
{
	enum {
		TORN,
		ODD,
		RESERVED,
		NONE,
		SMALL,
		CELLS,
		KIND,
		REGION,
		NO_REGION,
		LAST_REGION,
		LIVE,
		EXCL,
		CONT,
		FREE,
		POISON,
		STATE,
		NR
	};
	static const int expected[NR] = {
		[TORN] = SIGBUS,
		[ODD] = SIGBUS,
		[RESERVED] = SIGBUS,
	};
	uint64_t *words = self->ledger.bytes;
	struct counters since;

	for (unsigned int i = 0; i < NR; i++)
		tell(self, i);
	entry(self, TORN)->tail = 4;
	entry(self, ODD)->head = entry(self, ODD)->tail = 3;
	entry(self, RESERVED)->reserved[2] = 1;
	entry(self, NONE)->kind = DSM_CHUNK_NONE;
	entry(self, SMALL)->kind = DSM_CHUNK_SMALL;
	entry(self, CELLS)->kind = DSM_CHUNK_CELLS;
	entry(self, KIND)->kind = 255;
	entry(self, REGION)->region ^= 1;
	entry(self, NO_REGION)->region = 0;
	entry(self, LAST_REGION)->region = ~0ULL;
	/* Page i of chunk i, so one ledger serves all. */
	words[LIVE] = DSM_WORD(DSM_STATE_LIVE, DSM_LINES_LARGE, 5);
	words[EXCL] = DSM_WORD(DSM_STATE_EXCL, 0, 5);
	words[CONT] = DSM_WORD(DSM_STATE_CONT, 0, 5);
	words[FREE] = 0;
	words[POISON] = DSM_WORD(DSM_STATE_POISON, 0, 5);
	words[STATE] = ~0ULL;
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	for (unsigned int i = 0; i < NR; i++) {
		struct look look = look_at(self, i * CHUNK_PAGES + i);
		int signal = expected[i] ? expected[i] : SIGSEGV;

		/* Pages of small objects are mapped as they are. */
		EXPECT_EQ(i == SMALL ? 0 : signal, look.signal)
		{
			TH_LOG("row %u", i);
		}
		EXPECT_GT(2000, look.ms);
	}
	since = counters_since(VICTIM, 0, &self->victim);
	EXPECT_EQ(0, COUNT(since, LINKS_LOST));
	EXPECT_TRUE(link_is(VICTIM, ROGUE_LOW, "up"));
}

/* Behind what the hello told of the directory nothing is READ at all. */
TEST_F(page, beyond_the_directory)
{
	size_t last = DIRECTORY_BYTES / sizeof(struct dsm_wire_chunk);
	struct counters before, since;

	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	ASSERT_EQ(0, counters_read(VICTIM, 0, &before));
	EXPECT_EQ(SIGSEGV, look_at(self, last * CHUNK_PAGES).signal);
	EXPECT_EQ(SIGSEGV, look_at(self, (1UL << 27) - 1).signal);
	since = counters_since(VICTIM, 0, &before);
	EXPECT_EQ(0, COUNT(since, READS_DIRECTORY));
	EXPECT_EQ(SIGSEGV, look_at(self, (last - 1) * CHUNK_PAGES).signal);
	since = counters_since(VICTIM, 0, &before);
	EXPECT_EQ(1, COUNT(since, READS_DIRECTORY));
}

/* Keys and addresses that the rogue's own NIC refuses: the link is lost. */
TEST_F(page, absurd_keys_and_addresses)
{
	enum { KEY, AROUND, LEDGER_KEY, NR };

	for (unsigned int i = 0; i < NR; i++)
		tell(self, i);
	entry(self, KEY)->payload_key = 0xdeadbeef;
	entry(self, AROUND)->payload_addr = ~0ULL - PAGE_BYTES / 2;
	entry(self, LEDGER_KEY)->ledger_key = 0;
	for (unsigned int i = 0; i < NR; i++) {
		struct look look;

		ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM,
					&self->directory));
		look = look_at(self, i * CHUNK_PAGES);
		EXPECT_EQ(SIGBUS, look.signal)
		{
			TH_LOG("row %u", i);
		}
		EXPECT_GT(WAIT_MS / 4, look.ms);
		EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
		session_close(&self->s);
	}
}

/* A version that no word can hold must not lock the rogue's next life out. */
TEST_F(page, absurd_versions)
{
	struct look look;

	tell(self, 0)->born = ~0ULL;
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	look = look_at(self, 3);
	EXPECT_EQ(SIGBUS, look.signal);
	session_close(&self->s);
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
}

/* In a new life nothing of the one before is shown. */
TEST_F(page, new_life)
{
	struct look look;

	tell(self, 0);
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	look = look_at(self, 0);
	ASSERT_EQ(0, look.signal);
	ASSERT_EQ(-1, look.wrong);
	session_close(&self->s);

	entry(self, 0)->kind = DSM_CHUNK_NONE;
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	EXPECT_EQ(SIGSEGV, look_at(self, 0).signal);
}

/* ---- the rogue's own requests ---- */

#define OBJECT_BYTES (64UL << 10)

static long job_build(struct dsm *dsm, void *arg)
{
	struct dsm_ref *ref = arg;
	void *bytes = dsm_alloc(dsm, OBJECT_BYTES, ref);

	if (!bytes)
		return -errno;
	pattern_fill(bytes, OBJECT_BYTES, SEED);
	return dsm_freeze(dsm, ref) ? -errno : 0;
}

static long job_unhurt(struct dsm *dsm, void *arg)
{
	const struct dsm_ref *ref = arg;
	struct dsm_ref again;

	/* The ledger, too: the next object is where it should be. */
	if (pattern_check((void *)(uintptr_t)ref->addr, OBJECT_BYTES, SEED) >=
	    0)
		return -EILSEQ;
	return dsm_alloc(dsm, PAGE_BYTES, &again) ? 0 : -errno;
}

/* The victim's entry of an object, as any peer may READ it. */
static int victims_entry(FIXTURE_DATA(page) * self, const struct dsm_ref *ref,
			 struct memory *to, struct dsm_wire_chunk *e)
{
	uint64_t chunk = (ref->addr & ((1ULL << 39) - 1)) >> DSM_CHUNK_SHIFT;
	const struct dsm_wire_segment *segment = &self->s.hello.segment[0];
	int err = conn_post(&self->s.conn[1], IBV_WR_RDMA_READ, to->bytes,
			    sizeof(*e), to->mr,
			    segment->addr + chunk * sizeof(*e), segment->rkey);

	memcpy(e, to->bytes, sizeof(*e));
	return err;
}

TEST_F(page, what_the_victim_gave_is_for_reading)
{
	struct dsm_wire_chunk e;
	struct memory m = {};
	struct dsm_ref *ref = self->w.arg;
	uint64_t offset;

	ASSERT_EQ(0, memory_map(&m, 2 * CHUNK_BYTES, 0));
	ASSERT_EQ(0, worker_run(&self->w, job_build));
	offset = ref->addr & (CHUNK_BYTES - 1);

	for (unsigned int i = 0;; i++) {
		const struct dsm_wire_segment *segment = self->s.hello.segment;
		struct conn *data = &self->s.conn[1];
		int err = 0;

		ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM,
					&self->directory));
		ASSERT_EQ(0, victims_entry(self, ref, &m, &e));
		ASSERT_EQ(self->region, e.region);
		/* What it is for. */
		ASSERT_EQ(0, conn_post(data, IBV_WR_RDMA_READ, m.bytes,
				       OBJECT_BYTES, m.mr,
				       e.payload_addr + offset, e.payload_key));
		ASSERT_EQ(-1, pattern_check(m.bytes, OBJECT_BYTES, SEED));
		memset(m.bytes, 0xee, OBJECT_BYTES);
		switch (i) {
		case 0:
			err = conn_post(data, IBV_WR_RDMA_WRITE, m.bytes, 64,
					m.mr, e.payload_addr + offset,
					e.payload_key);
			break;
		case 1:
			err = conn_post(data, IBV_WR_RDMA_WRITE, m.bytes, 8,
					m.mr, e.ledger_addr, e.ledger_key);
			break;
		case 2:
			err = conn_post(data, IBV_WR_RDMA_WRITE, m.bytes, 64,
					m.mr, segment->addr, segment->rkey);
			break;
		case 3:
			err = conn_post(data, IBV_WR_RDMA_WRITE, m.bytes, 8,
					m.mr, e.claims_addr, e.claims_key);
			break;
		case 4:
			err = conn_post(data, IBV_WR_ATOMIC_CMP_AND_SWP,
					m.bytes, 8, m.mr, e.payload_addr,
					e.payload_key);
			break;
		case 5:
			err = conn_post(data, IBV_WR_ATOMIC_CMP_AND_SWP,
					m.bytes, 8, m.mr, e.ledger_addr,
					e.ledger_key);
			break;
		case 6: /* beyond the end */
			err = conn_post(data, IBV_WR_RDMA_READ, m.bytes, 64,
					m.mr, e.payload_addr + CHUNK_BYTES - 32,
					e.payload_key);
			break;
		case 7:
			err = conn_post(data, IBV_WR_RDMA_READ, m.bytes,
					CHUNK_BYTES + PAGE_BYTES, m.mr,
					e.payload_addr, e.payload_key);
			break;
		case 8: /* before the beginning */
			err = conn_post(data, IBV_WR_RDMA_READ, m.bytes, 64,
					m.mr, e.ledger_addr - 8, e.ledger_key);
			break;
		case 9: /* around the end of all addresses */
			err = conn_post(data, IBV_WR_RDMA_READ, m.bytes, 64,
					m.mr, ~0ULL - 16, e.payload_key);
			break;
		case 10: /* other keys than were told */
			err = conn_post(data, IBV_WR_RDMA_READ, m.bytes, 64,
					m.mr, e.payload_addr,
					e.payload_key + 1);
			break;
		case 11: /* nor may it on the control connection */
			err = conn_post(&self->s.conn[0], IBV_WR_RDMA_WRITE,
					m.bytes, 64, m.mr,
					e.payload_addr + offset, e.payload_key);
			break;
		case 12: /* and no message is taken on the others */
			err = conn_post(data, IBV_WR_SEND, m.bytes, 64, m.mr, 0,
					0);
			break;
		default:
			EXPECT_EQ(0, worker_run(&self->w, job_unhurt));
			memory_unmap(&m);
			return;
		}
		EXPECT_GT(0, err)
		{
			TH_LOG("row %u", i);
		}
		EXPECT_TRUE(is_zero(m.bytes, 0) &&
			    *(unsigned char *)m.bytes == 0xee)
		{
			TH_LOG("row %u: something was read", i);
		}
		session_close(&self->s);
	}
}

/* Claims are what others may change: by compare-and-swap, and nothing else. */
TEST_F(page, claims_are_for_atomics)
{
	struct dsm_wire_chunk e;
	struct memory m = {};
	struct dsm_ref *ref = self->w.arg;

	ASSERT_EQ(0, memory_map(&m, PAGE_BYTES, 0));
	ASSERT_EQ(0, worker_run(&self->w, job_build));
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	ASSERT_EQ(0, victims_entry(self, ref, &m, &e));
	EXPECT_EQ(0, conn_post(&self->s.conn[1], IBV_WR_ATOMIC_CMP_AND_SWP,
			       m.bytes, 8, m.mr, e.claims_addr + 8 * 500,
			       e.claims_key));
	EXPECT_EQ(0, worker_run(&self->w, job_unhurt));
	memory_unmap(&m);
}

/* A name that the victim keeps; those of our nodes cannot be created. */
static int name_at_victim(char *name)
{
	struct dsm_region_args found;

	for (unsigned int i = 0; i < 100; i++) {
		region_name(name);
		if (dsm_region_create(VICTIM, name, 0600))
			continue;
		if (region_find(name, &found) ||
		    dsm_region_remove(VICTIM, name))
			return -errno;
		if (found.id >> 56 == VICTIM)
			return 0;
	}
	return -ENOENT;
}

/* A region of its own, as it is removed. */
static long job_remove(struct dsm *dsm, void *arg)
{
	(void)dsm;
	return dsm_region_remove(VICTIM, arg) ? -errno : 0;
}

static bool no_chunks(void *arg)
{
	return counter_now(VICTIM, DSM_COUNTER_GAUGE_CHUNKS) ==
	       *(uint64_t *)arg;
}

static void key_after_the_end(struct __test_metadata *_metadata,
			      FIXTURE_DATA(page) * self, bool answer)
{
	uint64_t chunks = counter_now(VICTIM, DSM_COUNTER_GAUGE_CHUNKS);
	struct worker builder, remover;
	char name[DSM_NAME_BYTES];
	struct dsm_wire_message m;
	struct dsm_wire_chunk e;
	struct memory to = {};
	uint64_t start;
	int err;

	ASSERT_EQ(0, memory_map(&to, PAGE_BYTES, 0));
	ASSERT_EQ(0, name_at_victim(name));
	ASSERT_EQ(0, worker_start(&builder, VICTIM, name, O_RDWR | O_CREAT));
	ASSERT_EQ(0, worker_start(&remover, VICTIM, NULL, 0));
	memcpy(remover.arg, name, sizeof(name));
	ASSERT_EQ(0, worker_run(&builder, job_build));
	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	ASSERT_EQ(0, victims_entry(self, builder.arg, &to, &e));
	ASSERT_EQ(0, conn_post(&self->s.conn[1], IBV_WR_RDMA_READ, to.bytes, 64,
			       to.mr, e.payload_addr, e.payload_key));

	start = now_ms();
	ASSERT_EQ(0, worker_post(&remover, job_remove));
	ASSERT_EQ(0, session_asked(&self->s, DSM_MSG_REGION_GONE, &m, STEP_MS));
	EXPECT_EQ(e.region, m.region.id);
	if (answer) {
		ASSERT_EQ(0, session_reply(&self->s, &m, 0, NULL, 0));
		ASSERT_EQ(0, session_asked(&self->s, DSM_MSG_REGION_ENDED, &m,
					   STEP_MS));
		EXPECT_EQ(e.region, m.region.id);
		ASSERT_EQ(0, session_reply(&self->s, &m, 0, NULL, 0));
		ASSERT_EQ(0,
			  session_asked(&self->s, DSM_MSG_REVOKE, &m, STEP_MS));
		EXPECT_EQ(e.region, m.revoke.region);
		/* Until it is answered the key lives. */
		EXPECT_EQ(0, conn_post(&self->s.conn[1], IBV_WR_RDMA_READ,
				       to.bytes, 64, to.mr, e.payload_addr,
				       e.payload_key));
		ASSERT_EQ(0, session_reply(&self->s, &m, 0, NULL, 0));
	}
	EXPECT_EQ(0, worker_wait(&remover, WAIT_MS));
	EXPECT_TRUE(wait_until(no_chunks, &chunks, WAIT_MS));
	TH_LOG("memory is back after %u ms", (unsigned int)(now_ms() - start));
	/* It is counted a moment before the key dies. */
	do {
		memset(to.bytes, 0xee, 64);
		err = conn_post(&self->s.conn[1], IBV_WR_RDMA_READ, to.bytes,
				64, to.mr, e.payload_addr, e.payload_key);
	} while (!err && now_ms() - start < STEP_MS);
	EXPECT_GT(0, err);
	EXPECT_EQ(0xee, *(unsigned char *)to.bytes);
	worker_stop(&builder);
	worker_stop(&remover);
	memory_unmap(&to);
}

TEST_F(page, key_of_a_removed_region)
{
	key_after_the_end(_metadata, self, true);
}

TEST_F(page, who_does_not_let_go_is_cut_off)
{
	key_after_the_end(_metadata, self, false);
	EXPECT_TRUE(conn_is_closed(&self->s.conn[1], PROOF_MS));
}

/* ---- fencing: the last, as the epoch only grows ---- */

TEST_F(page, fenced)
{
	struct dsm_wire_open open;
	struct conn c;

	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
	open_fill(&open, ROGUE_LOW, VICTIM, 0);
	ASSERT_EQ(0, system("dsmctl fence 0"));
	EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
	EXPECT_TRUE(link_is(VICTIM, ROGUE_LOW, "fenced"));

	/* Its old epoch. */
	EXPECT_EQ(-EHOSTDOWN,
		  conn_open(&c, ROGUE_LOW, VICTIM, &open, sizeof(open), false));
	conn_close(&c);
	session_close(&self->s);

	/* The new one, in the life that was fenced. */
	uint64_t born = self->s.ours.born;

	ASSERT_EQ(0, session_trusted(&self->s, ROGUE_LOW, VICTIM));
	self->s.ours.born = born;
	self->s.ours.segment[0].entries = 1024;
	ASSERT_EQ(0, session_hello(&self->s));
	ASSERT_EQ(0, session_data(&self->s, 1));
	ASSERT_EQ(0, session_data(&self->s, 2));
	EXPECT_REFUSED(EHOSTDOWN, session_ready(&self->s));
	EXPECT_TRUE(conn_is_closed(&self->s.conn[0], PROOF_MS));
	EXPECT_FALSE(link_is(VICTIM, ROGUE_LOW, "up"));
	session_close(&self->s);

	ASSERT_EQ(0, session_up(&self->s, ROGUE_LOW, VICTIM, &self->directory));
}

TEST_HARNESS_MAIN
