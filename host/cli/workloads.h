/* workloads.h: what tally bench measures: one table, with the data of each and its floating-point operations. */
#ifndef TALLY_CLI_WORKLOADS_H
#define TALLY_CLI_WORKLOADS_H

#include <tally/tally.h>

typedef enum workload_kind {
    WORKLOAD_COUNT, /* training on the counting experiment's strings */
    WORKLOAD_SCORE, /* testing on its other ones; a step is all of them once */
    WORKLOAD_MADE   /* training on a batch of numbers that mean nothing */
} workload_kind;

typedef struct workload {
    char name[16];
    workload_kind kind;
    tally_cell cell;
    size_t layers, hidden, inputs;
    size_t shortest,
        steps; /* time steps of the shortest and of the longest sequence; the same except in made batches */
    size_t classes;
    size_t batch;   /* sequences of a step that is measured */
    double dropout; /* between layers */
    size_t digest;  /* training steps behind which the weights' digest is taken; at least 2 */
} workload;

enum { WORKLOADS = 9 };
extern const workload workloads[WORKLOADS];

/* NULL if there is none of that name. */
const workload *workload_find(const char *name);

tally_model_config workload_model(const workload *w);

/* Sequences of a training step, which are others than batch where it is a test that is measured. */
size_t workload_train_batch(const workload *w);

/* Of the products of a step: two for each multiplication and addition, over the time steps that each sequence has. The
 * loss, the gates, dropout and Adam are left out. */
double workload_flops(const workload *w);

/* Everything in memory; values of a fixed seed, the same everywhere. */
typedef struct workload_data {
    const workload *workload;
    tally_count *strings;
    float *x; /* of a made batch */
    int32_t *labels;
    tally_dataset made;
    const tally_dataset *train, *test; /* test: NULL where nothing is tested */
} workload_data;

/* TALLY_OK, or what is wrong, said on stderr. The workload must outlive the data. */
int workload_data_new(const workload *w, workload_data *data);
void workload_data_free(workload_data *data);

#endif
