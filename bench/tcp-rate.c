/*
 * One TCP connection that sends as much as it can, and what arrives of it in a while.
 * Prints {"bytes":...,"seconds":...,"retransmitted":...}; segments, those of the warm-up included.
 */
#define _GNU_SOURCE
#include <netinet/tcp.h>

#include "traffic.h"

#define CHUNK (128 << 10)
/* Time for the congestion control to find its rate; it does not count. */
#define WARM_UP_MS 400
/* A connection that is silent for so long does not work. */
#define STALL_MS 3000

static int listen_at(const struct sockaddr_in *address) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
        bind(descriptor, (const struct sockaddr *)address, sizeof(*address)) ||
        listen(descriptor, 1))
        err(1, "listen");
    set_timeout(descriptor, SO_RCVTIMEO, STALL_MS);
    return descriptor;
}

static int connect_to(const struct sockaddr_in *address, const char *congestion_control) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (descriptor < 0)
        err(1, "socket");
    if (setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, congestion_control,
                   strlen(congestion_control)))
        err(1, "congestion control %s", congestion_control);
    set_timeout(descriptor, SO_SNDTIMEO, STALL_MS);
    if (connect(descriptor, (const struct sockaddr *)address, sizeof(*address)))
        err(1, "connect");
    return descriptor;
}

static void send_forever(int sender) {
    static char chunk[CHUNK];

    while (send(sender, chunk, sizeof(chunk), MSG_NOSIGNAL) > 0)
        ;
    err(1, "send");
}

static int64_t receive_until(int receiver, int64_t end) {
    static char chunk[CHUNK];
    int64_t bytes = 0;

    while (now() < end) {
        ssize_t length = recv(receiver, chunk, sizeof(chunk), 0);

        if (length == 0)
            errx(1, "the sender gave up");
        if (length < 0 && errno == EAGAIN)
            errx(1, "the connection stalled: nothing for %d ms", STALL_MS);
        if (length < 0)
            err(1, "receive");
        bytes += length;
    }
    return bytes;
}

int main(int count, char **arguments) {
    struct sockaddr_in address;
    struct tcp_info information;
    socklen_t size = sizeof(information);
    int64_t start, end, bytes;
    int listener, sender, receiver;
    long milliseconds;
    pid_t child;

    if (count != 7)
        errx(2, "usage: tcp-rate SENDER_NETNS RECEIVER_NETNS ADDRESS PORT CONGESTION_CONTROL "
                "MILLISECONDS");
    address = address_of(arguments[3], arguments[4]);
    milliseconds = number(arguments[6]);
    alarm((WARM_UP_MS + milliseconds) / 1000 + GRACE);
    be_urgent();

    enter(arguments[2]);
    listener = listen_at(&address);
    enter(arguments[1]);
    sender = connect_to(&address, arguments[5]);
    receiver = accept(listener, NULL, NULL);
    if (receiver < 0)
        err(1, "accept");
    set_timeout(receiver, SO_RCVTIMEO, STALL_MS);

    child = start_child();
    if (child == 0) {
        take_cpu(SENDER);
        send_forever(sender);
    }
    take_cpu(RECEIVER);
    receive_until(receiver, now() + WARM_UP_MS * 1000000L);
    start = now();
    bytes = receive_until(receiver, start + milliseconds * 1000000);
    end = now();
    if (getsockopt(sender, IPPROTO_TCP, TCP_INFO, &information, &size))
        err(1, "TCP_INFO");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("{\"bytes\":%lld,\"seconds\":%.9f,\"retransmitted\":%u}\n", (long long)bytes,
           (end - start) / 1e9, information.tcpi_total_retrans);
    return 0;
}
