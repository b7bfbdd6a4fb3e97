// SPDX-License-Identifier: Apache-2.0
/*
 * partial DEVICE START OFFSET: sends a frame for each line of hex on its input, and says of each that a device still
 * has to fill in the checksum, OFFSET behind START (CHECKSUM_PARTIAL). Ends with its input.
 */
#include <arpa/inet.h>
#include <err.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

static size_t decode(const char *line, unsigned char *frame)
{
	size_t length = 0;
	unsigned int byte;

	for (; sscanf(line, "%2x", &byte) == 1; line += 2)
		frame[length++] = byte;
	return length;
}

int main(int argc, char **argv)
{
	struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };
	struct sockaddr_ll device = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), one = 1;
	unsigned char frame[2048];
	char line[4096];

	if (argc != 4)
		errx(2, "usage: partial DEVICE START OFFSET");
	device.sll_ifindex = if_nametoindex(argv[1]);
	header.csum_start = atoi(argv[2]);
	header.csum_offset = atoi(argv[3]);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&device, sizeof(device)))
		err(1, "packet socket at %s", argv[1]);
	while (fgets(line, sizeof(line), stdin)) {
		struct iovec parts[] = { { &header, sizeof(header) }, { frame, decode(line, frame) } };

		if (writev(fd, parts, 2) < 0)
			err(1, "writev");
	}
	return 0;
}
