/*
 * Sends UDP as fast as one CPU does it, a system call a packet, and counts what arrives.
 * Prints {"sent":...,"received":...,"seconds":...,"cpu":...}, the last one the part of that time
 * for which the sender had its CPU.
 */
#define _GNU_SOURCE
#include "traffic.h"

#define BATCH 64
/* Room for what arrives while the receiver is asleep or was put off its CPU. */
#define RECEIVE_BUFFER (32 << 20)
#define LOOK_EVERY_US 200
/* Time for what the kernel has put off to another moment, after the last was sent. */
#define STRAGGLERS_US 20000
#define PROBES 20
#define PROBE_MS 50

struct tally {
    int64_t sent;
    int64_t nanoseconds;
    int64_t waited;
    volatile int done;
};

static int receiver_socket(const struct sockaddr_in *address) {
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = RECEIVE_BUFFER;

    if (descriptor < 0 || bind(descriptor, (const struct sockaddr *)address, sizeof(*address)))
        err(1, "receiver");
    if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
        err(1, "receive buffer");
    set_timeout(descriptor, SO_RCVTIMEO, PROBE_MS);
    return descriptor;
}

static int sender_socket(const struct sockaddr_in *address) {
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (descriptor < 0 || connect(descriptor, (const struct sockaddr *)address, sizeof(*address)))
        err(1, "sender");
    return descriptor;
}

/* Neighbours are found and caches warm, and packets do arrive, before the clock starts. */
static void probe(int sender, int receiver, const char *payload, size_t length) {
    char byte;
    int arrived = 0;

    for (int probes = 0; probes < PROBES; probes++) {
        if (send(sender, payload, length, 0) < 0)
            err(1, "send");
        arrived += recv(receiver, &byte, sizeof(byte), MSG_TRUNC) == (ssize_t)length;
    }
    if (arrived < PROBES / 2)
        errx(1, "of %d packets, sent one by one, %d arrived", PROBES, arrived);
}

static void send_all(int sender, const char *payload, size_t length, long milliseconds,
                     struct tally *tally) {
    int64_t start = now(), waited_before = time_waited(), sent = 0, time = start;
    int64_t end = start + milliseconds * 1000000;

    while (time < end) {
        for (int packet = 0; packet < BATCH; packet++) {
            if (send(sender, payload, length, 0) < 0)
                err(1, "send");
        }
        sent += BATCH;
        time = now();
    }
    tally->sent = sent;
    tally->nanoseconds = time - start;
    tally->waited = time_waited() - waited_before;
    tally->done = 1;
}

/*
 * The payload stays where it is (MSG_TRUNC): the sender has to be the slower of the two. And the
 * receiver looks for packets itself. To wake it for each of them, on another CPU, would cost the
 * sender more than the way of the packet, and never twice the same.
 */
static int64_t receive_all(int receiver, const struct tally *tally) {
    struct mmsghdr messages[BATCH] = {0};
    int64_t received = 0;
    int done = 0;

    for (;;) {
        int last_look = done;
        int count = recvmmsg(receiver, messages, BATCH, MSG_TRUNC | MSG_DONTWAIT, NULL);

        if (count > 0)
            received += count;
        else if (errno != EAGAIN && errno != EINTR)
            err(1, "receive");
        else if (last_look)
            return received;
        else {
            done = tally->done;
            usleep(done ? STRAGGLERS_US : LOOK_EVERY_US);
        }
    }
}

int main(int count, char **arguments) {
    struct tally *tally = shared(sizeof(*tally));
    struct sockaddr_in address;
    size_t length;
    long milliseconds;
    char *payload;
    int receiver, sender, status;
    int64_t received;
    pid_t child;

    if (count != 7)
        errx(2, "usage: udp-rate SENDER_NETNS RECEIVER_NETNS ADDRESS PORT BYTES MILLISECONDS");
    address = address_of(arguments[3], arguments[4]);
    length = number(arguments[5]);
    milliseconds = number(arguments[6]);
    payload = calloc(1, length);
    if (!payload)
        err(1, "payload");
    alarm(milliseconds / 1000 + GRACE);
    be_urgent();

    enter(arguments[2]);
    receiver = receiver_socket(&address);
    enter(arguments[1]);
    sender = sender_socket(&address);
    probe(sender, receiver, payload, length);

    child = start_child();
    if (child == 0) {
        take_cpu(SENDER);
        send_all(sender, payload, length, milliseconds, tally);
        return 0;
    }
    take_cpu(RECEIVER);
    received = receive_all(receiver, tally);
    if (waitpid(child, &status, 0) != child || status != 0)
        errx(1, "the sender failed");
    printf("{\"sent\":%lld,\"received\":%lld,\"seconds\":%.9f,\"waited\":%.3f}\n",
           (long long)tally->sent, (long long)received, tally->nanoseconds / 1e9,
           (double)tally->waited / tally->nanoseconds);
    return 0;
}
