// SPDX-License-Identifier: MIT
/*
 * Traffic for the measurements, with as little of its own as can be. IPv4 or IPv6.
 *
 *   traffic echo ADDRESS PORT                        UDP: answers until SIGTERM
 *   traffic proxy ADDRESS PORT TO_ADDRESS TO_PORT    UDP: carries one client's datagrams to and fro until SIGTERM
 *   traffic client ADDRESS PORT SECONDS WINDOW       UDP: keeps WINDOW requests on their way
 *   traffic serve ADDRESS PORT                       TCP: answers each connection's request until SIGTERM
 *   traffic connect ADDRESS PORT SECONDS WINDOW      TCP: connection, request, reply, end; WINDOW of them at once
 *   traffic bulk ADDRESS PORT SECONDS                TCP: one connection, and all that the daemon can send
 *   traffic latency ADDRESS PORT MICROSECONDS        TCP: a connection every so often until SIGTERM, how long connect() takes
 *   traffic run COMMAND...                           time, CPU time and peak memory of a command; its output goes to stderr
 *
 * What ends prints one line of JSON. CPU time is this process's, user and system, in microseconds:
 * what the kernel does for a packet it does on the time of whoever sends it, on veth and loopback.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define SIZE 64
#define BULK (256 * 1024)
#define EVENTS 64
/* First byte of a TCP request. */
#define ASK_REPLY 'r'
#define ASK_BULK 'b'

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static int open_bound(int type, const char *text, const char *port)
{
	struct sockaddr_storage own;
	socklen_t length = address(&own, text, port);
	int fd = socket(own.ss_family, type, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&own, length))
		fail("bind");
	return fd;
}

static int open_connected(int type, const char *text, const char *port)
{
	struct sockaddr_storage to;
	socklen_t length = address(&to, text, port);
	int fd = socket(to.ss_family, type, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, length))
		fail("connect");
	return fd;
}

static long cpu_us(int who)
{
	struct rusage used;

	getrusage(who, &used);
	return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000L + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void echo(int fd)
{
	char data[SIZE];

	while (!ended) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&peer, &length);

		if (n >= 0)
			sendto(fd, data, n, 0, (struct sockaddr *)&peer, length);
	}
}

static void proxy(int fd, int to)
{
	struct pollfd both[] = { { fd, POLLIN, 0 }, { to, POLLIN, 0 } };
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	char data[SIZE];
	ssize_t n;

	while (!ended) {
		if (poll(both, 2, -1) < 0)
			continue;
		/* All that waits, before the next poll. */
		while (length = sizeof(peer),
		       (n = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&peer, &length)) >= 0)
			send(to, data, n, 0);
		length = peer.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
		while ((n = recv(to, data, sizeof(data), MSG_DONTWAIT)) >= 0)
			sendto(fd, data, n, 0, (struct sockaddr *)&peer, length);
	}
}

static void client(int fd, double seconds, int window)
{
	struct timeval patience = { .tv_usec = 200000 };
	char data[SIZE] = { 0 };
	long replies = 0, lost = 0;
	double start = now();

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < window; i++)
		send(fd, data, sizeof(data), 0);
	while (now() - start < seconds) {
		if (recv(fd, data, sizeof(data), 0) >= 0)
			replies++;
		else if (errno == EAGAIN)
			lost++;
		send(fd, data, sizeof(data), 0);
	}
	printf("{\"replies\":%ld,\"lost\":%ld,\"seconds\":%.6f,", replies, lost, now() - start);
}

static void watch(int poller, int fd, unsigned int events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl");
}

/* Whoever asks for bulk has the daemon to himself. */
static void answer(int fd)
{
	static char data[BULK];
	ssize_t n = recv(fd, data, SIZE, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0 && data[0] == ASK_BULK)
		while (!ended && send(fd, data, sizeof(data), MSG_NOSIGNAL) > 0)
			;
	else if (n > 0 && send(fd, data, SIZE, MSG_NOSIGNAL) == SIZE)
		return;
	close(fd);
}

static void serve(int listener)
{
	struct epoll_event events[EVENTS];
	int poller = epoll_create1(0);

	watch(poller, listener, EPOLLIN);
	while (!ended) {
		int n = epoll_wait(poller, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd != listener) {
				answer(fd);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, 0)) >= 0)
				watch(poller, fd, EPOLLIN);
		}
	}
}

/* No remains at either end: thousands of connections per second would use up the ports. */
static void end_at_once(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void open_next(int poller, const struct sockaddr_storage *to, socklen_t length)
{
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		fail("socket");
	if (connect(fd, (const struct sockaddr *)to, length) && errno != EINPROGRESS)
		fail("connect");
	watch(poller, fd, EPOLLIN | EPOLLOUT | EPOLLET);
}

static void connections(const char *text, const char *port, double seconds, int window)
{
	char request[SIZE] = { ASK_REPLY }, reply[SIZE];
	struct epoll_event events[EVENTS];
	int poller = epoll_create1(0);
	struct sockaddr_storage to;
	socklen_t length = address(&to, text, port);
	long made = 0, failed = 0;
	/* By descriptor: whether the request is sent. */
	static char sent[1 << 16];
	double start = now();

	for (int i = 0; i < window; i++)
		open_next(poller, &to, length);
	while (now() - start < seconds) {
		int n = epoll_wait(poller, events, EVENTS, 200);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			ssize_t got = -1;

			if (events[i].events & (EPOLLERR | EPOLLHUP)) {
				failed++;
			} else {
				if (!sent[fd] && events[i].events & EPOLLOUT)
					sent[fd] = send(fd, request, SIZE, MSG_NOSIGNAL) == SIZE;
				got = recv(fd, reply, SIZE, 0);
				if (got < 0 && errno == EAGAIN)
					continue;
				if (got == SIZE)
					made++;
				else
					failed++;
			}
			sent[fd] = 0;
			end_at_once(fd);
			open_next(poller, &to, length);
		}
	}
	printf("{\"made\":%ld,\"failed\":%ld,\"seconds\":%.6f,", made, failed, now() - start);
}

static void bulk(int fd, double seconds)
{
	static char data[BULK];
	char request = ASK_BULK;
	long long bytes = 0;
	double start;
	ssize_t n;

	send(fd, &request, 1, 0);
	if (recv(fd, data, sizeof(data), 0) <= 0)
		fail("recv");
	for (start = now(); now() - start < seconds; bytes += n) {
		n = recv(fd, data, sizeof(data), 0);
		if (n <= 0)
			fail("recv");
	}
	printf("{\"bytes\":%lld,\"seconds\":%.6f,", bytes, now() - start);
	end_at_once(fd);
}

static int compare(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Paced by the clock; one that comes late is followed by the next at once. */
static void latency(const char *text, const char *port, long interval_us)
{
	struct sockaddr_storage to;
	socklen_t length = address(&to, text, port);
	long count = 0, room = 0, failed = 0;
	float *took = NULL;
	double next = now();

	while (!ended) {
		double begin, late;
		int fd;

		late = now() - next;
		next += interval_us / 1e6;
		if (late < 0) {
			struct timespec pause = { .tv_nsec = -late * 1e9 };

			nanosleep(&pause, NULL);
		}
		fd = socket(to.ss_family, SOCK_STREAM, 0);
		if (fd < 0)
			fail("socket");
		begin = now();
		if (connect(fd, (struct sockaddr *)&to, length)) {
			failed += !ended;
		} else {
			if (count == room) {
				room = room ? room * 2 : 1 << 16;
				took = realloc(took, room * sizeof(*took));
				if (!took)
					fail("realloc");
			}
			took[count++] = (now() - begin) * 1e6;
		}
		end_at_once(fd);
	}
	if (!count) {
		fprintf(stderr, "no connection was made\n");
		exit(1);
	}
	qsort(took, count, sizeof(*took), compare);
	printf("{\"made\":%ld,\"failed\":%ld,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,", count, failed,
	       took[count / 2], took[count * 99 / 100], took[count * 999 / 1000], took[count - 1]);
}

static double used_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Uses that share of a CPU, and does nothing with it; in pieces, as who looks 20 times a second. */
static void spin(double share)
{
	double period = 0.05, used = used_cpu(), next = now();

	while (!ended) {
		double left;

		used += share * period;
		next += period;
		while (!ended && used_cpu() < used)
			;
		left = next - now();
		if (left > 0) {
			struct timespec pause = { .tv_nsec = left * 1e9 };

			nanosleep(&pause, NULL);
		}
	}
}

static void run(char **command)
{
	struct rusage used;
	double start = now();
	int status;
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (!child) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(command[0], command);
		fail(command[0]);
	}
	if (wait4(child, &status, 0, &used) < 0)
		fail("wait4");
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "%s failed\n", command[0]);
		exit(1);
	}
	printf("{\"seconds\":%.6f,\"peak_kib\":%ld,", now() - start, used.ru_maxrss);
}

int main(int argc, char **argv)
{
	struct sigaction on_end = { .sa_handler = end };
	const char *mode = argc > 1 ? argv[1] : "";
	int who = RUSAGE_SELF;

	sigaction(SIGTERM, &on_end, NULL);
	if (argc == 4 && !strcmp(mode, "echo")) {
		int fd = open_bound(SOCK_DGRAM, argv[2], argv[3]);

		fprintf(stderr, "ready\n");
		echo(fd);
		printf("{");
	} else if (argc == 6 && !strcmp(mode, "proxy")) {
		int fd = open_bound(SOCK_DGRAM, argv[2], argv[3]);
		int to = open_connected(SOCK_DGRAM, argv[4], argv[5]);

		fprintf(stderr, "ready\n");
		proxy(fd, to);
		printf("{");
	} else if (argc == 6 && !strcmp(mode, "client")) {
		client(open_connected(SOCK_DGRAM, argv[2], argv[3]), atof(argv[4]), atoi(argv[5]));
	} else if (argc == 4 && !strcmp(mode, "serve")) {
		int fd = open_bound(SOCK_STREAM | SOCK_NONBLOCK, argv[2], argv[3]);

		if (listen(fd, 4096))
			fail("listen");
		fprintf(stderr, "ready\n");
		serve(fd);
		printf("{");
	} else if (argc == 6 && !strcmp(mode, "connect")) {
		connections(argv[2], argv[3], atof(argv[4]), atoi(argv[5]));
	} else if (argc == 5 && !strcmp(mode, "bulk")) {
		bulk(open_connected(SOCK_STREAM, argv[2], argv[3]), atof(argv[4]));
	} else if (argc == 5 && !strcmp(mode, "latency")) {
		fprintf(stderr, "ready\n");
		latency(argv[2], argv[3], atol(argv[4]));
	} else if (argc == 3 && !strcmp(mode, "spin")) {
		spin(atof(argv[2]));
		printf("{");
	} else if (argc > 2 && !strcmp(mode, "run")) {
		run(argv + 2);
		who = RUSAGE_CHILDREN;
	} else {
		fprintf(stderr, "usage: traffic echo|proxy|client|serve|connect|bulk|latency|spin|run ...\n");
		return 2;
	}
	printf("\"cpu_us\":%ld}\n", cpu_us(who));
	return 0;
}
