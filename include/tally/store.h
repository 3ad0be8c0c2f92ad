/* store.h: model files.
 *
 * A model file is safetensors (https://github.com/huggingface/safetensors, its format section) with PyTorch's names
 * and layout, so that torch.nn.LSTM and torch.nn.Linear load it as it is; notes are its __metadata__.
 */
#ifndef TALLY_STORE_H
#define TALLY_STORE_H

#include <tally/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes to a temporary file beside path, syncs it, renames it over path and syncs the folder: path holds the old file
 * or the new one, whole. TALLY_IO names the file and the reason; TALLY_NUMBERS the parameter that is not finite, for
 * such a file would not be read again. The note "format" is always "pt". */
TALLY_API tally_status tally_model_save(const tally_model *model, const char *path);

/* Checks every rule of the format before anything is taken from the file. TALLY_IO: cannot be read. TALLY_MODEL: is not
 * a model file, and why. The names say how many layers there are, the shape of
 * rnn.weight_hh_l0 which cell: a ReLU RNN cannot be told from the tanh RNN that it is taken for. Biases are as tally_model_set has them. The caller
 * frees the model. */
TALLY_API tally_status tally_model_load(tally_device *device, const char *path, tally_model **model);

#ifdef __cplusplus
}
#endif
#endif
