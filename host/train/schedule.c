#include "train/schedule.h"

double tl_cosine(double left) {
    /* Taylor's series of sin(pi x / 2): term k is (-1)^k (pi/2)^(2k+1) / (2k+1)!, and the first one left out below
     * 2^-59. */
    static const double terms[] = {
        0x1.921fb54442d18p+0,  -0x1.4abbce625be53p-1,  0x1.466bc6775aae2p-4,  -0x1.32d2cce62bd86p-8,
        0x1.50783487ee782p-13, -0x1.e3074fde8871fp-19, 0x1.e8f434d018d63p-25, -0x1.6fadb9f155744p-31,
        0x1.aaec32af93359p-38, -0x1.8a404211f9547p-45, 0x1.2877020d52cf0p-52,
    };
    size_t k = sizeof terms / sizeof *terms - 1;
    double square = left * left, sum = terms[k];
    while (k-- > 0)
        sum = sum * square + terms[k];
    double sine = sum * left;
    return sine * sine;
}

double tl_learning_rate(const tally_train_options *o, size_t steps_an_epoch, size_t epoch, size_t step) {
    double rate = o->optimizer.rate;
    if (o->decay == TALLY_DECAY_COSINE) {
        double steps = (double)o->epochs * (double)steps_an_epoch;
        return rate * tl_cosine((steps - (double)step) / steps);
    }
    /* Halves and quarters of the epochs, rounded up. */
    if (o->decay == TALLY_DECAY_STEP && epoch >= o->epochs - o->epochs / 2)
        rate /= 10.0;
    if (o->decay == TALLY_DECAY_STEP && epoch >= o->epochs - o->epochs / 4)
        rate /= 10.0;
    return rate;
}
