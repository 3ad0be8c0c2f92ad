/* schedule.h: the learning rate of a step. */
#ifndef TALLY_TRAIN_SCHEDULE_H
#define TALLY_TRAIN_SCHEDULE_H

#include <tally/train.h>

/* (1 + cos(pi share)) / 2 where 1 - share is left, 0 to 1: as the square of sin(pi left / 2), so that nothing cancels
 * near the end. Only sums and products of doubles, so the same on every machine; within 22 units of 2^-53 of it,
 * relatively. */
double tl_cosine(double left);

/* Of the step behind so many steps and whole epochs. */
double tl_learning_rate(const tally_train_options *options, size_t steps_an_epoch, size_t epoch, size_t step);

#endif
