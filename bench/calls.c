// SPDX-License-Identifier: MIT
/*
 * What a daemon's own system calls cost, with as little around them as can be.
 *
 *   calls tcp|udp ADDRESS PORT DIALLED UID COUNT
 *
 * As user UID, opens COUNT sockets at ADDRESS and PORT, and COUNT connections from DIALLED to the
 * same port. Prints one line of JSON: nanoseconds of each call, as medians. Without the calls for
 * connections if DIALLED refuses them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

/* It is short beside the clock: so many in a row. */
#define NAMES 16

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1e9 + at.tv_nsec;
}

static int smaller(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double *times(int count)
{
	double *all = calloc(count, sizeof(*all));

	if (!all)
		fail("calloc");
	return all;
}

static const char *separator = "{";

static void print(const char *name, double *all, int count)
{
	qsort(all, count, sizeof(*all), smaller);
	printf("%s\"%s\": %.1f", separator, name, all[count / 2]);
	separator = ", ";
}

static double name_of(int fd)
{
	struct sockaddr_storage name;
	double start = now();

	for (int i = 0; i < NAMES; i++) {
		socklen_t length = sizeof(name);

		if (getsockname(fd, (void *)&name, &length))
			fail("getsockname");
	}
	return (now() - start) / NAMES;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage at, to;
	struct linger reset = { .l_onoff = 1 };
	socklen_t at_length, to_length;
	double *bound, *listening, *named, *accepted, *own;
	int stream, count, one = 1, listener, i;
	uid_t uid;

	if (argc != 7)
		return fprintf(stderr, "usage: calls tcp|udp ADDRESS PORT DIALLED UID COUNT\n"), 2;
	stream = !strcmp(argv[1], "tcp");
	at_length = address(&at, argv[2], argv[3]);
	to_length = address(&to, argv[4], argv[3]);
	uid = atoi(argv[5]);
	count = atoi(argv[6]);
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		fail("setresuid");
	bound = times(count);
	listening = times(count);
	named = times(count);
	accepted = times(count);
	own = times(count);

	for (i = 0; i < count; i++) {
		int fd = socket(at.ss_family, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
		double start;

		if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
			fail("socket");
		start = now();
		if (bind(fd, (void *)&at, at_length))
			fail("bind");
		bound[i] = now() - start;
		if (stream) {
			start = now();
			if (listen(fd, 16))
				fail("listen");
			listening[i] = now() - start;
		}
		named[i] = name_of(fd);
		if (i < count - 1)
			close(fd);
		else
			listener = fd;
	}
	print("bind", bound, count);
	if (stream)
		print("listen", listening, count);
	print("getsockname", named, count);

	for (i = 0; stream && i < count; i++) {
		int client = socket(to.ss_family, SOCK_STREAM, 0), fd;
		double start;

		/* Nothing of it remains. */
		if (client < 0 || setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)))
			fail("socket");
		if (connect(client, (void *)&to, to_length)) {
			if (errno == ECONNREFUSED && !i)
				break;
			fail("connect");
		}
		start = now();
		fd = accept(listener, NULL, NULL);
		accepted[i] = now() - start;
		if (fd < 0)
			fail("accept");
		own[i] = name_of(fd);
		close(client);
		close(fd);
	}
	if (stream && i) {
		print("accept", accepted, count);
		print("accepted", own, count);
	}
	printf("}\n");
	return 0;
}
