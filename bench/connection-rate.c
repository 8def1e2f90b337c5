/*
 * TCP connections, as many as the CPUs can do: connect, one byte, close. Prints
 * {"connections":...,"seconds":...,"waited":...}, the last one the part of that time for which
 * the processes wanted a CPU and others had it.
 *
 * One process on each CPU (see take_cpu) is client and server at once. It begins a connection, then
 * takes one from the listener that all share, its own or another's; those that it has begun it ends
 * in the same order, so each of them always has some under way. As many are accepted as were begun,
 * so nobody waits for long, and no CPU is idle: all that a connection costs on either side is in
 * the rate. Wake-ups are not, which are dear in a virtual machine, and never twice the same.
 *
 * What limits connections otherwise are ports: those of a closed one are not free for a minute
 * (TIME_WAIT). So whoever calls this gives each run a source address of its own, of which all ports
 * are free, and each process counts its ports up. No connection has the addresses and ports of an
 * earlier one, so each is new to whoever keeps a table of them. The server closes first, so it is
 * the server's side that remembers them.
 */
#define _GNU_SOURCE
#include "traffic.h"

/* Of each process. */
#define UNDER_WAY 32
#define MOST_PROCESSES 2
#define BACKLOG 1024
/* A connection that does not go on for so long does not work. */
#define STALL_MS 3000
/* Until all processes are on their CPU. */
#define START_MS 10
/* Source ports: the first connection has one, each process a range for itself. */
#define FIRST_PORT 1024
#define PORTS 32000

struct tally {
    int64_t connections;
    int64_t end;
    int64_t waited;
};

struct way {
    struct sockaddr_in source; /* without a port */
    struct sockaddr_in destination;
    int listener;
};

static int listen_at(const struct sockaddr_in *address) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
        bind(descriptor, (const struct sockaddr *)address, sizeof(*address)) ||
        listen(descriptor, BACKLOG))
        err(1, "listen");
    set_timeout(descriptor, SO_RCVTIMEO, STALL_MS);
    return descriptor;
}

/* Client: a connection from this port, and its byte. */
static int begin(const struct way *way, int port) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in source = way->source;

    if (descriptor < 0)
        err(1, "socket");
    set_timeout(descriptor, SO_RCVTIMEO, STALL_MS);
    set_timeout(descriptor, SO_SNDTIMEO, STALL_MS);
    source.sin_port = htons(port);
    if (bind(descriptor, (const struct sockaddr *)&source, sizeof(source)))
        err(1, "port %d", port);
    if (connect(descriptor, (const struct sockaddr *)&way->destination, sizeof(way->destination)))
        err(1, "connect");
    if (send(descriptor, "x", 1, MSG_NOSIGNAL) != 1)
        err(1, "send");
    return descriptor;
}

/* Server: takes the next connection, reads its byte, and closes first. */
static void serve(const struct way *way) {
    int descriptor = accept4(way->listener, NULL, NULL, SOCK_CLOEXEC);
    char byte;

    if (descriptor < 0)
        err(1, "accept");
    set_timeout(descriptor, SO_RCVTIMEO, STALL_MS);
    if (recv(descriptor, &byte, 1, 0) != 1)
        err(1, "the byte");
    close(descriptor);
}

/* Client: closes when the server has. */
static void end(int descriptor) {
    char byte;

    if (recv(descriptor, &byte, 1, 0) != 0)
        err(1, "the end");
    close(descriptor);
}

static void connect_until(const struct way *way, int64_t start, int64_t stop, int first_port,
                          struct tally *tally) {
    int under_way[UNDER_WAY];
    int64_t begun = 0, ended = 0, waited_before;

    while (now() < start)
        ;
    waited_before = time_waited();
    while (now() < stop) {
        if (begun - ended == UNDER_WAY)
            end(under_way[ended++ % UNDER_WAY]);
        if (begun == PORTS)
            errx(1, "no port is left");
        under_way[begun % UNDER_WAY] = begin(way, first_port + begun);
        begun++;
        serve(way);
    }
    while (ended < begun)
        end(under_way[ended++ % UNDER_WAY]);
    tally->connections = ended;
    tally->end = now();
    tally->waited = time_waited() - waited_before;
}

static int processes(void) {
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof(allowed), &allowed))
        err(1, "CPUs");
    return CPU_COUNT(&allowed) < MOST_PROCESSES ? CPU_COUNT(&allowed) : MOST_PROCESSES;
}

int main(int count, char **arguments) {
    struct tally *tallies = shared(MOST_PROCESSES * sizeof(*tallies));
    struct way way = {0};
    int64_t start, stop, last = 0, connections = 0, waited = 0;
    long milliseconds;
    int status, started = processes();

    if (count != 7)
        errx(2, "usage: connection-rate CLIENT_NETNS SERVER_NETNS SOURCE ADDRESS PORT "
                "MILLISECONDS");
    way.source.sin_family = AF_INET;
    if (inet_pton(AF_INET, arguments[3], &way.source.sin_addr) != 1)
        errx(2, "not an IPv4 address: %s", arguments[3]);
    way.destination = address_of(arguments[4], arguments[5]);
    milliseconds = number(arguments[6]);
    alarm(milliseconds / 1000 + GRACE);
    be_urgent();

    enter(arguments[2]);
    way.listener = listen_at(&way.destination);
    enter(arguments[1]);
    /* Neighbours are found, and connections do work, before the clock starts. */
    status = begin(&way, FIRST_PORT);
    serve(&way);
    end(status);

    start = now() + START_MS * 1000000L;
    stop = start + milliseconds * 1000000;
    for (int process = 0; process < started; process++) {
        if (start_child() == 0) {
            take_cpu(process);
            connect_until(&way, start, stop, FIRST_PORT + 1 + process * PORTS, &tallies[process]);
            return 0;
        }
    }
    for (int process = 0; process < started; process++) {
        if (wait(&status) < 0 || status != 0)
            errx(1, "a process failed");
    }
    for (int process = 0; process < started; process++) {
        connections += tallies[process].connections;
        waited += tallies[process].waited;
        if (tallies[process].end > last)
            last = tallies[process].end;
    }
    printf("{\"connections\":%lld,\"seconds\":%.9f,\"waited\":%.3f}\n", (long long)connections,
           (last - start) / 1e9, (double)waited / (last - start) / started);
    return 0;
}
