/* workloads.h: the table of workloads that tally bench measures, their data and their floating-point operations. */
#ifndef TALLY_CLI_WORKLOADS_H
#define TALLY_CLI_WORKLOADS_H

#include <tally/tally.h>

typedef enum workload_kind {
    WORKLOAD_COUNT, /* training on the counting experiment's strings */
    WORKLOAD_SCORE, /* testing on the other strings; a step is one pass over all of them */
    WORKLOAD_MADE   /* training on a batch of random numbers */
} workload_kind;

typedef struct workload {
    char name[16];
    workload_kind kind;
    tally_cell cell;
    size_t layers, hidden, inputs;
    size_t shortest,
        steps; /* time steps of the shortest and of the longest sequence; different only in WORKLOAD_MADE */
    size_t classes;
    size_t batch;   /* sequences per measured step */
    double dropout; /* between layers */
    size_t digest;  /* number of training steps after which the weights are digested; at least 2 */
} workload;

enum { WORKLOADS = 9 };
extern const workload workloads[WORKLOADS];

/* The workload with this name, or NULL. */
const workload *workload_find(const char *name);

tally_model_config workload_model(const workload *w);

/* Sequences per training step. Not batch if the workload measures testing. */
size_t workload_train_batch(const workload *w);

/* Floating-point operations of a step's matrix products, counting a multiplication and an addition as two, over the
 * actual time steps of each sequence. Loss, gates, dropout and Adam are not counted. */
double workload_flops(const workload *w);

/* A workload's data, all in memory. Random values have a fixed seed and are the same on every machine. */
typedef struct workload_data {
    const workload *workload;
    tally_count *strings;
    float *x; /* of a batch of random numbers */
    int32_t *labels;
    tally_dataset made;
    const tally_dataset *train, *test; /* test is NULL if nothing is tested */
} workload_data;

/* Returns TALLY_OK or an error's status, reported on stderr. The workload must outlive the data. */
int workload_data_new(const workload *w, workload_data *data);
void workload_data_free(workload_data *data);

#endif
