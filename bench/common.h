/* SPDX-License-Identifier: MIT */
/* What the programs of the measurements share: addresses as text, and how they fail. */
#ifndef ILM_BENCH_COMMON_H
#define ILM_BENCH_COMMON_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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

#endif
