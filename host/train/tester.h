/* tester.h: tests of a model on sequences of a data set, with workers and memory that are kept from test to test. */
#ifndef TALLY_TRAIN_TESTER_H
#define TALLY_TRAIN_TESTER_H

#include <tally/train.h>

typedef struct tl_tester tl_tester;

/* For tests of at most so many sequences, at least 1. Model and data are borrowed and have been checked
 * (tl_check_data). The caller frees it. TALLY_MEMORY, TALLY_DEVICE. */
tally_status tl_tester_new(const tally_model *model, const tally_dataset *data, size_t most, tl_tester **tester);
void tl_tester_free(tl_tester *tester);

/* As tally_test, with the model's present weights. count at least 1. */
tally_status tl_tester_run(tl_tester *tester, size_t first, size_t count, const tally_observer *observer,
                           tally_test_result *result);

#endif
