// SPDX-License-Identifier: Apache-2.0
// The owner of one file descriptor.
#pragma once

#include <unistd.h>

#include <utility>

class Fd {
public:
	explicit Fd(int fd = -1) : fd_(fd) {}
	Fd(Fd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
	Fd &operator=(Fd &&other) noexcept
	{
		std::swap(fd_, other.fd_);
		return *this;
	}
	~Fd() { Close(); }

	int get() const { return fd_; }
	bool is_open() const { return fd_ >= 0; }
	void Close()
	{
		if (fd_ >= 0)
			close(std::exchange(fd_, -1));
	}

private:
	int fd_;
};
