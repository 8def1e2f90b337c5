/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef SFUNNEL_LOOP_H
#define SFUNNEL_LOOP_H

/*
 * bpf_loop came with 5.17. Its body is verified once instead of once a round, which takes the
 * load from a second to milliseconds. Kernels before 5.13 refuse even dead code that takes the
 * address of a function, so for them the same source is compiled a second time without it.
 */
#ifdef SFUNNEL_WITHOUT_LOOP_HELPER
#define HAS_LOOP_HELPER 0
#else
#define HAS_LOOP_HELPER 1
#endif

/*
 * A function that the verifier looks at once, with arguments of which it knows the types alone,
 * and not once a call with all that it knows there: that is what makes loading quick. Pointers to
 * structures are arguments of such functions since 5.12, and have to be asked whether they are
 * NULL.
 */
#if HAS_LOOP_HELPER
#define VERIFIED_ONCE __noinline
#define IS_MISSING(pointer) (!(pointer))
#else
#define VERIFIED_ONCE static __noinline
/* Without CAP_PERFMON the verifier takes no comparison of a pointer to the stack. */
#define IS_MISSING(pointer) 0
#endif

#endif
