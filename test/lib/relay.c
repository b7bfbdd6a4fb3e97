// SPDX-License-Identifier: Apache-2.0
/*
 * relay.c DEVICE NAMESPACE: makes a TUN device here and one of the same name in
 * another network namespace, says "ready", and carries every packet from one to
 * the other, as a wire without link headers; large ones and those without a
 * checksum as they are. Ends when it is ended.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int open_tun(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int tun = open("/dev/net/tun", O_RDWR);

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &request))
		return -1;
	return ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) ? -1 : tun;
}

int main(int argc, char **argv)
{
	struct pollfd ends[2] = { { .events = POLLIN }, { .events = POLLIN } };
	static unsigned char packet[65536 + 64]; /* behind a struct virtio_net_hdr */
	int other;

	if (argc != 3)
		return 2;
	ends[0].fd = open_tun(argv[1]);
	other = open(argv[2], O_RDONLY);
	if (ends[0].fd < 0 || other < 0 || setns(other, CLONE_NEWNET) || (ends[1].fd = open_tun(argv[1])) < 0) {
		perror("relay");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (poll(ends, 2, -1) > 0) {
		for (int i = 0; i < 2; i++) {
			ssize_t length = ends[i].revents & POLLIN ? read(ends[i].fd, packet, sizeof(packet)) : 0;

			/* A device that is down, or whose queue is full, loses packets as a wire
			 * does. */
			if (length > 0 && write(ends[!i].fd, packet, length) < 0)
				continue;
		}
	}
	return 1;
}
