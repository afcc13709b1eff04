/* faults.h: what faults.c offers to a program that it is linked into. */

#ifndef FAULTS_H
#define FAULTS_H

#include <stddef.h>

enum { FAULTS_SHORT = -1, FAULTS_HALF = -2, FAULTS_NOTHING = -3,
       FAULTS_KILL = -4, FAULTS_KILL_AFTER = -5 };
enum { FAULTS_DRAWN_MAX = 4096, FAULTS_DRAWN_LEN = 16 };

/* One fault: the variant-th thing that can happen to the at-th call (from 1) of
 * this name; call "any" counts them all.  to_the_end: and to all later ones. */
struct faults_plan {
    char call[16];
    unsigned long at;
    int variant, to_the_end;
    /* told: */
    unsigned long hits;
    int is_beyond;                      /* there are not so many variants */
    const char *name;                   /* the call that was hit, */
    unsigned long nth;                  /* the how manieth of its name, */
    int how;                            /* and its errno or FAULTS_... */
};

extern struct faults_plan faults_plan[2];
extern unsigned long faults_calls;      /* since faults_forget */

/* The beginning of each random draw, every byte XOR 0xa5, so that a search of
 * the memory does not find this copy. */
extern unsigned char faults_drawn[FAULTS_DRAWN_MAX][FAULTS_DRAWN_LEN];
extern size_t faults_n_drawn;

void faults_forget(void);               /* counts and plans begin anew */

#endif
