/* crew.h: workers with what each needs to run slices of a data set through a model. */
#ifndef TALLY_TRAIN_CREW_H
#define TALLY_TRAIN_CREW_H

#include "nn/classifier.h"
#include "train/slices.h"

#include <tally/data.h>

typedef struct tl_hand {
    tl_classifier classifier;
    tl_slice slice;             /* the one it is at */
    float *x;                   /* [columns, T, I], as read from the data set */
    int32_t *labels;            /* [columns] */
    int32_t *lengths;           /* [columns]; NULL where all sequences have all steps */
    float *probability_columns; /* [C, columns] */
    float *probability_rows;    /* [columns, C] */
} tl_hand;

typedef struct tl_crew {
    tl_slices *slices;
    size_t slice_columns;
    unsigned workers;
    tl_hand *hands;
} tl_crew;

/* options->columns: the most sequences that are run at a time. */
tally_status tl_crew_new(const tally_model *model, const tl_classifier_options *options, tl_crew *crew);
void tl_crew_free(tl_crew *crew);

/* The data's sizes are those the model is made for. what: the function that asks, for the error. */
tally_status tl_check_data(const char *what, const tally_model *model, const tally_dataset *data);

/* Makes count sequences of the data the hand's slice. Their labels are in hand->labels; masked: the slice does not know them. TALLY_DATA
 * names a sequence whose label or length cannot be. */
tally_status tl_hand_load(tl_hand *hand, const tally_dataset *data, const size_t *numbers, size_t count, bool masked);

/* How many slices count sequences are, and how many sequences a slice of them has. */
size_t tl_crew_slices(const tl_crew *crew, size_t count);
size_t tl_crew_slice_size(const tl_crew *crew, size_t count, size_t slice);

#endif
