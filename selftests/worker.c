// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper.h"

static void __attribute__((noreturn))
worker_main(int sock, void *arg, unsigned int node, const char *region,
	    int flags)
{
	struct dsm *dsm = NULL;
	long result = 0;
	job_fn fn;

	/* A test that is killed takes its workers along. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (region) {
		dsm = attach_at(node, region, flags);
		if (!dsm)
			result = -errno;
	}
	while (send(sock, &result, sizeof(result), MSG_NOSIGNAL) > 0 &&
	       recv(sock, &fn, sizeof(fn), 0) == sizeof(fn))
		result = fn(dsm, arg);
	dsm_detach(dsm);
	_exit(0);
}

int worker_start(struct worker *w, unsigned int node, const char *region,
		 int flags)
{
	int socks[2];
	long result;

	memset(w, 0, sizeof(*w));
	if (is_far(node)) {
		int err = far_start(&w->box, node, region, flags);

		w->arg = w->box ? far_arg(w->box) : NULL;
		return err;
	}
	w->arg = mmap(NULL, WORKER_ARG_BYTES, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->arg == MAP_FAILED)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	w->sock = socks[0];
	w->pid = fork();
	if (w->pid < 0)
		return -errno;
	if (!w->pid) {
		close(socks[0]);
		worker_main(socks[1], w->arg, node, region, flags);
	}
	close(socks[1]);
	result = worker_wait(w, WAIT_MS);
	return (int)result;
}

int worker_post(struct worker *w, job_fn fn)
{
	if (w->box) {
		far_post(w->box, fn);
		return 0;
	}
	if (send(w->sock, &fn, sizeof(fn), MSG_NOSIGNAL) != sizeof(fn))
		return -EPIPE;
	return 0;
}

long worker_wait(struct worker *w, unsigned int ms)
{
	struct pollfd pfd = { .fd = w->sock, .events = POLLIN };
	uint64_t end = now_ms() + ms;
	long result;
	int n;

	if (w->box)
		return far_wait(w->box, ms);
	do {
		uint64_t now = now_ms();

		n = poll(&pfd, 1, now < end ? (int)(end - now) : 0);
	} while (n < 0 && errno == EINTR);
	if (!n)
		return -ETIMEDOUT;
	if (recv(w->sock, &result, sizeof(result), 0) != sizeof(result))
		return -EPIPE;
	return result;
}

long worker_run(struct worker *w, job_fn fn)
{
	int err = worker_post(w, fn);

	return err ? err : worker_wait(w, WAIT_MS);
}

bool process_sleeps(pid_t pid)
{
	char path[32], line[256] = "";
	const char *state;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = '\0';
	close(fd);
	state = strrchr(line, ')');
	return state && state[1] == ' ' && (state[2] == 'S' || state[2] == 'D');
}

struct sleeper {
	const volatile int *entered;
	const struct worker *w;
};

static bool sleeper_sleeps(void *arg)
{
	const struct sleeper *s = arg;

	if (!*s->entered)
		return false;
	return s->w->box ? far_sleeps(s->w->box) : process_sleeps(s->w->pid);
}

bool worker_sleeps(struct worker *w, const volatile int *entered)
{
	struct sleeper s = { .entered = entered, .w = w };

	return wait_until(sleeper_sleeps, &s, WAIT_MS);
}

int worker_kill(struct worker *w)
{
	pid_t pid = w->pid;
	int status;

	if (w->box)
		return far_kill(w->box);
	if (pid <= 0)
		return -ESRCH;
	w->pid = 0;
	return kill(pid, SIGKILL) ? -errno : reap(pid, &status, WAIT_MS);
}

void worker_stop(struct worker *w)
{
	int status;

	if (w->box) {
		far_stop(w->box);
		memset(w, 0, sizeof(*w));
		return;
	}
	if (w->pid > 0) {
		shutdown(w->sock, SHUT_RDWR);
		reap(w->pid, &status, WAIT_MS);
	}
	if (w->sock > 0)
		close(w->sock);
	if (w->arg && w->arg != MAP_FAILED)
		munmap(w->arg, WORKER_ARG_BYTES);
	memset(w, 0, sizeof(*w));
}
