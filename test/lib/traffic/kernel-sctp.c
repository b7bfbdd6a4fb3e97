// SPDX-License-Identifier: Apache-2.0
/*
 * SCTP ends by the kernel's own sockets, which hand on packets without checksum and several in one (GSO):
 *     kernel-sctp server PORT | client ADDRESS PORT BYTES
 * The server says "ready" and echoes. The client sends a message of so many bytes and says "same" when they come back.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BACKLOG = 8,
	PART = 1 << 16,
	RECEIVE_TIMEOUT_SECONDS = 10,
};

static void serve(const char *port)
{
	struct sockaddr_in6 own = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	int listener = socket(AF_INET6, SOCK_STREAM, IPPROTO_SCTP), fd;
	static char part[PART];
	ssize_t length;

	if (listener < 0 || bind(listener, (struct sockaddr *)&own, sizeof(own)) || listen(listener, BACKLOG))
		err(1, "port %s", port);
	puts("ready");
	fflush(stdout);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		while ((length = recv(fd, part, sizeof(part), 0)) > 0)
			if (send(fd, part, length, 0) != length)
				break;
		close(fd);
	}
}

static int connect_to(const char *address, const char *port)
{
	struct timeval timeout = { .tv_sec = RECEIVE_TIMEOUT_SECONDS };
	struct sockaddr_in6 peer6 = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	struct sockaddr_in peer4 = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int is_ipv4 = inet_pton(AF_INET, address, &peer4.sin_addr) == 1;
	int fd = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_STREAM, IPPROTO_SCTP);

	if (!is_ipv4 && inet_pton(AF_INET6, address, &peer6.sin6_addr) != 1)
		errx(2, "not an address: %s", address);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
	    connect(fd, is_ipv4 ? (void *)&peer4 : (void *)&peer6, is_ipv4 ? sizeof(peer4) : sizeof(peer6)))
		err(1, "%s", address);
	return fd;
}

static void exchange(int fd, size_t bytes)
{
	char *sent = malloc(bytes), *received = malloc(bytes);
	ssize_t length = 0;
	size_t at = 0, i;

	if (!sent || !received)
		err(1, "malloc");
	for (i = 0; i < bytes; i++)
		sent[i] = random();
	if (send(fd, sent, bytes, 0) != (ssize_t)bytes)
		err(1, "send");
	while (at < bytes && (length = recv(fd, received + at, bytes - at, 0)) > 0)
		at += length;
	if (length < 0)
		err(1, "recv");
	puts(at == bytes && memcmp(sent, received, bytes) == 0 ? "same" : "different");
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "server") == 0)
		serve(argv[2]);
	else if (argc == 5 && strcmp(argv[1], "client") == 0)
		exchange(connect_to(argv[2], argv[3]), strtoul(argv[4], NULL, 10));
	else
		errx(2, "usage: kernel-sctp server PORT | client ADDRESS PORT BYTES");
	return 0;
}
