/*
 * What both senders share: a sender in one network namespace and a receiver in another, two
 * processes of one program. So there is one clock, and nobody must be told when the other is ready.
 */
#ifndef SFUNNEL_BENCH_TRAFFIC_H
#define SFUNNEL_BENCH_TRAFFIC_H

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Seconds beyond its own time after which a run is killed, whatever it hangs in. */
#define GRACE 8

/* Of setpriority. */
#define MOST_URGENT -20

static inline int64_t now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Nanoseconds for which this process wanted a CPU and others had it; 0 where nobody counts. */
static inline int64_t time_waited(void) {
    FILE *file = fopen("/proc/self/schedstat", "re");
    long long waited = 0;

    if (!file)
        return 0;
    if (fscanf(file, "%*d %lld", &waited) != 1)
        waited = 0;
    fclose(file);
    return waited;
}

/*
 * Other work on this machine has to wait, or it would be measured too. Where the kernel shares
 * time out between sessions first, it is the session's priority that counts.
 */
static inline void be_urgent(void) {
    FILE *file;

    if (setpriority(PRIO_PROCESS, 0, MOST_URGENT))
        err(1, "priority");
    /* Fails where we are the first of a session, which is as good. */
    setsid();
    file = fopen("/proc/self/autogroup", "we");
    if (!file)
        return;
    fprintf(file, "%d", MOST_URGENT);
    fclose(file);
}

static inline long number(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value <= 0)
        errx(2, "not a positive number: %s", text);
    return value;
}

/* Sockets that are made from now on belong to this namespace. */
static inline void enter(const char *netns) {
    int descriptor = open(netns, O_RDONLY | O_CLOEXEC);

    if (descriptor < 0 || setns(descriptor, CLONE_NEWNET))
        err(1, "enter %s", netns);
    close(descriptor);
}

static inline struct sockaddr_in address_of(const char *address, const char *port) {
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(number(port))};

    if (inet_pton(AF_INET, address, &result.sin_addr) != 1)
        errx(2, "not an IPv4 address: %s", address);
    return result;
}

static inline void set_timeout(int descriptor, int option, long milliseconds) {
    struct timeval timeout = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

    if (setsockopt(descriptor, SOL_SOCKET, option, &timeout, sizeof(timeout)))
        err(1, "set a timeout");
}

enum role {
    SENDER,
    RECEIVER,
};

/*
 * A CPU for each role, where there are two: who shares one with whom must not differ from round to
 * round. What a veth sends is received by the kernel on the sender's.
 */
static inline void take_cpu(enum role role) {
    cpu_set_t allowed, own;
    int found = 0;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) || CPU_COUNT(&allowed) < 2)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || found++ != (int)role)
            continue;
        CPU_ZERO(&own);
        CPU_SET(cpu, &own);
        if (sched_setaffinity(0, sizeof(own), &own))
            err(1, "take CPU %d", cpu);
        return;
    }
}

/* Memory that both processes see. */
static inline void *shared(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        err(1, "share memory");
    return memory;
}

/* A process that goes with its parent. 0 in the child, as fork. */
static inline pid_t start_child(void) {
    pid_t child = fork();

    if (child < 0)
        err(1, "fork");
    if (child == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL))
        err(1, "go with the parent");
    return child;
}

#endif
