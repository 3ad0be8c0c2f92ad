/* tally.h: includes all of the library's headers. */
#ifndef TALLY_TALLY_H
#define TALLY_TALLY_H

#include <tally/core.h>
#include <tally/data.h>
#include <tally/device.h>
#include <tally/nn.h>
#include <tally/optimizer.h>
#include <tally/parity.h>
#include <tally/settings.h>
#include <tally/store.h>
#include <tally/tensor.h>
#include <tally/train.h>

#endif
