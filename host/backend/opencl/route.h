/* route.h: what a measurement of both routes means, and how it is kept. */
#ifndef TALLY_BACKEND_OPENCL_ROUTE_H
#define TALLY_BACKEND_OPENCL_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/device.h>

/* Nanoseconds of the same work, at least 1. */
typedef struct tl_cl_route_times {
    uint64_t exact, clblast;
} tl_cl_route_times;

/* The faster one, but exact where the two are within a tenth of the slower: the same bits everywhere are worth that. */
tally_route tl_cl_faster_route(tl_cl_route_times times);

uint64_t tl_cl_median_of_three(const uint64_t values[3]);

/* As text, and back: false for anything that is not exactly such a text. */
enum { TL_CL_ROUTE_TEXT = 64 };
void tl_cl_write_route_times(tl_cl_route_times times, char text[TL_CL_ROUTE_TEXT]);
bool tl_cl_read_route_times(const char *text, size_t length, tl_cl_route_times *times);

#endif
