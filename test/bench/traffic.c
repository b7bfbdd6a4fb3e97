// SPDX-License-Identifier: Apache-2.0
/*
 * The ends of the measured path, as cheap as they can be: servers that echo,
 * and a client that does what it is told. traffic tcp-server PORT | udp-server
 * PORT | client ADDRESS PORT The client reads "connections N", "exchanges N",
 * "datagrams N", "flows N" (datagrams, each from a port of its own), "packets N"
 * (datagrams of one flow in batches that its device segments; the last of each is
 * answered) or "mebibytes N" (in one stream) from stdin and answers each with a
 * line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MESSAGE_SIZE = 64,
	BACKLOG = 128,
	RECEIVE_TIMEOUT_SECONDS = 5,
	MEBIBYTE = 1 << 20,
	CHUNK_SIZE = 1 << 16,
	BATCH = 64, /* UDP_MAX_SEGMENTS */
};

/*
 * The first byte of a message: whether the server closes behind its answer, so
 * that TIME_WAIT is on its side; or that a stream of as many mebibytes follows
 * as the next four bytes say, before the answer; or that there is none, as
 * hooks.bpf.c takes the message off at the server's device.
 */
enum { MORE = 'm', LAST = 'l', STREAM = 's', UNANSWERED = 'u' };

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, address, &result.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", address);
	return result;
}

static int open_socket(int type)
{
	int fd = socket(AF_INET, type, 0), one = 1;

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

static int open_server(int type, const char *port)
{
	struct sockaddr_in own = address_of("0.0.0.0", port);
	int fd = open_socket(type);

	if (bind(fd, (struct sockaddr *)&own, sizeof(own)))
		err(1, "bind");
	if (type == SOCK_STREAM && listen(fd, BACKLOG))
		err(1, "listen");
	puts("ready");
	return fd;
}

static void set_no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void receive_mebibytes(int fd, const char *message)
{
	static char chunk[CHUNK_SIZE];
	uint32_t count;
	uint64_t left;

	memcpy(&count, message + 1, sizeof(count));
	for (left = (uint64_t)count * MEBIBYTE; left > 0;) {
		ssize_t size = recv(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk), 0);

		if (size <= 0)
			return;
		left -= size;
	}
}

static void echo_stream(int fd)
{
	char message[MESSAGE_SIZE];

	while (recv(fd, message, sizeof(message), MSG_WAITALL) == sizeof(message)) {
		if (message[0] == STREAM)
			receive_mebibytes(fd, message);
		if (send(fd, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
			return;
		if (message[0] == LAST)
			return;
	}
}

static void serve_tcp(const char *port)
{
	int listener = open_server(SOCK_STREAM, port);

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			err(1, "accept");
		set_no_delay(fd);
		echo_stream(fd);
		close(fd);
	}
}

static void serve_udp(const char *port)
{
	int fd = open_server(SOCK_DGRAM, port);

	for (;;) {
		char message[MESSAGE_SIZE];
		struct sockaddr_in peer;
		socklen_t peer_size = sizeof(peer);
		ssize_t size = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&peer, &peer_size);

		if (size > 0)
			sendto(fd, message, size, 0, (struct sockaddr *)&peer, peer_size);
	}
}

static int open_client(int type, const struct sockaddr_in *server)
{
	struct timeval timeout = { .tv_sec = RECEIVE_TIMEOUT_SECONDS };
	int fd = open_socket(type);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)server, sizeof(*server)))
		err(1, "connect");
	if (type == SOCK_STREAM)
		set_no_delay(fd);
	return fd;
}

static void exchange(int fd, char kind)
{
	char message[MESSAGE_SIZE] = { kind };

	if (send(fd, message, sizeof(message), 0) != sizeof(message))
		err(1, "send");
	if (recv(fd, message, sizeof(message), MSG_WAITALL) != sizeof(message))
		err(1, "recv");
}

static void make_connections(const struct sockaddr_in *server, long count)
{
	char end;

	while (count--) {
		int fd = open_client(SOCK_STREAM, server);

		exchange(fd, LAST);
		if (recv(fd, &end, 1, 0) != 0)
			errx(1, "expected the end of the connection");
		close(fd);
	}
}

static void make_exchanges(int type, const struct sockaddr_in *server, long count)
{
	int fd = open_client(type, server);

	while (--count)
		exchange(fd, MORE);
	exchange(fd, LAST);
	close(fd);
}

/*
 * Batches that are one datagram to the client's stack, and are segmented at its
 * device. No longer than the queues on the way.
 */
static void send_packets(const struct sockaddr_in *server, long count)
{
	static char batch[BATCH][MESSAGE_SIZE];
	int fd = open_client(SOCK_DGRAM, server), segment = MESSAGE_SIZE;
	char message[MESSAGE_SIZE];

	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)))
		err(1, "UDP_SEGMENT");
	for (int i = 0; i < BATCH; i++)
		batch[i][0] = i + 1 < BATCH ? UNANSWERED : LAST;
	exchange(fd, MORE);
	for (; count > 0; count -= BATCH) {
		if (send(fd, batch, sizeof(batch), 0) != sizeof(batch))
			err(1, "send");
		if (recv(fd, message, sizeof(message), 0) != sizeof(message))
			err(1, "recv");
	}
	close(fd);
}

static void make_flows(const struct sockaddr_in *server, long count)
{
	while (count--) {
		int fd = open_client(SOCK_DGRAM, server);

		exchange(fd, LAST);
		close(fd);
	}
}

static void send_mebibytes(const struct sockaddr_in *server, uint32_t count)
{
	static char chunk[CHUNK_SIZE];
	int fd = open_client(SOCK_STREAM, server);
	char message[MESSAGE_SIZE] = { STREAM };
	uint64_t left;

	memcpy(message + 1, &count, sizeof(count));
	if (send(fd, message, sizeof(message), 0) != sizeof(message))
		err(1, "send");
	for (left = (uint64_t)count * MEBIBYTE; left > 0;) {
		ssize_t size = send(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk), 0);

		if (size <= 0)
			err(1, "send");
		left -= size;
	}
	if (recv(fd, message, sizeof(message), MSG_WAITALL) != sizeof(message))
		err(1, "recv");
	close(fd);
}

static void obey(const char *address, const char *port)
{
	struct sockaddr_in server = address_of(address, port);
	char verb[32];
	long count;

	while (scanf("%31s %ld", verb, &count) == 2) {
		if (!strcmp(verb, "connections"))
			make_connections(&server, count);
		else if (!strcmp(verb, "exchanges"))
			make_exchanges(SOCK_STREAM, &server, count);
		else if (!strcmp(verb, "datagrams"))
			make_exchanges(SOCK_DGRAM, &server, count);
		else if (!strcmp(verb, "flows"))
			make_flows(&server, count);
		else if (!strcmp(verb, "packets"))
			send_packets(&server, count);
		else if (!strcmp(verb, "mebibytes"))
			send_mebibytes(&server, count);
		else
			errx(2, "unknown: %s", verb);
		puts("done");
	}
}

int main(int argc, char **argv)
{
	setlinebuf(stdout);
	if (argc == 3 && !strcmp(argv[1], "tcp-server"))
		serve_tcp(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "udp-server"))
		serve_udp(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "client"))
		obey(argv[2], argv[3]);
	else
		errx(2, "usage: traffic tcp-server PORT | udp-server PORT | client ADDRESS "
			"PORT");
	return 0;
}
