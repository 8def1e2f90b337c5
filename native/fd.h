/* The one owner of a descriptor. */
#pragma once

#include <fcntl.h>
#include <unistd.h>

namespace sfunnel {

class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(const Fd &) = delete;
    Fd &operator=(const Fd &) = delete;
    Fd(Fd &&other) noexcept : fd_(other.fd_) {
        other.fd_ = -1;
    }
    Fd &operator=(Fd &&other) noexcept {
        if (this != &other) {
            reset();
            fd_ = other.fd_;
            other.fd_ = -1;
        }
        return *this;
    }
    ~Fd() {
        reset();
    }

    /* A second descriptor of the same thing, for a second owner; check valid(). */
    static Fd duplicate(int fd) {
        return Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    }

    bool valid() const {
        return fd_ >= 0;
    }
    int get() const {
        return fd_;
    }
    void reset() {
        if (fd_ >= 0) {
            close(fd_);
        }
        fd_ = -1;
    }

  private:
    int fd_ = -1;
};

} // namespace sfunnel
