// SPDX-License-Identifier: GPL-2.0-only
/*
 * netsync NAME [COUNT]: a barrier of guests over TCP, without dsm.
 *
 * Returns when the first COUNT nodes (all by default) have called it with the
 * same name.  Node 1 keeps the barrier; the others try until it is there.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 7400
#define NAME_BYTES 32
#define LIMIT_SECONDS 180
#define MAX_NODES 64

static time_t deadline;

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static int readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	time_t left = deadline - now();

	return left > 0 && poll(&pfd, 1, (int)left * 1000) == 1;
}

static struct sockaddr_in keeper(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(PORT) };

	inet_pton(AF_INET, "10.77.0.1", &sin.sin_addr);
	return sin;
}

static int keep(const char *name, int count)
{
	struct sockaddr_in sin = keeper();
	int fds[MAX_NODES], n = 0, one = 1;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) ||
	    listen(listener, MAX_NODES))
		return -1;
	while (n < count - 1) {
		char got[NAME_BYTES] = "";

		if (!readable(listener))
			return -1;
		fds[n] = accept(listener, NULL, NULL);
		if (fds[n] < 0)
			continue;
		if (readable(fds[n]) &&
		    recv(fds[n], got, sizeof(got), MSG_WAITALL) ==
			    sizeof(got) &&
		    !memcmp(got, name, sizeof(got)))
			n++;
		else
			close(fds[n]);
	}
	for (int i = 0; i < n; i++)
		if (send(fds[i], name, NAME_BYTES, MSG_NOSIGNAL) != NAME_BYTES)
			return -1;
	return 0;
}

static int join(const char *name)
{
	struct sockaddr_in sin = keeper();
	const struct timespec pause = { .tv_nsec = 100000000 };

	while (now() < deadline) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		char got[NAME_BYTES];

		if (!connect(fd, (struct sockaddr *)&sin, sizeof(sin)) &&
		    send(fd, name, NAME_BYTES, MSG_NOSIGNAL) == NAME_BYTES &&
		    readable(fd) &&
		    recv(fd, got, sizeof(got), MSG_WAITALL) == sizeof(got))
			return 0;
		close(fd);
		nanosleep(&pause, NULL);
	}
	return -1;
}

int main(int argc, char **argv)
{
	const char *node = getenv("DSM_NODE");
	const char *nodes = argc > 2 ? argv[2] : getenv("DSM_NODES");
	char name[NAME_BYTES] = "";
	int err;

	if (argc < 2 || !node || !nodes || atoi(nodes) > MAX_NODES) {
		fprintf(stderr, "usage: netsync NAME [COUNT]\n");
		return 2;
	}
	snprintf(name, sizeof(name), "%s", argv[1]);
	deadline = now() + LIMIT_SECONDS;
	err = atoi(node) == 1 ? keep(name, atoi(nodes)) : join(name);
	if (err)
		fprintf(stderr, "netsync: nobody came to '%s'\n", name);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
