// SPDX-License-Identifier: MIT
/*
 * Datagrams for the UDP measurement, with as little of its own as can be.
 *
 *   traffic echo ADDRESS PORT                        answers until SIGTERM, then prints its CPU time
 *   traffic proxy ADDRESS PORT TO_ADDRESS TO_PORT    carries one client's datagrams to and fro, likewise
 *   traffic client ADDRESS PORT SECONDS WINDOW       keeps WINDOW requests on their way; prints replies, seconds, CPU time
 *
 * IPv4 or IPv6. CPU time is this process's, user and system, in microseconds: what the kernel does for a datagram it does on
 * the time of whoever sends it, on veth and loopback.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static socklen_t address(struct sockaddr_storage *to, const char *text, const char *port)
{
	struct sockaddr_in *v4 = (void *)to;
	struct sockaddr_in6 *v6 = (void *)to;

	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(atoi(port));
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		fail(text);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(atoi(port));
	return sizeof(*v6);
}

static int open_bound(const char *text, const char *port)
{
	struct sockaddr_storage own;
	socklen_t length = address(&own, text, port);
	int fd = socket(own.ss_family, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&own, length))
		fail("bind");
	return fd;
}

static int open_connected(const char *text, const char *port)
{
	struct sockaddr_storage to;
	socklen_t length = address(&to, text, port);
	int fd = socket(to.ss_family, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, length))
		fail("connect");
	return fd;
}

static long cpu_us(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
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

int main(int argc, char **argv)
{
	struct sigaction on_end = { .sa_handler = end };

	sigaction(SIGTERM, &on_end, NULL);
	if (argc == 4 && !strcmp(argv[1], "echo")) {
		int fd = open_bound(argv[2], argv[3]);

		fprintf(stderr, "ready\n");
		echo(fd);
		printf("{");
	} else if (argc == 6 && !strcmp(argv[1], "proxy")) {
		int fd = open_bound(argv[2], argv[3]);
		int to = open_connected(argv[4], argv[5]);

		fprintf(stderr, "ready\n");
		proxy(fd, to);
		printf("{");
	} else if (argc == 6 && !strcmp(argv[1], "client")) {
		client(open_connected(argv[2], argv[3]), atof(argv[4]), atoi(argv[5]));
	} else {
		fprintf(stderr, "usage: traffic echo|proxy|client ...\n");
		return 2;
	}
	printf("\"cpu_us\":%ld}\n", cpu_us());
	return 0;
}
