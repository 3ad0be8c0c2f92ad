/* store.h: model files.
 *
 * A model file is safetensors (https://github.com/huggingface/safetensors, its format section) with PyTorch's names
 * and layout, so that torch.nn.LSTM and torch.nn.Linear load it as it is; notes are its __metadata__.
 */
#ifndef TALLY_STORE_H
#define TALLY_STORE_H

#include <tally/train.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The note that names a file's cell. */
#define TALLY_CELL_NOTE "tally.cell"

/* Writes to a temporary file beside path, syncs it, renames it over path and syncs the folder: path holds the old file
 * or the new one, whole. TALLY_IO names the file and the reason; TALLY_NUMBERS the parameter that is not finite, for
 * such a file would not be read again. The note "format" is always "pt",
 * and TALLY_CELL_NOTE the name of the model's cell. */
TALLY_API tally_status tally_model_save(const tally_model *model, const char *path);

/* Checks every rule of the format before anything is taken from the file. TALLY_IO: cannot be read. TALLY_MODEL: is not
 * a model file, and why. The names say how many layers there are, TALLY_CELL_NOTE
 * which cell, and where there is none, as in a file of PyTorch's, the shape of rnn.weight_hh_l0: a ReLU RNN then cannot be told from the tanh
 * RNN that it is taken for. Biases are as tally_model_set has them. The caller
 * frees the model.
 * What tally_training_save left there beside the model is checked, too, and not needed for it. */
TALLY_API tally_status tally_model_load(tally_device *device, const char *path, tally_model **model);

/* The note of a file that a run of training can go on from: JSON, the library's own. tally_model_save leaves it out. */
#define TALLY_TRAINING_NOTE "tally.training"

/* Saves the kept weights as tally_model_save does, with the model's notes; and beside them, unless weights_only, the run's state:
 * the optimizer's states, as OPTIMIZER.STATE.NAME (adam.m.NAME), the present weights as train.NAME where they are not the kept ones, NAME being each
 * parameter's, and the rest, with options, in the note TALLY_TRAINING_NOTE. TALLY_NUMBERS, with a state, if there is a number in it
 * that is not finite; what the run has failed with, if it has. */
TALLY_API tally_status tally_training_save(const tally_training *training, const char *path, bool weights_only);

/* Whether a run of training can go on from the file that the model was loaded from, as far as its note says. TALLY_MODEL: no, and why. */
TALLY_API tally_status tally_model_resumable(const tally_model *model);

/* A run that goes on where the one was that was saved in path, on any device, to the same weights. The model, of the file's sizes, gets
 * the kept weights; data and valid must be those of that run. options: NULL for that run's; or those, but epochs and patience may be
 * others: they say where it ends. TALLY_USAGE: another option differs, or sizes do. TALLY_IO: cannot be read. TALLY_MODEL: has no such
 * state, or a wrong one, and why. The rest is as tally_training_new has it. */
TALLY_API tally_status tally_training_resume(tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                                             const tally_train_options *options, const char *path,
                                             tally_training **training);

#ifdef __cplusplus
}
#endif
#endif
