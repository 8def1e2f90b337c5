/*
 * Becomes a command of others in a network namespace, with the CPU and the priority that our own
 * senders and receivers take. All that is set here outlives exec: so the command ends with whoever
 * started it, however that ends, and after its seconds, whatever it hangs in.
 */
#define _GNU_SOURCE
#include "traffic.h"

static enum role role_of(const char *name) {
    if (strcmp(name, "sender") == 0)
        return SENDER;
    if (strcmp(name, "receiver") == 0)
        return RECEIVER;
    errx(2, "neither sender nor receiver: %s", name);
}

int main(int count, char **arguments) {
    if (count < 5)
        errx(2, "usage: as-role sender|receiver NETNS SECONDS COMMAND [ARGUMENT]...");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        err(1, "go with the parent");
    alarm(number(arguments[3]));
    be_urgent();
    take_cpu(role_of(arguments[1]));
    enter(arguments[2]);
    execvp(arguments[4], arguments + 4);
    err(1, "%s", arguments[4]);
}
