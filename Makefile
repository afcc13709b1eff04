# make             the two demos and the test program
# make test        run the tests; the last line says how many passed
# make demo        see the protocol at work
# make bench       how fast it is here (bench/compare.sh: beside others)
# make check       every extended check (Debian), written to docs/evidence.md
# make proof       the proof of the protocol again, where ProVerif is installed
# make clean
#
# Needs a C compiler, make and sh.  Another compiler or other flags (which are
# used for linking, too), after make clean:
#   make test CC=clang CFLAGS='-O1 -g -fsanitize=address,undefined'
# Windows programs, by mingw-w64:
#   make CC=x86_64-w64-mingw32-gcc LDLIBS=-lws2_32

.POSIX:

CC = cc
CFLAGS = -O2 -std=c99 -Wall -Wextra -pedantic
LDFLAGS =
LDLIBS =

LIBRARY = secchan.o rsa_mini.o bignum.o
DEMOS = demo_client demo_server
OBJECTS = $(LIBRARY) demo_client.o demo_server.o test.o

all: $(DEMOS) test_program

# "test" is the program's name and the wish to run it, so that the program is
# linked under a wish of its own.
test: test_program
	./test

demo: $(DEMOS)
	sh tests/demo.sh

bench: $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -I. -o bench/bench bench/bench.c $(LIBRARY) \
	    $(LDLIBS) -lm
	bench/bench

test_program: test.o $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -o test test.o $(LIBRARY) $(LDLIBS)

demo_client: demo_client.o $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ demo_client.o $(LIBRARY) $(LDLIBS)

demo_server: demo_server.o $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ demo_server.o $(LIBRARY) $(LDLIBS)

check:
	sh tests/check.sh

proof:
	sh tests/proof.sh

.SUFFIXES:
.SUFFIXES: .c .o
.c.o:
	$(CC) $(CFLAGS) -c -o $@ $<

$(OBJECTS): secchan.h

clean:
	rm -f $(DEMOS) test bench/bench $(OBJECTS)
	rm -f demo_client.exe demo_server.exe test.exe

.PHONY: all test demo bench check proof test_program clean
