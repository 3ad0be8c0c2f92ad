/* arith_bounds.h: the largest errors that cl/arith.h states, in units of the last place; test_arith.c measures them. */
#ifndef TALLY_TESTS_ARITH_BOUNDS_H
#define TALLY_TESTS_ARITH_BOUNDS_H

#define EXP_ULPS 1.06
#define SIGMOID_ULPS 2.41
#define TANH_ULPS 2.50
#define LOG_ULPS 0.83

#endif
