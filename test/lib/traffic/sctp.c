// SPDX-License-Identifier: Apache-2.0
/*
 * SCTP ends in user space (libusrsctp over raw sockets), for machines whose kernel has none:
 *     sctp server NAME PORT | client [RTO_MS]
 * Both say "ready" first. The client does what its input says and answers each line with one:
 *     connect ADDRESS PORT   "connected", or why not; a third word is the port to come from
 *     who                    the server's name and the client as the server sees it
 *     echo BYTES             "same" when a message of so many bytes comes back as it was
 *     shutdown, abort        ends the association: gracefully, once all is acknowledged, or by an ABORT
 *     make-abort             lets the server abort, "aborted" once that is known
 *     make-shutdown          lets the server end gracefully, "shut down" once that is known
 * The server echoes messages, but answers or does what those say that are one of the words above.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <usrsctp.h>

enum {
	BACKLOG = 64,
	MESSAGE_MAX = 1 << 18,
	BUFFER_SIZE = 1 << 20,
	LINE_SIZE = 256,
	RTO_MS = 200,
	RTO_MAX_MS = 1000,
	SILENT_ATTEMPTS = 6,
	HEARTBEAT_MS = 500,
	ATTEMPTS = 3,
	BLACKHOLE_ALL = 2,
};

static const char who[] = "who";
static const char make_abort[] = "make-abort";
static const char make_shutdown[] = "make-shutdown";

union end {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct association {
	struct socket *socket;
	union end client;
	const char *server;
};

static void fail(const char *what)
{
	err(1, "%s", what);
}

/* Closing then aborts what is not shut down yet. */
static void linger_not(struct socket *socket)
{
	struct linger none = { .l_onoff = 1 };

	if (usrsctp_setsockopt(socket, SOL_SOCKET, SO_LINGER, &none, sizeof(none)))
		fail("SO_LINGER");
}

static void enlarge_buffers(struct socket *socket)
{
	int size = BUFFER_SIZE;

	if (usrsctp_setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) ||
	    usrsctp_setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)))
		fail("buffers");
}

/* A whole message. @return its length, 0 at the end of the association, or -1 with errno */
static ssize_t receive(struct socket *socket, char *message)
{
	size_t length = 0;

	for (;;) {
		struct sctp_rcvinfo info;
		socklen_t info_length = sizeof(info);
		unsigned int type = 0;
		int flags = 0;
		ssize_t part = usrsctp_recvv(socket, message + length, MESSAGE_MAX - length, NULL, NULL, &info,
					     &info_length, &type, &flags);

		if (part <= 0)
			return part;
		length += part;
		if (flags & MSG_EOR)
			return length;
		if (length == MESSAGE_MAX) {
			errno = EMSGSIZE;
			return -1;
		}
	}
}

static int transmit(struct socket *socket, const char *message, size_t length)
{
	return usrsctp_sendv(socket, message, length, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO, 0) < 0 ? -1 : 0;
}

static int is_word(const char *message, ssize_t length, const char *word)
{
	return length == (ssize_t)strlen(word) && memcmp(message, word, length) == 0;
}

static size_t describe(char *text, const struct association *association)
{
	const union end *client = &association->client;
	char address[INET6_ADDRSTRLEN];

	if (client->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &client->v4.sin_addr, address, sizeof(address));
	else
		inet_ntop(AF_INET6, &client->v6.sin6_addr, address, sizeof(address));
	return snprintf(text, LINE_SIZE, "%s %s %d", association->server, address, ntohs(client->v4.sin_port));
}

static void *serve_association(void *argument)
{
	struct association *association = argument;
	char *message = malloc(MESSAGE_MAX);
	ssize_t length;

	while (message && (length = receive(association->socket, message)) > 0) {
		if (is_word(message, length, make_abort)) {
			linger_not(association->socket);
			break;
		}
		if (is_word(message, length, make_shutdown))
			break;
		if (is_word(message, length, who))
			length = describe(message, association);
		if (transmit(association->socket, message, length))
			break;
	}
	usrsctp_close(association->socket);
	free(message);
	free(association);
	return NULL;
}

static struct socket *open_socket(int family)
{
	struct socket *socket = usrsctp_socket(family, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);

	if (!socket)
		fail("socket");
	enlarge_buffers(socket);
	return socket;
}

/* Both families come to one socket, and all addresses of the machine are in its INIT-ACKs. */
static void serve(const char *name, const char *port)
{
	struct sockaddr_in6 own = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	struct socket *socket = open_socket(AF_INET6);

	if (usrsctp_bind(socket, (struct sockaddr *)&own, sizeof(own)))
		fail("bind");
	if (usrsctp_listen(socket, BACKLOG))
		fail("listen");
	puts("ready");
	for (;;) {
		struct association *association = calloc(1, sizeof(*association));
		socklen_t length = sizeof(association->client);
		pthread_t thread;

		if (!association)
			fail("calloc");
		association->server = name;
		association->socket = usrsctp_accept(socket, &association->client.any, &length);
		if (!association->socket)
			fail("accept");
		enlarge_buffers(association->socket);
		if (pthread_create(&thread, NULL, serve_association, association))
			fail("pthread_create");
		pthread_detach(thread);
	}
}

static int bind_to(struct socket *socket, int family, int port)
{
	union end own = { .any.sa_family = family };

	own.v4.sin_port = htons(port);
	return usrsctp_bind(socket, &own.any, family == AF_INET6 ? sizeof(own.v6) : sizeof(own.v4));
}

static struct socket *connect_to(const char *address, int port, int own_port)
{
	int is_ipv6 = strchr(address, ':') != NULL;
	union end peer = { .any.sa_family = is_ipv6 ? AF_INET6 : AF_INET };
	struct socket *socket = open_socket(peer.any.sa_family);

	peer.v4.sin_port = htons(port);
	if (inet_pton(peer.any.sa_family, address, is_ipv6 ? (void *)&peer.v6.sin6_addr : (void *)&peer.v4.sin_addr) !=
	    1)
		errx(2, "not an address: %s", address);
	if ((own_port && bind_to(socket, peer.any.sa_family, own_port)) ||
	    usrsctp_connect(socket, &peer.any, is_ipv6 ? sizeof(peer.v6) : sizeof(peer.v4))) {
		puts(strerror(errno));
		usrsctp_close(socket);
		return NULL;
	}
	puts("connected");
	return socket;
}

static void ask_who(struct socket *socket, char *message)
{
	ssize_t length = transmit(socket, who, strlen(who)) ? -1 : receive(socket, message);

	if (length > 0)
		printf("%.*s\n", (int)length, message);
	else
		puts(length ? strerror(errno) : "ended");
}

static void exchange(struct socket *socket, char *message, size_t length)
{
	char *sent = malloc(length);
	ssize_t received;
	size_t i;

	if (!sent)
		fail("malloc");
	for (i = 0; i < length; i++)
		sent[i] = random();
	received = transmit(socket, sent, length) ? -1 : receive(socket, message);
	if (received <= 0)
		puts(received ? strerror(errno) : "ended");
	else
		puts((size_t)received == length && memcmp(sent, message, length) == 0 ? "same" : "different");
	free(sent);
}

static void await_end(struct socket *socket, char *message, const char *expected)
{
	ssize_t length = receive(socket, message);

	puts(length == 0 ? expected : length > 0 ? "another message" : strerror(errno));
	usrsctp_close(socket);
}

/* @return the socket, or NULL when it is no more */
static struct socket *obey(struct socket *socket, const char *line, char *message)
{
	char address[LINE_SIZE];
	int number, own_port = 0;

	if (sscanf(line, "connect %s %d %d", address, &number, &own_port) >= 2) {
		if (socket) {
			linger_not(socket);
			usrsctp_close(socket);
		}
		return connect_to(address, number, own_port);
	}
	if (!socket) {
		puts("not connected");
		return NULL;
	}
	if (strncmp(line, who, strlen(who)) == 0) {
		ask_who(socket, message);
	} else if (sscanf(line, "echo %d", &number) == 1) {
		exchange(socket, message, number);
	} else if (strncmp(line, make_abort, strlen(make_abort)) == 0) {
		ssize_t length = transmit(socket, make_abort, strlen(make_abort)) ? -1 : receive(socket, message);

		puts(length < 0 && errno == ECONNRESET ? "aborted" : strerror(errno));
		usrsctp_close(socket);
		return NULL;
	} else if (strncmp(line, make_shutdown, strlen(make_shutdown)) == 0) {
		if (transmit(socket, make_shutdown, strlen(make_shutdown)))
			fail("make-shutdown");
		await_end(socket, message, "shut down");
		return NULL;
	} else if (strncmp(line, "shutdown", 8) == 0) {
		if (usrsctp_shutdown(socket, SHUT_WR))
			fail("shutdown");
		await_end(socket, message, "shut down");
		return NULL;
	} else if (strncmp(line, "abort", 5) == 0) {
		linger_not(socket);
		usrsctp_close(socket);
		puts("aborted");
		return NULL;
	}
	return socket;
}

static void follow_input(void)
{
	char line[LINE_SIZE], *message = malloc(MESSAGE_MAX);
	struct socket *socket = NULL;

	if (!message)
		fail("malloc");
	puts("ready");
	while (fgets(line, sizeof(line), stdin))
		socket = obey(socket, line, message);
}

int main(int argc, char **argv)
{
	int is_client = (argc == 2 || argc == 3) && strcmp(argv[1], "client") == 0;
	int rto = is_client && argc == 3 ? atoi(argv[2]) : RTO_MS;

	setvbuf(stdout, NULL, _IOLBF, 0);
	usrsctp_init(0, NULL, NULL);
	/* Each process sees the packets of all others on its machine: it must not abort what it does not know. */
	usrsctp_sysctl_set_sctp_blackhole(BLACKHOLE_ALL);
	usrsctp_sysctl_set_sctp_rto_initial_default(rto);
	usrsctp_sysctl_set_sctp_init_rto_max_default(rto);
	usrsctp_sysctl_set_sctp_init_rtx_max_default(ATTEMPTS);
	usrsctp_sysctl_set_sctp_rto_max_default(RTO_MAX_MS);
	usrsctp_sysctl_set_sctp_assoc_rtx_max_default(SILENT_ATTEMPTS);
	usrsctp_sysctl_set_sctp_heartbeat_interval_default(HEARTBEAT_MS);
	if (argc == 4 && strcmp(argv[1], "server") == 0)
		serve(argv[2], argv[3]);
	else if (is_client)
		follow_input();
	else
		errx(2, "usage: sctp server NAME PORT | client [RTO_MS]");
	return 0;
}
