/* ct.h: the marks of secchan.h's fence as valgrind's memcheck understands them:
 * a secret is memory without a value, on which no branch and no address may
 * depend.  Given to the compiler with -include, before any source; ct.sh does
 * that.  The marks are a few instructions that do nothing outside valgrind.
 * Needs:   valgrind's headers */

#ifndef SC_TESTS_CT_H
#define SC_TESTS_CT_H

#include <valgrind/memcheck.h>

#define SC_SECRET(p, len) ((void)VALGRIND_MAKE_MEM_UNDEFINED(p, len))
#define SC_PUBLIC(p, len) ((void)VALGRIND_MAKE_MEM_DEFINED(p, len))

#endif
